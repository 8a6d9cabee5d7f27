"""`alexnet plan`: what several devices would make of a training, before anyone pays for them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from alexnet.inspection.machines import Cluster, Message
    from alexnet.inspection.plan import Arrangement, Plan

MEGA, GIGA, TERA = 1e6, 1e9, 1e12
SMALL = 2**14  # bytes


@Parameter(name="*")
@dataclass(frozen=True)
class Devices:
    """What the net is to run on."""

    devices: int = 8
    """GPUs, all nodes together."""
    gpu: str = "h200"
    """gtx-580, k20, v100, a100, h100 or h200; its figures are the vendor's."""
    nodes: int = 0
    """Nodes over which the devices are spread evenly; 0 takes as few as hold them."""
    devices_per_node: int = 8
    """Devices of a node, where --nodes does not say."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic; auto is bf16 where the GPU has units for it."""
    share: float = 0.4
    """Share of the arithmetic ceiling that layers with matrices reach."""


@Parameter(name="*")
@dataclass(frozen=True)
class Training:
    """What is to be trained, and how."""

    batch: int = 1024
    """Pictures of an update, of all devices together."""
    columns: int = 0
    """Columns of the net; 0 tries every number that divides the devices."""
    fc_batch: int = 0
    """Pictures after which the fully connected layers are updated in one weird trick; 0 updates all
    layers together."""
    crossing: Literal["same", "fp16", "bf16"] = "same"
    """Type in which activations and their gradients travel between columns."""
    classes: int = 0
    """Number of classes; 0 takes those of the net's source."""
    input_size: int = 0
    """Width of the input in pixels; 0 takes the net's own."""


def plan(
    net: str = "alexnet",
    *,
    on: Devices = Devices(),
    training: Training = Training(),
    details: Annotated[bool, Parameter(negative=())] = False,
    as_json: Json = False,
) -> int:
    """Print what a training step costs on several devices, in every arrangement, by a model.

    Messages, memory, computing, waiting, pictures a second and efficiency of replicas, of columns
    as in 2012 and of one weird trick, and which is best. docs/scaling.md has the equations.

    Parameters
    ----------
    net
        Name of a net (a name that is none lists all), or a .prototxt.
    details
        Print the messages and the memory of every arrangement, not only of the best.
    """
    from alexnet.inspection.plan import Question
    from alexnet.inspection.plan import plan as find_plan

    cluster = _cluster(on)
    precision = on.precision
    if precision == "auto":
        precision = "fp32" if cluster.gpu.bf16 is None else "bf16"
    question = Question(
        net=net,
        devices=on.devices,
        batch=training.batch,
        precision=precision,
        crossing=training.crossing,
        columns=training.columns,
        fc_batch=training.fc_batch,
        share=on.share,
        classes=training.classes or None,
        input_size=training.input_size or None,
    )
    found = find_plan(question, cluster)
    if as_json:
        print_json(_to_json(found, on.gpu))
        return 0
    _print(found, on.gpu, details=details)
    return 0


