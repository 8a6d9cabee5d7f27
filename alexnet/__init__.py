"""AlexNet, the system that won ILSVRC-2012, on PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alexnet.hub import Pushed
    from alexnet.model import Model

__version__ = "0.1.0"


def from_pretrained(source: str | Path, *, revision: str = "main", digest: str = "") -> "Model":
    """Open a model from a folder or from Hugging Face; see `alexnet.hub.from_pretrained`."""
    from alexnet import hub

    return hub.from_pretrained(source, revision=revision, digest=digest)


def push(run: Path | str, name: str, *, private: bool = True, message: str = "") -> "Pushed":
    """Upload a run's model to OWNER/NAME on Hugging Face; see `alexnet.hub.push`."""
    from alexnet import hub

    return hub.push(run, name, private=private, message=message)
