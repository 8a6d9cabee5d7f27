"""A net for training or for answers as one from a picture to logits.

What reads a database gives way to an Input layer; labels, losses, scores and the last softmax are
left out, with every layer that served them alone. The original has no such step: its models come as
two texts, train_val and deploy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from alexnet.text.message import Message, TextError
from alexnet.text.rules import filter_net

CLASSIFYING: Final = ("SoftmaxWithLoss", "InfogainLoss", "HingeLoss", "MultinomialLogisticLoss")
"""Losses of logits and a label."""
READING: Final = ("Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "WindowData", "Input")
"""Layers that give pictures."""
SCORING: Final = (
    *CLASSIFYING,
    "EuclideanLoss",
    "ContrastiveLoss",
    "SigmoidCrossEntropyLoss",
    "Accuracy",
    "Silence",
    "HDF5Output",
)
"""Layers that serve training and testing only."""
FINAL: Final = ("Softmax", "ArgMax")
"""Layers that come after the logits."""
WEIGHTED: Final = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param"}
"""Layers whose num_output is the number of logits."""
STAGES: Final = ((), ()), (("val",), ("train",)), (("deploy",), ("train",))
"""Stages for testing and training that are tried one after the other; the last two are those of
NVIDIA's DIGITS, which keeps all its nets in one text."""
Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class Deploy:
    """A net from a picture to logits."""

    net: Message
    """One Input layer and the layers up to the logits of all heads; it holds for both phases."""
    input: str
    """The blob of pictures."""
    shape: Shape3
    """Colours, height and width of a picture."""
    logits: str
    """The blob of the main logits."""
    heads: tuple[tuple[str, float], ...]
    """Logits of each loss with their weights, the main ones last."""
    removed: tuple[str, ...] = ()
    """Names of the layers that were left out."""


def as_deploy(net: Message, *, classes: int | None = None, shape: Shape3 | None = None) -> Deploy:
    """Return an upgraded net as one from a picture to logits.

    Heads are the classifying losses of the phase TRAIN, the last one the main; a net without any is
    one for answers, with its logits before the last Softmax. `classes` replaces num_output where
    the logits are made, also where it is missing. `shape` is for texts that do not say how large
    their pictures are.

    Raises: TextError if there is not one picture of 1 or 3 colours, its size is not known, there
            are no logits, or they are made so that the number of classes cannot be changed.
    """
    named = {stage for layer in net["layer"] for stage in _stages(layer)}
    tried = [(test, train) for test, train in STAGES if named.issuperset(test)]
    for test, train in tried[:-1]:
        try:
            return _Cut(net, test, train).deploy(classes, shape)
        except TextError:
            continue  # not the stage for it; the last one says what is missing
    test, train = tried[-1]
    return _Cut(net, test, train).deploy(classes, shape)


def _stages(layer: Message) -> Iterator[str]:
    for rule in [*layer["include"], *layer["exclude"]]:
        yield from rule["stage"]
        yield from rule["not_stage"]


