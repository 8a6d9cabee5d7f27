"""What a process does in a training step, in each arrangement: computing, sending, waiting.

    one device   forward, backward, update
    replicas     the same on a G-th of the batch; gradients leave in buckets while the backward pass
                 goes on
    columns      a C-th of each layer's kernels on a G-th of the batch; crossings as in
                 `alexnet.parallel.columns`, and the gradients' buckets between the groups
    hybrid       the convolutional layers as replicas, then the rounds of `alexnet.parallel.hybrid`

A program follows the order in which our code starts messages and waits for them. A device computes
one thing at a time, and one message after the other is on its wires:

    computing   clock = clock + its time
    starting    wires = max(wires, clock) + its time; the message is there then
    waiting     clock = max(clock, when the message is there)

What waiting takes is the communication that is left exposed. Not counted: the few numbers with
which the processes agree on the batch and on stopping, and the loss.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from alexnet.inspection.cuts import FLOAT, Cut, Rates, Share
from alexnet.inspection.machines import Cluster, Direction, Message, Operation
from alexnet.parallel.layout import Scheme

FIRST_BUCKET, BUCKET = 2**20, 25 * 2**20
"""Bytes at which DistributedDataParallel sends the first bucket of gradients, and each other."""


class Compute(NamedTuple):
    """Keep the device busy."""

    seconds: float


class Start(NamedTuple):
    """Send a message, and go on."""

    message: Message


class Wait(NamedTuple):
    """Do nothing until a message has come; it is the one that was started."""

    message: Message


Step = Compute | Start | Wait
LABEL = 8  # bytes of a label, of an index, of a count


class Clock(NamedTuple):
    """What a program took, in seconds."""

    computing: float
    sending: float
    """Time of all messages, one after the other."""
    exposed: float
    """Time in which the device waits for messages."""


def run(program: Sequence[Step], cluster: Cluster) -> Clock:
    """Return the time of a program; the module has the rules."""
    clock = wires = computing = sending = exposed = 0.0
    there: dict[int, float] = {}
    for step in program:
        match step:
            case Compute():
                clock += step.seconds
                computing += step.seconds
            case Start():
                seconds = cluster.seconds(step.message)
                wires = max(wires, clock) + seconds
                sending += seconds
                there[id(step.message)] = wires
            case Wait():
                late = max(0.0, there[id(step.message)] - clock)
                clock += late
                exposed += late
    return Clock(computing, sending, exposed)


def messages_of(program: Sequence[Step]) -> list[Message]:
    """Return all messages of a program, in the order in which they are started."""
    return [step.message for step in program if isinstance(step, Start)]


def plain(cut: Cut, pictures: int, rates: Rates) -> list[Step]:
    """Return the step of one device, of replicas or of columns, of a net for so many pictures.

    `pictures` are those of a process: a group's part of the batch.
    """
    program: list[Step] = []
    for share in cut.shares:
        program += _forward(share, cut, pictures, rates)
    program += _logits(cut, pictures, rates)
    buckets = _Buckets(cut, rates)
    for share in reversed(cut.shares):
        program += _backward(share, cut, pictures, rates)
        program += buckets.ready(share)
    program += buckets.rest()
    return [*program, Compute(rates.update_seconds(cut.parameters))]


class Rounds(NamedTuple):
    """How one weird trick goes through a batch."""

    scheme: Scheme
    fc_batch: int = 0
    """Pictures after which the fully connected layers are updated; 0 updates all at the end."""

    def pieces(self, size: int, pictures: int) -> list[list[int]]:
        """Return the pictures of each message in each round, with so many of each process.

        A message of scheme b has pictures of one process, one of a or c as many of each.

        Raises: ValueError if processes cannot give equal parts to a round.
        """
        if self.scheme == "a":
            return [[pictures]]
        if self.scheme == "b":
            each = self.fc_batch or pictures
            edges = {*range(0, size * pictures + 1, pictures), *range(0, size * pictures, each)}
            rounds: list[list[int]] = []
            for start, stop in pairwise(sorted(edges)):
                if start % each == 0:
                    rounds.append([])
                rounds[-1].append(stop - start)
            return rounds
        if self.fc_batch % size:
            raise ValueError(
                f"fc_batch is {self.fc_batch}, of which {size} processes cannot give equal parts; "
                f"take a multiple of {size}, or scheme b"
            )
        ends = [number * pictures // size for number in range(size + 1)]
        if self.fc_batch:
            ends = [*range(0, pictures, self.fc_batch // size), pictures]
        return [[high - low] for low, high in pairwise(ends) if high > low]

    def most(self, size: int, pictures: int) -> int:
        """Return the pictures that the fully connected layers see at a time, at most."""
        many = max(map(sum, self.pieces(size, pictures)))
        return many if self.scheme == "b" else many * size


def weird_trick(cut: Cut, pictures: int, rates: Rates, *, rounds: Rounds) -> list[Step]:
    """Return the step of one weird trick; `pictures` are those of each process."""
    lower = cut.shares[: cut.whole]
    program = list(_at_once(_message("pictures' count", "forward", "all_gather", cut, LABEL)))
    labels = 2 * LABEL * pictures
    program += _at_once(_message("labels and indices", "forward", "all_gather", cut, labels))
    for share in lower:
        program += _forward(share, cut, pictures, rates)
    program += _rounds(cut, pictures, rates, rounds)
    buckets = _Buckets(cut, rates)
    for share in reversed(lower):
        program += _backward(share, cut, pictures, rates)
        program += buckets.ready(share)
    program += buckets.rest()
    left = lower if rounds.fc_batch else cut.shares
    return [*program, Compute(rates.update_seconds(_parameters(left)))]


def _rounds(cut: Cut, pictures: int, rates: Rates, rounds: Rounds) -> Iterator[Step]:
    """Yield the rounds: the activations of the next are under way while one is computed."""
    upper, planned = cut.shares[cut.whole :], rounds.pieces(cut.size, pictures)
    there = [[_activations(cut, n, rates, rounds.scheme) for n in pieces] for pieces in planned]
    back: list[Message] = []
    yield from (Start(message) for message, _ in there[0])
    for number, pieces in enumerate(planned):
        yield from (Wait(message) for message, _ in there[number])
        if number + 1 < len(planned):
            yield from (Start(message) for message, _ in there[number + 1])
        seen = sum(pieces) if rounds.scheme == "b" else sum(pieces) * cut.size
        for share in upper:
            yield from _forward(share, cut, seen, rates)
        yield from _logits(cut, seen, rates)
        for share in reversed(upper):
            yield from _backward(share, cut, seen, rates)
        back += (message for _, message in there[number])
        yield from (Start(message) for _, message in there[number])
        if rounds.fc_batch:
            yield Compute(rates.update_seconds(_parameters(upper)))
    yield from map(Wait, back)


def _activations(cut: Cut, count: int, rates: Rates, scheme: Scheme) -> tuple[Message, Message]:
    """Return the message that brings so many pictures' activations, and the one back."""
    upper = [share.stage for share in cut.shares[cut.whole :]]
    name = next(stage.name for stage in upper if stage.parameters)
    own = count * upper[0].inputs * rates.sent
    if scheme == "b":
        return (
            _message(name, "forward", "broadcast", cut, own),
            _message(name, "backward", "reduce", cut, own),
        )
    return (
        _message(name, "forward", "all_gather", cut, own),
        _message(name, "backward", "reduce_scatter", cut, own * cut.size),
    )


