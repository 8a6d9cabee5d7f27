"""Nets and solvers of all of Caffe's years, as those of Caffe 1.0.

Source: BVLC Caffe 1.0, src/caffe/util/upgrade_proto.cpp. What differs: nets inside a solver are
upgraded too, and inputs without enough dimensions are refused, which Caffe reads past their end.
"""

from pathlib import Path
from typing import Final

from alexnet.text.message import Message
from alexnet.text.prototxt import load
from alexnet.text.upgrade_v0 import is_v0, upgrade_v0
from alexnet.text.upgrade_v1 import has_old_transformations, move_transformations, upgrade_v1

SOLVER_TYPES: Final = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}
"""Solvers by their old names, and by those of today."""
_NETS: Final = ("net_param", "train_net_param", "test_net_param")


def read_net(path: Path, *, allow_unknown: list[str] | None = None) -> Message:
    """Read a net of any year from a prototxt.

    Raises: TextError as `prototxt.load` and `upgrade_net` do.
    """
    return upgrade_net(load(path, "NetParameter", allow_unknown=allow_unknown))


def read_solver(path: Path, *, allow_unknown: list[str] | None = None) -> Message:
    """Read a solver of any year from a prototxt, with a prefix for its snapshots.

    A prefix that is missing is the file's own path without its ending; one that is a folder gets
    the file's name without its ending.

    Raises: TextError as `prototxt.load` and `upgrade_solver` do.
    """
    solver = upgrade_solver(load(path, "SolverParameter", allow_unknown=allow_unknown))
    if "snapshot_prefix" not in solver:
        solver["snapshot_prefix"] = str(path.with_suffix(""))
    elif Path(solver["snapshot_prefix"]).is_dir():
        solver["snapshot_prefix"] = str(Path(solver["snapshot_prefix"], path.stem))
    return solver


def upgrade_net(net: Message) -> Message:
    """Return a net of any year, with or without blobs, as one of Caffe 1.0; arrays are shared.

    Raises: TextError if the net mixes layers of different years, or an old one makes no sense.
    """
    return _upgrade(net)[0]


def upgrade_notes(net: Message) -> list[str]:
    """Return what `upgrade_net` changes in a net, and what it drops; nothing for a net of today.

    Raises: TextError as `upgrade_net` does.
    """
    return _upgrade(net)[1]


def upgrade_solver(solver: Message) -> Message:
    """Return a solver of any year as one of Caffe 1.0, with its nets.

    Raises: TextError if it has both solver_type and type, or a net that cannot be upgraded.
    """
    upgraded = solver.copy()
    if "solver_type" in solver:
        if "type" in solver:
            raise solver.refuse(
                "solver_type is the old name of type, and both are given; delete solver_type",
                "solver_type",
            )
        upgraded["type"] = SOLVER_TYPES[solver["solver_type"]]
        del upgraded["solver_type"]
    for name in _NETS:
        if name in solver:
            value = solver[name]
            many = solver.field(name).repeated
            upgraded[name] = [upgrade_net(net) for net in value] if many else upgrade_net(value)
    return upgraded


def _upgrade(net: Message) -> tuple[Message, list[str]]:
    notes: list[str] = []
    if "layers" in net and "layer" in net:
        upgrade_v1(net)  # which refuses it
    upgraded = net.copy()
    if is_v0(upgraded):
        notes.append("layers of 2013 (V0) are read as those of 2014")
        upgraded = upgrade_v0(upgraded, notes)
    if has_old_transformations(upgraded):
        notes.append("scale, mean_file, crop_size and mirror are moved into transform_param")
        move_transformations(upgraded)
    if "layers" in upgraded:
        notes.append("layers of 2014 (V1, `layers`) are read as those of today (`layer`)")
        upgraded = upgrade_v1(upgraded)
    if "input" in upgraded:
        notes.append("input fields are read as an Input layer")
        _add_input_layer(upgraded)
    if any(_has_old_specs(layer) for layer in upgraded["layer"]):
        notes.append("lr_mult and decay_mult of BatchNorm layers are 0")
        _clear_specs(upgraded)
    return upgraded, notes


def _add_input_layer(net: Message) -> None:
    """Turn a net's input fields into a layer before the others; without shapes, drop them."""
    count = len(net["input"])
    if "input_shape" in net:
        if len(net["input_shape"]) < count:
            raise net.refuse(
                f"there are {count} inputs, but {len(net['input_shape'])} input_shape", "input"
            )
        shapes = net["input_shape"][:count]
    else:
        dims = list(net["input_dim"])
        if dims and len(dims) < 4 * count:
            raise net.refuse(
                f"there are {count} inputs of 4 dimensions each, but {len(dims)} input_dim", "input"
            )
        shapes = [{"dim": dims[4 * i : 4 * i + 4]} for i in range(count if dims else 0)]
    if shapes:  # a caffemodel's net names its inputs alone
        layer = Message("LayerParameter", {"name": "input", "type": "Input", "top": net["input"]})
        layer["input_param"] = {"shape": shapes}
        layer.stand_where(net, "input")
        net["layer"] = [layer, *net["layer"]]
    for name in ("input", "input_shape", "input_dim"):
        del net[name]


def _has_old_specs(layer: Message) -> bool:
    specs = layer["param"]
    return (
        layer["type"] == "BatchNorm"
        and len(specs) == 3
        and any(spec["lr_mult"] != 0 or spec["decay_mult"] != 0 for spec in specs)
    )


def _clear_specs(net: Message) -> None:
    for layer in filter(_has_old_specs, net["layer"]):
        for spec in layer["param"]:
            spec["lr_mult"], spec["decay_mult"] = 0.0, 0.0
