"""Weights from elsewhere into a model, and a model's weights into the forms of others.

In:  Caffe's .caffemodel and .h5 (for a net by name, or with the prototxt), torchvision's .pth, our
     own names in .safetensors, a run or a model.
Out: a model's folder, .safetensors with our names, .pth with torchvision's, .caffemodel.

torchvision's nets want each colour divided by its own deviation. A model divides by one number
alone, so the first layer's kernels take the rest: the same products, rounded once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from alexnet.data.augment import Colours, Preprocessing, Subtract
from alexnet.data.statistics import Statistics
from alexnet.export import caffe_names, torchvision
from alexnet.export.weights_file import load_state_dict_file, save_state_dict_file
from alexnet.model import SUFFIX, Model, architecture, load_weights, open_model, save_model, text_of
from alexnet.nearest import nearest_beside
from alexnet.nets.chain import Chain, leaves
from alexnet.store import StoreError
from alexnet.text.blobs import load_mean, make_blob
from alexnet.text.message import Message
from alexnet.text.picture import PictureNet
from alexnet.text.weights import load_weights as load_caffe_weights
from alexnet.text.weights import save_weights

ILSVRC_MEAN = (104.007, 116.669, 122.679)
"""The mean colour of ILSVRC-2012's pictures that Caffe's nets subtract: blue, green, red."""
TENSORS = (".pth", ".pt", ".safetensors")
CAFFE = (".caffemodel", ".h5", ".hdf5")


@dataclass(frozen=True)
class Pictures:
    """How pictures become inputs, for weights whose file does not say it."""

    picture_size: int = 256
    """The shorter side is resized to this, in pixels."""
    mean: Path | None = None
    """Caffe's mean: a .binaryproto or .npy."""
    mean_value: tuple[float, ...] = ()
    """Caffe's mean of each channel, in its order: blue, green, red."""
    scale: float = 1.0
    """Caffe's factor behind the subtraction."""
    labels: Path | None = None
    """Names of the classes, a line each, in the order of the net's outputs."""


@dataclass
class Converted:
    """A model, and what is worth a remark."""

    model: Model
    notes: list[str] = field(default_factory=list)


def read(source: Path, *, net: str = "", pictures: Pictures | None = None) -> Converted:
    """Read weights of any form as a model.

    `net` names the net that the weights are for, or its prototxt.

    Raises: StoreError if there is no such file, ValueError if it does not fit the net.
    """
    if source.is_dir():
        return Converted(open_model(source))
    if not source.is_file():
        raise StoreError(f"{source} does not exist{nearest_beside(source)}")
    if not net:
        raise ValueError(
            f"the net of {source} is not known; name it: --net vgg16, or --net FILE{SUFFIX}"
        )
    pictures = pictures or Pictures()
    if source.suffix in TENSORS:
        return _from_tensors(source, net, pictures)
    if net.endswith(SUFFIX):
        return _from_caffe_text(source, net, pictures)
    return _from_caffe(source, net, pictures)


def write(model: Model, out: Path) -> str:
    """Write a model in the form that the suffix of `out` says, and return what was written.

    Raises: ValueError if there is no such form, or the net has no counterpart there; OSError if
            the disk refuses.
    """
    weights = {name: tensor.detach() for name, tensor in model.net.state_dict().items()}
    if out.suffix == ".safetensors":
        tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
        save_file(tensors, out, metadata={"net": model.name, "format": "pt"})
        return f"{out}: {len(tensors)} tensors by our names"
    if out.suffix in (".pth", ".pt"):
        save_state_dict_file(out, torchvision.to_torchvision(model.name, weights))
        return f"{out}: torchvision's {torchvision.ARCHITECTURES[model.name]}"
    if out.suffix in CAFFE:
        save_weights(out, _to_caffe(model, weights))
        return f"{out}: for Caffe"
    if out.suffix:
        known = ", ".join((".safetensors", ".pth", *CAFFE[:2]))
        raise ValueError(f"{out} has no suffix that is known; use {known}, or a folder")
    save_model(model, out, record={"converted": True})
    return f"{out}: a model; try: alexnet predict {out} PICTURE"