def _forward(share: Share, cut: Cut, pictures: int, rates: Rates) -> Iterator[Step]:
    """Yield a stage's forward pass: a crossing is under way while it works on the own part."""
    seconds = share.forward_seconds(pictures, rates)
    if not (share.crosses or share.collects):
        yield from _statistics(share, cut, "forward")
        yield Compute(seconds)
        return
    own = pictures * share.stage.inputs // cut.size * rates.sent
    message = _message(share.stage.name, "forward", "all_gather", cut, own)
    early = 0.0 if share.is_norm or share.collects else seconds / cut.size
    yield from (Start(message), Compute(early), Wait(message), Compute(seconds - early))


def _backward(share: Share, cut: Cut, pictures: int, rates: Rates) -> Iterator[Step]:
    """Yield a stage's backward pass: its weights' gradient is computed while a crossing is out."""
    inputs, weights = share.backward_seconds(pictures, rates)
    if not share.crosses:
        yield from _statistics(share, cut, "backward")
        yield Compute(inputs + weights)
        return
    handed = pictures * share.stage.inputs * rates.sent
    message = _message(share.stage.name, "backward", "reduce_scatter", cut, handed)
    yield from (Compute(inputs), Start(message), Compute(weights), Wait(message))


def _logits(cut: Cut, pictures: int, rates: Rates) -> Iterator[Step]:
    """Yield the collection of the logits; its gradient needs no message."""
    if cut.gathers_logits:
        own = pictures * cut.classes // cut.size * rates.sent
        yield from _at_once(_message("logits", "forward", "all_gather", cut, own))


def _statistics(share: Share, cut: Cut, direction: Direction) -> Iterator[Step]:
    """Yield the sums of a batch norm over all replicas: mean and count, then variance."""
    if not share.stage.normed or cut.groups == 1:
        return
    sums = [FLOAT * (share.stage.normed + 1), FLOAT * share.stage.normed]
    for handed in sums if direction == "forward" else reversed(sums):
        yield from _at_once(
            Message(share.stage.name, direction, "all_reduce", cut.groups, handed, cut.stride)
        )


class _Buckets:
    """Gradients that wait until there are enough to send.

    DistributedDataParallel does not divide a tensor; a bucket leaves when it has reached its size.
    """

    def __init__(self, cut: Cut, rates: Rates) -> None:
        self._cut, self._element = cut, rates.element
        self._limit, self._bytes, self._names = FIRST_BUCKET, 0, list[str]()
        self._sent: list[Message] = []

    def ready(self, share: Share) -> Iterator[Step]:
        """Yield the buckets that the gradients of a stage fill."""
        if self._cut.groups == 1:
            return
        for count in reversed(share.parameters):
            self._bytes += count * self._element
            self._names.append(share.stage.name)
            if self._bytes >= self._limit:
                yield self._send()
                self._limit = BUCKET

    def rest(self) -> Iterator[Step]:
        """Yield the last bucket, and the waiting for all."""
        if self._bytes:
            yield self._send()
        yield from map(Wait, self._sent)

    def _send(self) -> Start:
        first, last = self._names[0], self._names[-1]
        name = f"gradients of {first}" + (f" to {last}" if last != first else "")
        cut = self._cut
        message = Message(name, "backward", "all_reduce", cut.groups, self._bytes, cut.stride)
        self._sent.append(message)
        self._bytes, self._names = 0, []
        return Start(message)


def _message(
    layer: str, direction: Direction, operation: Operation, cut: Cut, handed: int
) -> Message:
    """Return a message between those that hold the parts of one net, who are neighbours."""
    return Message(layer, direction, operation, cut.size, handed)


def _at_once(message: Message) -> Iterator[Step]:
    yield from (Start(message), Wait(message))


def _parameters(shares: Sequence[Share]) -> int:
    return sum(sum(each.parameters) for each in shares)