def _cluster(on: Devices) -> "Cluster":
    """Return the devices in their nodes.

    Raises: ValueError for numbers that do not fit each other, or a GPU that nobody knows.
    """
    from alexnet.inspection.machines import Cluster, find_gpu

    gpu, devices = find_gpu(on.gpu), on.devices
    for name, value in (("devices", devices), ("devices_per_node", on.devices_per_node)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    nodes = on.nodes or -(-devices // on.devices_per_node)
    if nodes < 1 or devices % nodes:
        raise ValueError(
            f"{devices} devices cannot be spread evenly over {nodes} node(s); take another "
            "--devices, --nodes or --devices-per-node"
        )
    return Cluster(gpu, devices, devices // nodes)


def _print(found: "Plan", gpu: str, *, details: bool) -> None:
    question, cluster = found.question, found.cluster
    ceiling = cluster.gpu.ceiling(question.precision)
    print(
        f"{question.net} on {cluster.devices} x {gpu}, {cluster.nodes} node(s) of "
        f"{cluster.devices_per_node}; batch {question.batch:,} in {question.precision}; "
        f"{question.share:.0%} of {ceiling / TERA:,.4g} TFLOP/s\n"
    )
    header = (
        *("arrangement", "messages", "MB sent", "GB held", "computing ms", "sending ms"),
        *("waiting ms", "step ms", "pictures/s", "efficiency"),
    )
    print_table(header, [_row(each) for each in found.arrangements])
    print()
    _print_best(found)
    for name, reason in found.refusals.items():
        print(f"not possible: {name}: {reason}")
    for note in found.notes:
        print(f"note: {note}")
    for each in found.arrangements if details else [found.best] if found.best else []:
        _print_details(each, cluster)


def _row(each: "Arrangement") -> tuple[object, ...]:
    held = f"{each.memory.total / GIGA:.2f}" + ("" if each.fits else " (too much)")
    return (
        each.name,
        len(each.messages),
        f"{each.sent_bytes / MEGA:,.1f}",
        held,
        *_milliseconds(each.computing_seconds, each.sending_seconds, each.exposed_seconds),
        *_milliseconds(each.step_seconds),
        round(each.pictures_per_second),
        f"{each.efficiency:.0%}",
    )


def _print_best(found: "Plan") -> None:
    best, cluster, question = found.best, found.cluster, found.question
    if best is None:
        least = min(found.arrangements, key=lambda each: each.memory.total)
        print(
            f"none fits into {cluster.gpu.memory_bytes / GIGA:.1f} GB; {least.name} takes the "
            f"least, {least.memory.total / GIGA:.1f} GB: take a smaller --batch or more --devices"
        )
        return
    command = "alexnet"
    if best.name != "one device":
        nodes = f"--nnodes {cluster.nodes} " if cluster.nodes > 1 else ""
        command = f"torchrun {nodes}--nproc-per-node {cluster.devices_per_node} -m alexnet"
    words = [command, "train DATA", f"--net {question.net} --batch {question.batch}", best.options]
    if question.crossing != "same" and best.options:
        words.append(f"--crossing {question.crossing}")
    print(f"best: {best.name}: {' '.join(filter(None, words))}")


def _print_details(each: "Arrangement", cluster: "Cluster") -> None:
    memory = each.memory
    print(
        f"\n{each.name}: {memory.weights / MEGA:,.0f} MB weights, {memory.velocities / MEGA:,.0f} "
        f"velocities, {memory.gradients / MEGA:,.0f} gradients, {memory.kept / MEGA:,.0f} kept for "
        f"the backward pass, {memory.workspace / MEGA:,.0f} workspace"
    )
    if not each.messages:
        return
    alike: dict[Message, list[str]] = {}
    for message in each.messages:  # batch norm's sums, of which there are many, share a row
        is_sum = message.operation == "all_reduce" and message.handed_bytes < SMALL
        alike.setdefault(replace(message, layer="") if is_sum else message, []).append(
            message.layer
        )
    header = ("message", "pass", "operation", "among", "times", "bytes handed", "MB sent", "ms")
    rows = [
        (
            *(_names(layers), m.direction, m.operation, m.ranks, len(layers), m.handed_bytes),
            f"{m.sent_bytes / MEGA:,.3f}",
            *_milliseconds(cluster.seconds(m)),
        )
        for m, layers in alike.items()
    ]
    print_table(header, rows, left=3)


def _names(layers: list[str]) -> str:
    """Return the name of several messages that are alike."""
    others = len(set(layers)) - 1
    return layers[0] + (f" and {others} others" if others else "")


def _milliseconds(*seconds: float) -> list[str]:
    return [f"{each * 1e3:,.3f}" for each in seconds]


def _to_json(found: "Plan", gpu: str) -> dict[str, Any]:
    question, cluster = found.question, found.cluster
    return {
        "net": question.net,
        "gpu": gpu,
        "gpu_source": cluster.gpu.source,
        "devices": cluster.devices,
        "nodes": cluster.nodes,
        "batch": question.batch,
        "precision": question.precision,
        "share": question.share,
        "best": found.best.name if found.best else None,
        "arrangements": [each.to_json() for each in found.arrangements],
        "refusals": found.refusals,
        "notes": list(found.notes),
    }