class _Cut:
    """A net with its layers of both phases, and the way back from logits to the picture."""

    def __init__(self, net: Message, test: Sequence[str], train: Sequence[str]) -> None:
        self.net = net
        declared: list[str] = net["state"]["stage"]
        stands = {
            phase: [_stands(layer, phase, [*declared, *stages]) for layer in net["layer"]]
            for phase, stages in (("TEST", test), ("TRAIN", train))
        }
        pairs = list(zip(net["layer"], stands["TEST"], stands["TRAIN"], strict=True))
        self.training = [layer for layer, _, in_train in pairs if in_train]
        made = {top for layer, in_test, _ in pairs if in_test for top in layer["top"]}
        # What only training has is taken where nothing else makes its tops: heads and their data.
        # Dropout does nothing in testing anyhow.
        self.layers: list[Message] = [
            layer
            for layer, in_test, in_train in pairs
            if in_test or (in_train and (not made & {*layer["top"]} or layer["type"] == "Dropout"))
        ]

    def deploy(self, classes: int | None, shape: Shape3 | None) -> Deploy:
        """Return the net without all that does not lead from the picture to logits."""
        heads = self._heads() or [(self._answer(), 1.0)]
        logits = [blob for blob, _ in heads]
        kept = self._leading_to(logits)
        source, top = self._picture(kept)
        size = self._size(source, top, shape)
        result = Message("NetParameter", {"name": self.net["name"]})
        result.source = self.net.source
        layers = [_input(source, top, size) if each is source else _bare(each) for each in kept]
        if classes is not None:
            for blob in logits:
                _set_classes(layers, blob, classes)
        result["layer"] = layers
        names = [layer["name"] for layer in layers]
        removed = [n for n in dict.fromkeys(each["name"] for each in self.layers) if n not in names]
        return Deploy(result, top, size, logits[-1], tuple(heads), tuple(removed))

    def _heads(self) -> list[tuple[str, float]]:
        """Return the logits of each classifying loss, with its weight."""
        heads: dict[str, float] = {}
        for layer in self.training:
            weight = float((layer["loss_weight"] or [1.0])[0])
            if layer["type"] in CLASSIFYING and layer["bottom"] and weight:
                blob = self._before_final(layer["bottom"][0], self.training)
                heads[blob] = heads.pop(blob, 0.0) + weight
        return list(heads.items())

    def _answer(self) -> str:
        """Return the logits of a net without losses: its one output, before a softmax."""
        layers = [each for each in self.layers if each["type"] not in (*SCORING, *READING)]
        read = {b for each in layers if not _in_place(each) for b in each["bottom"]}
        outputs = [t for each in layers for t in each["top"] if t not in read]
        found = dict.fromkeys(self._before_final(top, layers) for top in outputs)
        if len(found) == 1:
            return next(iter(found))
        what = f"its outputs are {', '.join(found)}" if found else "it has no output"
        raise self.net.refuse(
            f"the net has no classifying loss ({', '.join(CLASSIFYING)}) and not one output, so "
            f"its logits are not known: {what}"
        )

    def _before_final(self, blob: str, layers: Sequence[Message]) -> str:
        """Return the blob that the softmax before a blob was taken of, or the blob itself."""
        for layer in reversed(layers):
            if blob in layer["top"] and layer["type"] in FINAL and layer["bottom"]:
                blob = layer["bottom"][0]
        return blob

    def _leading_to(self, logits: Sequence[str]) -> list[Message]:
        """Return the layers that the logits need, in their order."""
        needed, kept = set(logits), []
        for layer in reversed(self.layers):
            final = layer["type"] in FINAL and {*layer["top"]} & {*logits}
            if layer["type"] in SCORING or final or not needed & {*layer["top"]}:
                continue
            kept.append(layer)
            needed.update(layer["bottom"])
        made = {top for layer in kept for top in layer["top"]}
        for layer in reversed(kept):
            for bottom in layer["bottom"]:
                if bottom not in made:
                    raise layer.refuse(f"no layer makes its bottom {bottom!r}", "bottom")
        if missing := [blob for blob in logits if blob not in made]:
            raise self.net.refuse(f"no layer makes the logits {missing[0]!r}")
        return kept[::-1]

    def _picture(self, kept: Sequence[Message]) -> tuple[Message, str]:
        """Return the one layer that reads what the logits come from, and its blob."""
        read = {bottom for layer in kept for bottom in layer["bottom"]}
        found = [
            (layer, top)
            for layer in kept
            if layer["type"] in READING
            for top in layer["top"]
            if top in read
        ]
        if len(found) != 1:
            names = ", ".join(top for _, top in found) or "none"
            raise self.net.refuse(
                f"the logits come from {len(found)} blobs that are read ({names}); this takes nets "
                "with one, the picture"
            )
        return found[0]

    def _size(self, source: Message, top: str, shape: Shape3 | None) -> Shape3:
        size = shape or declared_size(source, top)
        if size is None:
            raise source.refuse(
                "the size of the pictures is not known; give transform_param { crop_size }, or "
                "replace the layer by an Input layer with input_param { shape }"
            )
        if size[0] not in (1, 3):
            raise source.refuse(
                f"the input {top!r} has {size[0]} channels; pictures of 1 or 3 are taken"
            )
        return size


