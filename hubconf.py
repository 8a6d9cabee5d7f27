"""Entry points for torch.hub.

net = torch.hub.load(FOLDER_OF_THIS_FILE, "alexnet", source="local", pretrained=MODEL)
"""

import torch
from torch import nn

from alexnet import from_pretrained
from alexnet.model import Model, architecture

dependencies = ["torch", "numpy", "PIL", "safetensors", "simplejpeg", "tomli_w"]


def alexnet(
    pretrained: str = "",
    net: str = "alexnet",
    *,
    classes: int = 1000,
    seed: int = 0,
    revision: str = "main",
    digest: str = "",
) -> nn.Module:
    """Return a net: the one of a model, ready to answer, or a new one by its name.

    pretrained  folder of a model or a run, or OWNER/NAME on Hugging Face, which revision and
                digest pin
    net         name of a new net, such as alexnet, vgg16 or caffenet, with classes and seed

    Shapes:  what it is called with, (N, 3, H, W), is what `alexnet.data.augment.cut` makes of
             pictures; it gives logits (N, classes).
    """
    if pretrained:
        return from_pretrained(pretrained, revision=revision, digest=digest).net
    built = architecture(net).build(classes=classes)
    built.init_weights(torch.Generator().manual_seed(seed))
    return built


def model(pretrained: str, *, revision: str = "main", digest: str = "") -> Model:
    """Return a net with its classes and preprocessing, for `alexnet.predict.predict`."""
    return from_pretrained(pretrained, revision=revision, digest=digest)
