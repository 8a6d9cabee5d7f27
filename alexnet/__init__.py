"""AlexNet, the system that won ILSVRC-2012, on PyTorch."""

__version__ = "0.1.0"
