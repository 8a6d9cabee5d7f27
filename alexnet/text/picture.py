"""A prototxt as a net for pictures: what `--net FILE.prototxt` trains, tests and looks at.

The same net that `alexnet.text.graph` runs, from one picture to the logits: data layers, labels,
losses and the last softmax are left out (`alexnet.text.deploy`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from alexnet.nearest import nearest
from alexnet.nets.chain import Chain, Heads, Multipliers
from alexnet.text import prototxt
from alexnet.text.deploy import Deploy, as_deploy
from alexnet.text.graph import TextNet, free_name
from alexnet.text.kind import Source
from alexnet.text.message import Message, TextError
from alexnet.text.upgrade import upgrade_net


@dataclass(frozen=True)
class TextPreset:
    """What is known of a text net before it is built: an `alexnet.nets.chain.Architecture`."""

    source: str
    """The file."""
    text: str
    """The net as text, upgraded; it is stored with a model."""
    channels: int
    input_size: int
    published_classes: int
    published: ClassVar[None] = None
    notes: tuple[str, ...] = ()

    def build(self, *, classes: int = 1000, input_size: int | None = None) -> "PictureNet":
        """Return the net for so many classes; the layer of the logits gets as many outputs.

        Raises: TextError for a net that does not fit the input size.
        """
        size = self.input_size if input_size is None else input_size
        try:
            deploy = self._deploy(classes)
        except TextError:
            if classes != self.published_classes:
                raise
            deploy = self._deploy(None)  # nothing to replace, and so no need of a layer for it
        return PictureNet(_resized(deploy, size), classes)

    def check_input(self, input_size: int) -> int:
        """Return the side of the last feature maps.

        Raises: TextError if the net does not fit pictures of that size.
        """
        with torch.device("meta"):
            shapes = TextNet(_resized(self._deploy(None), input_size).net).shapes.values()
        sides = [shape[2] for shape in shapes if len(shape) == 4]
        return sides[-1]

    def _deploy(self, classes: int | None) -> Deploy:
        return as_deploy(
            prototxt.parse(self.text, "NetParameter", source=self.source), classes=classes
        )


class PictureNet(Chain):
    """A text net from pictures to logits. Its layers and blobs keep the names of the text.

    Raises: TextError for a net that the original would refuse.
    """

    def __init__(self, deploy: Deploy, classes: int) -> None:
        super().__init__()
        self.classes, self.input_size, self.deploy = classes, deploy.shape[-1], deploy
        body = TextNet(deploy.net)
        self.branches = not body.is_chain
        self._body = (body,)  # a tuple, so that the layers stand in this net under their own names
        for name, module in body.named_children():
            if not isinstance(module, Source) or list(module.parameters()):
                self.add_module(free_name(self, name), module)

    @property
    def body(self) -> TextNet:
        """The net with all its blobs."""
        return self._body[0]

    def steps(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the layers in their order; they need not form a chain."""
        return self.named_children()

    def forward(self, x: Tensor, *, upto: str | None = None) -> Tensor:
        """Return the logits, or the blob or layer named `upto`.

        Shapes:  x (N, C, H, W) -> (N, classes), or the shape of that blob.
        Raises:  ValueError if nothing is called `upto`, or there is not one logit for each class.
        """
        if upto is not None:
            return self.activations(x, (upto,))[upto]
        return self._logits(self._run(x, [self.deploy.logits])[self.deploy.logits])

    def heads(self, x: Tensor) -> Heads:
        """Return the logits, and those of the auxiliary classifiers with their weight.

        Raises: ValueError if there is not one logit for each class.
        """
        others = [
            (blob, weight) for blob, weight in self.deploy.heads if blob != self.deploy.logits
        ]
        blobs = self._run(x, [self.deploy.logits, *(blob for blob, _ in others)])
        auxiliary = tuple(self._logits(blobs[blob]) for blob, _ in others)
        weight = others[0][1] if others else 0.0
        return Heads(self._logits(blobs[self.deploy.logits]), auxiliary, weight)

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the named blobs, or the first tops of the layers of those names.

        A blob that a layer works on in place is given as that layer leaves it, as in Caffe.

        Raises: ValueError if nothing has one of these names.
        """
        tops = {str(r["name"]): str(r["top"][0]) for r in self.body.records if r["top"]}
        known = {**tops, **{name: name for name in self.body.shapes}}
        for name in names:
            if name not in known:
                raise ValueError(f"no layer or blob is called {name!r}{nearest(name, known)}")
        blobs = self._run(x, [known[name] for name in names])
        return {name: blobs[known[name]] for name in names}

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial weights by the fillers of the text."""
        self.body.fill(generator)

    def multipliers(self) -> dict[str, Multipliers]:
        """Return lr_mult and decay_mult of each parameter, where the text gives them."""
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        return {
            names[id(each.tensor)]: Multipliers(
                each.lr_mult if "lr_mult" in each.given else None,
                each.decay_mult if "decay_mult" in each.given else None,
            )
            for each in self.body.learnable
            if each.given and id(each.tensor) in names
        }

    def _run(self, x: Tensor, keep: Sequence[str]) -> dict[str, Tensor]:
        return self.body.run({self.deploy.input: x}, keep=keep, whole=False).blobs

    def _logits(self, blob: Tensor) -> Tensor:
        logits = blob.flatten(1)
        if logits.shape[1] != self.classes:
            raise ValueError(
                f"the net makes {' x '.join(map(str, blob.shape[1:]))} numbers of a picture, and "
                f"there are {self.classes} classes; training and answers take one number for each"
            )
        return logits


def read_preset(path: Path) -> TextPreset:
    """Read a prototxt as a net for pictures.

    Raises: TextError for a text that is refused or is no net from one picture to logits.
    """
    return preset_of(prototxt.load(path, "NetParameter"), source=str(path))


def preset_of(net: Message, *, source: str) -> TextPreset:
    """Return a net for pictures from a NetParameter.

    Raises: as read_preset does.
    """
    upgraded = upgrade_net(net)
    deploy = as_deploy(upgraded)
    channels, height, width = deploy.shape
    if height != width:
        raise TextError(f"{source}: the input is {width} x {height}; only squares are taken here")
    with torch.device("meta"):
        classes = TextNet(deploy.net).shapes[deploy.logits][1]
    text = prototxt.print_text(upgraded)
    return TextPreset(source, text, channels, width, classes)


def _resized(deploy: Deploy, size: int) -> Deploy:
    """Return the net for another input size; layers find their sizes themselves."""
    net = deploy.net.copy()
    for record in net["layer"]:
        if record["type"] == "Input":
            old = list(record["input_param"]["shape"][0]["dim"])
            record.child("input_param")["shape"] = [
                Message("BlobShape", {"dim": [*old[:2], size, size]})
            ]
    return Deploy(net, deploy.input, (deploy.shape[0], size, size), deploy.logits, deploy.heads)
