"""What a training step costs on several devices, in every arrangement, and which is best.

    step = computing + exposed communication,  as `alexnet.inspection.programs` runs through it
    pictures a second = batch / step
    efficiency = pictures a second / (devices * those of one device with the whole batch)

    memory = 4 (weights + velocities) + e gradients + e copy (bfloat16) + e buckets (replicas)
             + kept for the backward pass + gradients under way in the widest stage
             + the others' parts that have come

with e bytes an element. Not counted: what a library takes for its own work, the allocator's
fragments, the context of the device, and pictures that wait for their turn.

docs/scaling.md has the equations of all parts, and how near they come to what was measured.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple, get_args

import torch

from alexnet.inspection.cuts import (
    FLOAT,
    Cut,
    Rates,
    as_replicas,
    by_weird_trick,
    in_columns,
    uncut,
)
from alexnet.inspection.machines import (
    MEMORY_SHARE,
    SHARE,
    Cluster,
    Gpu,
    Message,
    Precision,
)
from alexnet.inspection.programs import (
    Rounds,
    Step,
    messages_of,
    plain,
    run,
    weird_trick,
)
from alexnet.inspection.stages import Counted, count_stages
from alexnet.model import architecture
from alexnet.nets.chain import Chain
from alexnet.parallel.layout import Crossing, Scheme

HALF = 2  # bytes of an element in either half precision
TYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
NOT_A_CHAIN = (
    "this net's layers form no chain: most are taken to read as much as they write, and auxiliary "
    "classifiers count with their weights and gradients only"
)


@dataclass(frozen=True)
class Question:
    """What is to be planned."""

    net: str = "alexnet"
    devices: int = 8
    batch: int = 1024
    """Pictures of an update, of all devices together."""
    precision: Precision = "bf16"
    crossing: Crossing = "same"
    """Type in which activations and their gradients travel between columns."""
    columns: int = 0
    """Columns of the net; 0 tries every number that divides the devices."""
    fc_batch: int = 0
    """Pictures after which the fully connected layers are updated in one weird trick, schemes b and
    c; 0 updates all layers together."""
    share: float = SHARE
    """Share of the arithmetic ceiling that layers with matrices reach."""
    classes: int | None = None
    input_size: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("devices", self.devices), ("batch", self.batch)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if self.batch % self.devices:
            raise ValueError(
                f"batch {self.batch} is not divisible by {self.devices} devices; use "
                f"{self.batch // self.devices * self.devices or self.devices} or another multiple"
            )
        if self.columns < 0 or (self.columns and self.devices % self.columns):
            near = [c for c in range(1, self.devices + 1) if self.devices % c == 0]
            raise ValueError(
                f"columns is {self.columns}, which does not divide {self.devices} devices; use one "
                f"of {', '.join(map(str, near))}"
            )
        if self.fc_batch < 0 or (self.fc_batch and self.batch % self.fc_batch):
            raise ValueError(
                f"fc_batch is {self.fc_batch}, which does not divide the batch, {self.batch}; give "
                "a divisor, or 0 to update all layers together"
            )
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must be above 0 and at most 1")


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: int
    """Float32 weights, and the copy at work where that is bfloat16."""
    velocities: int
    gradients: int
    """With the buckets that they travel in."""
    kept: int
    """Activations for the backward pass, the pictures among them."""
    workspace: int
    """The widest stage's gradients, and other processes' parts that have come for it."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.velocities + self.gradients + self.kept + self.workspace


@dataclass(frozen=True)
class Arrangement:
    """One way to train a net on the devices, and what it costs."""

    name: str
    options: str
    """Options of `alexnet train` that ask for it."""
    messages: tuple[Message, ...]
    """Those of one step, in their order."""
    memory: Memory
    fits: bool
    """Whether a device has that memory."""
    computing_seconds: float
    sending_seconds: float
    """Time of all messages, one after the other."""
    exposed_seconds: float
    """Time in which a device waits for messages; the rest is hidden behind computation."""
    pictures_per_second: float
    efficiency: float

    @property
    def step_seconds(self) -> float:
        """Time of a step."""
        return self.computing_seconds + self.exposed_seconds

    @property
    def handed_bytes(self) -> int:
        """Bytes that each process hands to the operations of a step."""
        return sum(message.handed_bytes for message in self.messages)

    @property
    def sent_bytes(self) -> float:
        """Bytes that each process sends in a step."""
        return sum(message.sent_bytes for message in self.messages)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {
            **{key: value for key, value in asdict(self).items() if key != "messages"},
            "memory": asdict(self.memory) | {"total": self.memory.total},
            "step_seconds": self.step_seconds,
            "handed_bytes": self.handed_bytes,
            "sent_bytes": round(self.sent_bytes),
            "messages": [asdict(m) | {"sent_bytes": round(m.sent_bytes)} for m in self.messages],
        }


@dataclass(frozen=True)
class Plan:
    """All arrangements of a net on some devices."""

    question: Question
    cluster: Cluster
    arrangements: tuple[Arrangement, ...]
    refusals: dict[str, str]
    """Why an arrangement cannot be, by its name."""
    notes: tuple[str, ...]

    @property
    def best(self) -> Arrangement | None:
        """The quickest that fits into the memory; None if none does."""
        fitting = [each for each in self.arrangements if each.fits]
        return max(fitting, key=lambda each: each.pictures_per_second, default=None)


class _Candidate(NamedTuple):
    """An arrangement that is to be costed."""

    name: str
    options: str
    cut: Callable[[], Cut]
    """Cuts the net, or raises ValueError."""
    program: Callable[[Cut], list[Step]]
    pictures: int
    """Those of a process."""
    seen: Callable[[], int]
    """Pictures that the stages above the whole ones see at a time; may raise ValueError."""