def _from_tensors(source: Path, net: str, pictures: Pictures) -> Converted:
    given = load_state_dict_file(source)
    known = architecture(net)
    if set(given) <= set(_blank(net, known.published_classes, 0).state_dict()):  # our own names
        weights, side = given, known.input_size
        preprocessing, notes = _preprocessing(pictures, side, known.channels, ours=True)
    else:
        weights, notes, side = torchvision.from_torchvision(net, given), [], 224
        preprocessing = _of_torchvision(pictures, side)
        _divide_colours(_blank(net, 1, side), weights)
    classes = _classes(pictures, _count(net, weights))
    notes += _fill_auxiliary(net, len(classes), weights)
    return Converted(_model(net, classes, preprocessing, weights, source), notes)


def _from_caffe(source: Path, net: str, pictures: Pictures) -> Converted:
    weights = caffe_names.from_caffe(net, load_caffe_weights(source))
    known = architecture(net)
    preprocessing, notes = _preprocessing(pictures, known.input_size, known.channels, ours=True)
    classes = _classes(pictures, _count(net, weights))
    missing = _fill_auxiliary(net, len(classes), weights)
    return Converted(_model(net, classes, preprocessing, weights, source), [*notes, *missing])


def _from_caffe_text(source: Path, net: str, pictures: Pictures) -> Converted:
    known = architecture(net)
    built = known.build(classes=known.published_classes)
    assert isinstance(built, PictureNet)
    notes = built.body.load_blobs(load_caffe_weights(source), source=str(source))
    size = known.input_size
    preprocessing, more = _preprocessing(pictures, size, known.channels, ours=False)
    classes = _classes(pictures, built.classes)
    built.eval()
    model = Model(net, built, classes, preprocessing, text_of(known))
    return Converted(model, [*more, *notes])


def _to_caffe(model: Model, weights: dict[str, Tensor]) -> Message:
    if isinstance(model.net, PictureNet):
        return model.net.body.to_message()
    own: Literal["rgb", "bgr"] = "bgr" if model.preprocessing.colours == "bgr" else "rgb"
    blobs = caffe_names.to_caffe(model.name, weights, colours=own)
    net = Message("NetParameter", {"name": model.name})
    for name, arrays in blobs.items():
        layer = net.add("layer", {"name": name, "type": _type([a.ndim for a in arrays])})
        layer["blobs"] = [make_blob(array) for array in arrays]
    return net


def _type(ranks: list[int]) -> str:
    """Return the kind of a layer of Caffe's from the numbers of axes of its blobs."""
    if ranks[0] == 1:
        return "BatchNorm" if len(ranks) == 3 else "Scale"
    return "Convolution" if ranks[0] == 4 else "InnerProduct"


def _blank(net: str, classes: int, side: int) -> Chain:
    with torch.device("meta"):
        return architecture(net).build(classes=classes, input_size=side or None)


def _model(
    net: str,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    weights: dict[str, Tensor],
    source: Path,
) -> Model:
    known = architecture(net)
    built = known.build(classes=len(classes), input_size=preprocessing.crop_size)
    load_weights(built, weights, source)
    return Model(net, built.eval(), classes, preprocessing, text_of(known))


def _fill_auxiliary(net: str, classes: int, weights: dict[str, Tensor]) -> list[str]:
    """Add new weights for auxiliary classifiers that a file for answers does not have."""
    built = architecture(net).build(classes=classes)
    built.init_weights(torch.Generator().manual_seed(0))
    missing = [name for name in built.state_dict() if name not in weights]
    weights |= {name: built.state_dict()[name] for name in missing}
    layers = sorted({name.partition(".")[0] for name in missing})
    return [f"{', '.join(layers)}: not in the file; drawn anew, for training"] if layers else []


