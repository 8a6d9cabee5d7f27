"""Those who do the same work, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from alexnet.bench import peers_caffe, peers_keras, peers_onnx, peers_torch
from alexnet.bench.case import Case, Contender, Precision, check_installed
from alexnet.nearest import nearest

Work = Literal["train", "infer"]


@dataclass(frozen=True)
class Peer:
    """How to set up one of them for training or for answers; None where it cannot."""

    train: Callable[[Case], Contender] | None
    infer: Callable[[Case], Contender] | None
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    check: Callable[[], object] = lambda: None
    """Raises PeerMissing if something that it needs is not installed."""


ALL: tuple[Precision, ...] = ("fp32", "bf16", "int8")
PEERS: dict[str, Peer] = {
    "torch": Peer(peers_torch.training, peers_torch.inference),
    "compile": Peer(
        peers_torch.compiled_training,
        peers_torch.compiled_inference,
        check=peers_torch.find_compiler,
    ),
    "onnxruntime": Peer(
        None,
        peers_onnx.onnxruntime,
        ALL,
        lambda: check_installed(("onnxruntime", "onnx"), peer="onnxruntime"),
    ),
    "openvino": Peer(
        None,
        peers_onnx.openvino,
        ALL,
        lambda: check_installed(("openvino", "onnx"), peer="openvino"),
    ),
    "keras": Peer(
        peers_keras.training,
        peers_keras.inference,
        check=lambda: check_installed(("keras",), peer="keras"),
    ),
    "caffe": Peer(peers_caffe.training, peers_caffe.inference, ("fp32",), peers_caffe.find_program),
}


@dataclass(frozen=True)
class Chosen:
    """A peer, the arithmetic that it is to use, and what sets it up."""

    name: str
    precision: Precision
    build: Callable[[Case], Contender]


def choose(words: Sequence[str], work: Work, precision: Precision) -> list[Chosen]:
    """Return the peers that are named, NAME or NAME:PRECISION; the default is `precision`.

    Raises: ValueError if nobody has that name, cannot do the work, or not in that arithmetic,
            PeerMissing if what it needs is not installed.
    """
    return [_choose(word, work, precision) for word in dict.fromkeys(words)]


def _choose(word: str, work: Work, default: Precision) -> Chosen:
    name, _, wanted = word.partition(":")
    if name not in PEERS:
        raise ValueError(
            f"nobody to compare with is called {name!r}{nearest(name, PEERS)}; "
            f"there are {', '.join(PEERS)}"
        )
    peer = PEERS[name]
    known = get_args(Precision)
    if wanted and wanted not in known:
        raise ValueError(
            f"no precision is called {wanted!r}{nearest(wanted, known)}; "
            f"write {name}:PRECISION with one of {', '.join(peer.precisions)}"
        )
    precision: Precision = next((each for each in known if each == wanted), default)
    if precision not in peer.precisions:
        raise ValueError(
            f"{name} is timed in {' and '.join(peer.precisions)}, not in {precision}; "
            f"write {name}:{peer.precisions[-1]}"
        )
    build = peer.train if work == "train" else peer.infer
    if build is None:
        raise ValueError(f"{name} does not train; compare its answers: alexnet bench infer")
    peer.check()
    return Chosen(name, precision, build)