def plan(question: Question, cluster: Cluster) -> Plan:
    """Return what every arrangement costs.

    Raises:  ValueError if there is no such net or the GPU has no units for the precision.
    """
    found = architecture(question.net)
    classes = found.published_classes if question.classes is None else question.classes
    rates = rates_of(question, cluster.gpu)
    with torch.device("meta"):
        net = found.build(classes=classes, input_size=question.input_size)
    counted = count_stages(net, found.channels, TYPES[question.precision])
    made: list[Arrangement] = []
    refusals: dict[str, str] = {}
    for candidate in _candidates(question, net, counted, rates):
        one = made[0].pictures_per_second if made else 0.0
        try:
            made.append(_cost(candidate, question, cluster, rates, one))
        except ValueError as error:
            refusals[candidate.name] = str(error)
    notes = () if counted.is_chain else (NOT_A_CHAIN,)
    return Plan(question, cluster, tuple(made), refusals, notes)


def rates_of(question: Question, gpu: Gpu) -> Rates:
    """Return how fast a device works.

    Raises: ValueError if it has no units for the precision.
    """
    element = TYPES[question.precision].itemsize
    return Rates(
        arithmetic=question.share * gpu.ceiling(question.precision),
        memory=MEMORY_SHARE * gpu.memory_bandwidth,
        element=element,
        sent=element if question.crossing == "same" else HALF,
    )


def memory_of(cut: Cut, pictures: int, seen: int, rates: Rates) -> Memory:
    """Return what a process holds; `pictures` and `seen` as those of the whole and cut stages.

        kept = sum of pictures * kept of a stage, and (C - 1) / C * inputs where it crosses

    The module has the rest.
    """
    parameters = cut.parameters
    travelling = _travelling(cut)
    copy = rates.element if rates.element < FLOAT else 0
    kept, widest = 0.0, 0.0
    for number, share in enumerate(cut.shares):
        count = pictures if number < cut.whole or not cut.whole else seen
        kept += count * share.kept_bytes
        inputs = share.stage.inputs * rates.element
        if share.crosses and not share.is_norm:
            kept += count * inputs * (share.parts - 1) / share.parts
        if not share.below:
            read = inputs if share.reads_all or share.crosses else inputs / share.parts
            read = 0 if share.first else read  # nobody asks for the picture's gradient
            widest = max(widest, count * (read + share.stage.outputs * rates.element / share.parts))
    coming = seen * cut.shares[cut.whole].stage.inputs * rates.sent if cut.whole else 0
    return Memory(
        weights=(FLOAT + copy) * parameters,
        velocities=FLOAT * parameters,
        gradients=rates.element * (parameters + travelling),
        kept=round(kept),
        workspace=round(widest + coming),
    )


def _travelling(cut: Cut) -> int:
    """Return the elements of gradients that lie in buckets as well."""
    if cut.groups == 1:
        return 0
    shares = cut.shares[: cut.whole] if cut.whole else cut.shares
    return sum(sum(each.parameters) for each in shares)


def _candidates(
    question: Question, net: Chain, counted: Counted, rates: Rates
) -> Iterator[_Candidate]:
    """Yield all arrangements that there are for so many devices; the first is one device."""
    devices, batch = question.devices, question.batch

    def plainly(cut: Cut) -> list[Step]:
        return plain(cut, batch // cut.groups, rates)

    yield _Candidate("one device", "", partial(uncut, counted), plainly, batch, lambda: batch)
    if devices == 1:
        return
    own = batch // devices
    replicas = partial(as_replicas, net, counted, devices)
    yield _Candidate("replicas", "", replicas, plainly, own, lambda: own)
    for columns in range(2, devices + 1):
        if devices % columns or question.columns not in (0, columns):
            continue
        groups = devices // columns
        yield _Candidate(
            f"{columns} columns" + (f" x {groups}" if groups > 1 else ""),
            f"--columns {columns}",
            partial(in_columns, net, counted, columns, groups),
            plainly,
            batch // groups,
            lambda: 0,
        )
    for scheme in get_args(Scheme):
        rounds = Rounds(scheme, 0 if scheme == "a" else question.fc_batch)
        yield _Candidate(
            f"hybrid {scheme}" + (f", fc {rounds.fc_batch}" if rounds.fc_batch else ""),
            f"--hybrid {scheme}" + (f" --fc-batch {rounds.fc_batch}" if rounds.fc_batch else ""),
            partial(by_weird_trick, net, counted, devices),
            partial(weird_trick, pictures=own, rates=rates, rounds=rounds),
            own,
            partial(rounds.most, devices, own),
        )


def _cost(
    candidate: _Candidate,
    question: Question,
    cluster: Cluster,
    rates: Rates,
    one: float,
) -> Arrangement:
    """Return what an arrangement costs; `one` device has so many pictures a second."""
    cut = candidate.cut()
    program = candidate.program(cut)
    clock = run(program, cluster)
    memory = memory_of(cut, candidate.pictures, candidate.seen(), rates)
    speed = question.batch / (clock.computing + clock.exposed)
    return Arrangement(
        name=candidate.name,
        options=candidate.options,
        messages=tuple(messages_of(program)),
        memory=memory,
        fits=memory.total <= cluster.gpu.memory_bytes,
        computing_seconds=clock.computing,
        sending_seconds=clock.sending,
        exposed_seconds=clock.exposed,
        pictures_per_second=speed,
        efficiency=speed / one / question.devices if one else 1.0,
    )