def _divide_colours(net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Divide the kernels of the first layer by the deviation of their colour, in grey levels."""
    first = next(name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
    deviation = 255 * torch.tensor(torchvision.DEVIATION).view(1, 3, 1, 1)
    weights[f"{first}.weight"] = weights[f"{first}.weight"] / deviation


def _of_torchvision(pictures: Pictures, side: int) -> Preprocessing:
    mean = 255 * torch.tensor(torchvision.MEAN)
    size = pictures.picture_size
    return Preprocessing(_statistics(mean.expand(size, size, 3), mean), size, side, "mean-value")


def _preprocessing(
    pictures: Pictures, side: int, channels: int, *, ours: bool
) -> tuple[Preprocessing, list[str]]:
    """Return Caffe's preprocessing; `ours` says that the net's kernels read RGB."""
    notes = []
    size = pictures.picture_size if pictures.picture_size >= side else side
    if channels == 1 and pictures == Pictures():
        size = side
    mean_value, image = _given_mean(pictures, channels)
    if image is not None:
        size = image.shape[0]
    elif not pictures.mean_value and channels == 3:
        shown = ", ".join(f"{value:g}" for value in ILSVRC_MEAN)
        notes.append(f"no mean given: ILSVRC-2012's is subtracted, {shown} (blue, green, red)")
    if image is None:
        image = mean_value.expand(size, size, 3)
    subtract: Subtract = "mean-image" if pictures.mean else "mean-value"
    colours: Colours = "grey" if channels == 1 else ("rgb" if ours else "bgr")
    return Preprocessing(
        _statistics(image, mean_value), size, side, subtract, 1 / pictures.scale, colours
    ), notes


def _given_mean(pictures: Pictures, channels: int) -> tuple[Tensor, Tensor | None]:
    """Return the mean colour, RGB, and the mean picture (H, W, 3) if there is a file of it."""
    if pictures.mean is not None and pictures.mean_value:
        raise ValueError("--mean and --mean-value are both given; leave one out")
    if pictures.mean is not None:
        array = torch.from_numpy(load_mean(pictures.mean).copy())  # (C, H, W), BGR
        if len(array) not in (1, 3) or array.shape[1] != array.shape[2]:
            raise ValueError(
                f"{pictures.mean} has the shape {tuple(array.shape)}; a mean of squares is needed"
            )
        image = array.flip(0).permute(1, 2, 0).expand(-1, -1, 3).contiguous()
        return image.mean((0, 1)), image
    values: Sequence[float] = pictures.mean_value
    if not values:
        values = ILSVRC_MEAN if channels == 3 else (0.0,)
    if len(values) not in (1, 3):
        raise ValueError(f"--mean-value has {len(values)} numbers; give one or three")
    return torch.tensor(values).flip(0).expand(3).clone(), None


def _statistics(image: Tensor, value: Tensor) -> Statistics:
    """Return statistics without principal colours, which no file of weights has."""
    return Statistics(image.float().contiguous(), value.float(), torch.zeros(3), torch.eye(3))


def _classes(pictures: Pictures, count: int) -> tuple[str, ...]:
    if pictures.labels is None:
        width = len(str(count - 1))
        return tuple(f"class {number:0{width}}" for number in range(count))
    lines = pictures.labels.read_text(encoding="utf-8").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != count:
        raise ValueError(
            f"{pictures.labels} names {len(names)} classes; the net has {count} outputs"
        )
    return names


def _count(net: str, weights: dict[str, Tensor]) -> int:
    """Return the number of outputs of the last layer on the way to the logits."""
    last = [
        name
        for name, layer in leaves(_blank(net, 1, 0))
        if next(layer.parameters(), None) is not None
    ]
    return len(weights[f"{last[-1]}.bias"])
