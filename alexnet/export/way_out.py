"""A model in the form of another program: written, loaded there, compared, then named.

Nothing stands under the name that was asked for before its answers are ours. It is written into a
folder of its own beside its place and moved when it has been compared.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from alexnet.data.folder import DataError
from alexnet.export import compare, convert, torchvision
from alexnet.export.caffe_text import caffe_net
from alexnet.export.compare import MOST_DIFFERENCE, Cost, Difference
from alexnet.export.hugging_face import write_folder
from alexnet.export.onnx_graph import Weights
from alexnet.export.onnx_model import model_proto
from alexnet.export.runtimes import check_packages, open_onnx, open_openvino
from alexnet.export.weights_file import load_state_dict_file, save_state_dict_file
from alexnet.model import Model, architecture, load_weights, open_model
from alexnet.nets.chain import Architecture
from alexnet.store import rename_durably
from alexnet.text import prototxt
from alexnet.text.blobs import save_mean
from alexnet.text.picture import PictureNet, preset_of, read_preset
from alexnet.text.weights import load_weights as load_caffe_weights
from alexnet.text.weights import save_weights

To = Literal["onnx", "safetensors", "torch", "caffe", "openvino", "huggingface"]
GRAPHS: tuple[To, ...] = ("onnx", "openvino")
"""Forms that hold the net beside its weights."""


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    to: To
    weights: Weights = "same"
    """int8: fully connected layers, with a scale for each row; bf16: all weights."""
    inside: bool = False
    """Whether the preprocessing is part of the graph."""
    digest: str = ""
    """Of the model's manifest, which the file names."""
    record: dict[str, Any] = field(default_factory=dict)
    """Where the model comes from, as its manifest says; huggingface keeps it."""
    card: bytes = b""
    """The model's card, for huggingface."""


class Sample(NamedTuple):
    """Pictures that both answer."""

    pictures: Tensor
    """(N, H, W, 3) uint8."""
    labels: Tensor | None
    """(N,), None where they are not known."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    bytes: int
    difference: Difference
    """From our answers with the same weights, rounded or not."""
    cost: Cost | None
    """Of rounded weights."""


class Form(NamedTuple):
    """How a form is written and what answers from it."""

    write: Callable[[Model, Path, Wish], list[Path]]
    answer: Callable[[Model, Path, Tensor], Tensor]


def export(model: Model, out: Path, wish: Wish, sample: Sample) -> Exported:
    """Write a model in another form, once its answers have been found to be ours.

    Raises: ValueError if the net has no such form, DataError if the answers differ by more than
            MOST_DIFFERENCE, PackageMissing if a package is missing, OSError if the disk refuses.
    """
    check_wish(wish)
    ours = compare.answers(model.net, sample.pictures, model.preprocessing)
    wanted, price = ours, None
    if wish.weights != "same":
        net = compare.rounded(model.net, wish.weights)
        wanted = compare.answers(net, sample.pictures, model.preprocessing)
        del net
    form = FORMS[wish.to]
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        files = form.write(model, Path(folder) / out.name, wish)
        theirs = form.answer(model, files[0], sample.pictures)
        found = compare.difference(wanted, theirs)
        if not found.largest <= MOST_DIFFERENCE:
            raise DataError(
                f"{out.name} answers otherwise than this net, on {found.text()}; at most "
                f"{MOST_DIFFERENCE:g} is explained by sums in another order, so that it was not "
                "kept"
            )
        if wish.weights != "same":
            price = compare.cost(ours, theirs, sample.labels)
        size = sum(_size(file) for file in files)
        named = tuple(_place(file, out.parent / file.name) for file in reversed(files))[::-1]
    return Exported(named, size, found, price)


def check_wish(wish: Wish) -> None:
    """Refuse what does not go together, before any time is spent.

    Raises: ValueError, PackageMissing.
    """
    if wish.to not in GRAPHS and wish.weights != "same":
        raise ValueError(
            f"--to {wish.to} has no {wish.weights} weights; leave --weights out, or use --to onnx"
        )
    if wish.to not in GRAPHS and wish.inside:
        raise ValueError(
            f"--to {wish.to} holds weights alone and no preprocessing; leave --preprocessing out, "
            "or use --to onnx"
        )
    needed = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}
    check_packages(needed.get(wish.to, ()))


def _size(path: Path) -> int:
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _place(temporary: Path, path: Path) -> Path:
    """Put a file in its place once it is on the disk."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    rename_durably(temporary, path)
    return path


