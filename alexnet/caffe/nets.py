"""The nets of a solver: one that it trains and any number that it tests, which share its weights.

Source: Caffe, solver.cpp: InitTrainNet and InitTestNets; net.cpp: ShareTrainedLayersWith. Paths in
a solver are relative to the folder where the program runs, as in the original.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from alexnet.caffe.log import LOG
from alexnet.text import prototxt
from alexnet.text.graph import TextNet
from alexnet.text.kind import Source
from alexnet.text.message import Message, TextError
from alexnet.text.solver_rules import TRAIN_NETS
from alexnet.text.weights import load_weights


def build_train_net(solver: Message, *, generator: torch.Generator | None = None) -> TextNet:
    """Build the net that a solver trains, with the weights it names.

    Raises: TextError if the net, or a file of weights, is refused.
    """
    field = next(field for field in TRAIN_NETS if field in solver)
    if field.endswith("_param"):
        LOG.info(f"Creating training net specified in {field}.")
        text: Message = solver[field].copy()
    else:
        LOG.info(f"Creating training net from {field} file: {solver[field]}")
        text = prototxt.load(Path(solver[field]), "NetParameter")
    net = _build(text, "TRAIN", [solver["train_state"]], generator)
    _finetune(net, solver)
    return net


def build_test_nets(solver: Message, *, generator: torch.Generator | None = None) -> list[TextNet]:
    """Build the nets that a solver tests; where `net` is given, one for each test_iter left.

    Raises: TextError if a net, or a file of weights, is refused.
    """
    states: Sequence[Message] = solver["test_state"]
    nets = []
    for number, (source, text) in enumerate(_test_texts(solver)):
        LOG.info(f"Creating test net (#{number}) specified by {source}")
        net = _build(text, "TEST", states[number : number + 1], generator)
        _finetune(net, solver)
        nets.append(net)
    return nets


def _test_texts(solver: Message) -> Iterator[tuple[str, Message]]:
    """Yield where the text of each test net comes from, and the text."""
    for text in solver["test_net_param"]:
        yield "test_net_param", text.copy()
    for name in solver["test_net"]:
        yield f"test_net file: {name}", prototxt.load(Path(name), "NetParameter")
    own = len(solver["test_net_param"]) + len(solver["test_net"])
    for _ in range(len(solver["test_iter"]) - own):
        if "net_param" in solver:
            yield "net_param", solver["net_param"].copy()
        else:
            yield f"net file: {solver['net']}", prototxt.load(Path(solver["net"]), "NetParameter")


def _build(
    text: Message, phase: str, states: Sequence[Message], generator: torch.Generator | None
) -> TextNet:
    """Build a net in the state that its text gives, then the solver; the solver's has the word."""
    merged = Message("NetState", {"phase": phase})
    for state in [text["state"], *states]:
        for field, value in state.items():
            merged[field.name] = [*merged["stage"], *value] if field.repeated else value
    text["state"] = merged
    net = TextNet(text, merged["phase"], generator=generator)
    if generator is not None:
        for layer in net.layers.values():
            if isinstance(layer, Source):
                layer.seed(generator.initial_seed() % 2**32)
    return net


def _finetune(net: TextNet, solver: Message) -> None:
    for names in solver["weights"]:
        load_lists(net, names)


def load_lists(net: TextNet, names: str) -> None:
    """Copy weights by layer name from the files in a list with commas, each over the one before.

    Raises: TextError if a layer has other blobs in a file than in the net.
    """
    for name in names.split(","):
        LOG.info(f"Finetuning from {name.strip()}")
        copy_weights(net, Path(name.strip()))


def copy_weights(net: TextNet, path: Path) -> None:
    """Copy weights by layer name from a .caffemodel or its HDF5 twin, and log what is remarkable.

    Raises: TextError if a layer has other blobs in the file than in the net.
    """
    for note in net.load_blobs(load_weights(path)):
        LOG.info(note)


def share_weights(target: TextNet, source: TextNet) -> None:
    """Make the blobs of one net those of another, in the same memory, by the layers' names.

    Raises: TextError if a layer of that name has other blobs.
    """
    own = target.blobs()
    for name, blobs in source.blobs().items():
        if name not in target.layers:
            LOG.info(f"Ignoring source layer {name}")
            continue
        shapes = [tuple(blob.shape) for blob in blobs]
        wanted = [tuple(blob.shape) for blob in own.get(name, [])]
        if shapes != wanted:
            raise TextError(
                f"layer {name!r} has blobs of shapes {wanted} in the test net and {shapes} in the "
                "train net; they share weights by name: give one layer another name"
            )
        for blob, shared in zip(own.get(name, []), blobs, strict=True):
            blob.data = shared.data