def declared_size(source: Message, top: str) -> Shape3 | None:
    """Return colours, height and width of what a data layer gives, as far as its text says.

    Raises: TextError if a blob of an Input or DummyData layer is no (N, C, H, W).
    """
    kind, crop = source["type"], int(source["transform_param"]["crop_size"])
    if kind in ("Input", "DummyData"):
        return _declared_shape(source, top)
    if kind == "MemoryData":
        memory = source["memory_data_param"]
        sides = (crop, crop) if crop else (int(memory["height"]), int(memory["width"]))
        return int(memory["channels"]), *sides
    gray = source["transform_param"]["force_gray"]
    if kind == "ImageData":
        images = source["image_data_param"]
        gray = gray or not images["is_color"]
        if not crop and images["new_height"] and images["new_width"]:
            return 1 if gray else 3, int(images["new_height"]), int(images["new_width"])
    return (1 if gray else 3, crop, crop) if crop else None


def _declared_shape(source: Message, top: str) -> Shape3:
    parameter = source["input_param" if source["type"] == "Input" else "dummy_data_param"]
    index = list(source["top"]).index(top)
    shapes = [list(shape["dim"]) for shape in parameter["shape"]]
    if not shapes and source["type"] == "DummyData":
        names = ("num", "channels", "height", "width")
        shapes = [list(dims) for dims in zip(*(parameter[name] for name in names), strict=False)]
    dims = [int(dim) for dim in shapes[min(index, len(shapes) - 1)]] if shapes else []
    if len(dims) != 4:
        raise source.refuse(
            f"the input {top!r} has the shape ({', '.join(map(str, dims))}); a picture is "
            "(N, C, H, W)"
        )
    return dims[1], dims[2], dims[3]


def _stands(layer: Message, phase: str, stages: Sequence[str]) -> bool:
    alone = Message("NetParameter", {"layer": [layer]})
    filtered = filter_net(alone, "TRAIN" if phase == "TRAIN" else "TEST", stages=stages)
    return bool(filtered["layer"])


def _in_place(layer: Message) -> bool:
    return list(layer["bottom"]) == list(layer["top"])


def _bare(layer: Message) -> Message:
    """Return a layer that stands always and is no part of the loss."""
    bare = layer.copy()
    for field in ("include", "exclude", "phase", "loss_weight"):
        del bare[field]
    return bare


def _input(source: Message, top: str, size: Shape3) -> Message:
    """Return an Input layer in the place of what reads the pictures."""
    count = 1
    if source["type"] == "Input":
        shapes = source["input_param"]["shape"]
        count = int(shapes[min(list(source["top"]).index(top), len(shapes) - 1)]["dim"][0])
    layer = Message("LayerParameter", {"name": source["name"], "type": "Input", "top": [top]})
    layer.source, layer.line = source.source, source.line
    layer.child("input_param").add("shape", {"dim": [count, *size]})
    return layer


def _set_classes(layers: Sequence[Message], blob: str, classes: int) -> None:
    """Give the layer that makes logits as many outputs as there are classes."""
    for layer in reversed(layers):
        if blob not in layer["top"]:
            continue
        if layer["type"] in WEIGHTED:
            layer.child(WEIGHTED[layer["type"]])["num_output"] = classes
            del layer["blobs"]
            return
        if len(layer["bottom"]) != 1 or len(layer["top"]) != 1:
            raise layer.refuse(
                f"the logits come from this layer of type {layer['type']}, so their number cannot "
                f"become {classes}; {' or '.join(WEIGHTED)} must lead to them, without a branch",
                "type",
            )
        blob = layer["bottom"][0]