def _write_onnx(model: Model, path: Path, wish: Wish) -> list[Path]:
    proto = model_proto(model, inside=wish.inside, weights=wish.weights, digest=wish.digest)
    path.write_bytes(proto.SerializeToString())
    return [path]


def _answer_onnx(model: Model, path: Path, pictures: Tensor) -> Tensor:
    runner = open_onnx(path, threads=torch.get_num_threads())
    parts = [runner.answer(some.numpy()) for some in pictures.split(compare.BATCH_SIZE)]
    return torch.cat([torch.from_numpy(part) for part in parts])


def _write_openvino(model: Model, path: Path, wish: Wish) -> list[Path]:
    import openvino

    proto = model_proto(model, inside=wish.inside, weights=wish.weights, digest=wish.digest)
    core = openvino.Core()
    net = core.read_model(proto.SerializeToString())
    for entry in proto.metadata_props:
        net.set_rt_info(entry.value, [entry.key.replace(".", "_")])
    openvino.serialize(net, path, path.with_suffix(".bin"))
    return [path, path.with_suffix(".bin")]


def _answer_openvino(model: Model, path: Path, pictures: Tensor) -> Tensor:
    runner = open_openvino(path)
    parts = [runner.answer(some.numpy()) for some in pictures.split(compare.BATCH_SIZE)]
    return torch.cat([torch.from_numpy(part) for part in parts])


def _write_weights(model: Model, path: Path, wish: Wish) -> list[Path]:
    if wish.to == "safetensors" or model.name in torchvision.ARCHITECTURES:
        convert.write(model, path)
    else:
        save_state_dict_file(path, model.net.state_dict())
    return [path]


def _answer_weights(model: Model, path: Path, pictures: Tensor) -> Tensor:
    """Answer with the file's weights in a new net."""
    weights = load_state_dict_file(path)
    if path.suffix == ".pth" and model.name in torchvision.ARCHITECTURES:
        size = model.preprocessing.crop_size
        weights = torchvision.from_torchvision(model.name, weights, input_size=size)
    net = _architecture(model).build(
        classes=len(model.classes), input_size=model.preprocessing.crop_size
    )
    load_weights(net, weights, path)
    return compare.answers(net.eval(), pictures, model.preprocessing)


def _architecture(model: Model) -> Architecture:
    if not model.text:
        return architecture(model.name)
    return preset_of(prototxt.parse(model.text, "NetParameter", source=model.name), source="")


def _write_caffe(model: Model, path: Path, wish: Wish) -> list[Path]:
    """Write weights, text and, where it is subtracted, the mean picture."""
    if isinstance(model.net, PictureNet):
        text, body = prototxt.print_text(model.net.deploy.net), model.net.body
    else:
        text, body = caffe_net(model.net, model.preprocessing)
    save_weights(path, body.to_message())
    files = [path, path.with_suffix(".prototxt")]
    files[1].write_text(text, encoding="utf-8")
    if model.preprocessing.subtract == "mean-image":
        files.append(path.with_suffix(".binaryproto"))
        mean = model.preprocessing.statistics.mean_image.permute(2, 0, 1).flip(0)  # BGR
        save_mean(files[2], mean.numpy())
    return files


def _answer_caffe(model: Model, path: Path, pictures: Tensor) -> Tensor:
    """Answer by the files alone, in the colours that Caffe's pictures have."""
    known = read_preset(path.with_suffix(".prototxt"))
    net = known.build(classes=len(model.classes), input_size=model.preprocessing.crop_size)
    net.body.load_blobs(load_caffe_weights(path), source=str(path))
    given = model.preprocessing
    if given.colours == "rgb" and not isinstance(model.net, PictureNet):
        given = replace(given, colours="bgr")
    return compare.answers(net.eval(), pictures, given)


def _write_folder(model: Model, path: Path, wish: Wish) -> list[Path]:
    write_folder(model, path, card=wish.card, record=wish.record)
    return [path]


def _answer_folder(model: Model, path: Path, pictures: Tensor) -> Tensor:
    opened = open_model(path)
    return compare.answers(opened.net, pictures, opened.preprocessing)


FORMS: dict[To, Form] = {
    "onnx": Form(_write_onnx, _answer_onnx),
    "openvino": Form(_write_openvino, _answer_openvino),
    "safetensors": Form(_write_weights, _answer_weights),
    "torch": Form(_write_weights, _answer_weights),
    "caffe": Form(_write_caffe, _answer_caffe),
    "huggingface": Form(_write_folder, _answer_folder),
}
"""All forms."""
