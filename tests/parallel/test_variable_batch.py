"""Updates in rounds against a program of one process that does the same step by step."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.layers.dropout import Dropout, draw_mask
from alexnet.layers.loss import NOBODY
from alexnet.nets import NETS
from alexnet.nets.alexnet import Variant
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle, total
from alexnet.parallel.columns import whole_tensor
from alexnet.parallel.dropout import Rows
from alexnet.parallel.hybrid import HybridNet, HybridStep
from alexnet.parallel.layout import Scheme
from alexnet.parallel.mesh import join
from alexnet.training.lars import Lars
from alexnet.training.sgd import MomentumSGD
from tests.parallel.ranks import on_ranks
from tests.parallel.test_columns import TOLERANCE

UPDATES, RATE, FC_RATE, DECAY, TRUST = 3, 0.05, 0.02, 0.01, 0.01
SEED = 5
Weights = dict[str, Tensor]


class Case(NamedTuple):
    scheme: Scheme
    counts: tuple[int, ...]
    """Pictures of each rank."""
    pictures: int
    """Pictures of a round."""
    lars: bool = False


def net_of(name: str) -> Chain:
    """Return a net with few kernels, whose layers 4 divides."""
    variant = NETS[name]
    assert isinstance(variant, Variant)
    net = replace(variant, kernels=(8, 8, 8, 8, 8), fc_units=16).build(classes=8, input_size=67)
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return net.double()


def batch_of(step: int, count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    x = torch.randn(count, 3, 67, 67, generator=generator, dtype=torch.float64)
    return x, torch.randint(8, (count,), generator=generator)


def rounds_of(case: Case) -> Iterator[list[int]]:
    """Yield which pictures of the batch are in each round."""
    size, count, pictures = len(case.counts), sum(case.counts), case.pictures
    if case.scheme == "b":
        yield from (list(range(count))[i : i + pictures] for i in range(0, count, pictures))
        return
    firsts = [sum(case.counts[:rank]) for rank in range(size)]
    each = pictures // size
    for start in range(0, max(case.counts), each):
        yield [
            first + i
            for first, own in zip(firsts, case.counts, strict=True)
            for i in range(start, min(start + each, own))
        ]


class Serial:
    """One process with the whole net: features once, then the classifier round by round."""

    def __init__(self, name: str, case: Case) -> None:
        self.net, self.case = net_of(name), case
        steps = list(self.net.steps())
        cut = next(i for i, (_, layer) in enumerate(steps) if isinstance(layer, nn.Linear))
        while isinstance(steps[cut - 1][1], Dropout):
            cut -= 1
        self.features = [layer for _, layer in steps[:cut]]
        self.classifier = [layer for _, layer in steps[cut:]]
        self.v = {name: torch.zeros_like(p) for name, p in self.net.named_parameters()}
        self.inner = {id(p) for layer in self.classifier for p in layer.parameters()}

    def classify(self, x: Tensor, chosen: list[int], masks: dict[int, Tensor]) -> Tensor:
        """Return logits; masks are drawn for the whole batch when a layer is first met."""
        for number, layer in enumerate(self.classifier):
            if not isinstance(layer, Dropout):
                x = layer(x)
                continue
            if number not in masks:
                whole = x.new_empty(1).expand(sum(self.case.counts), *x.shape[1:])
                masks[number] = draw_mask(whole, 1 - layer.rate)
            x = x * masks[number][chosen] / (1 if layer.scaled == "test" else 1 - layer.rate)
        return x

    def move(self, rate: float, *, inner: bool) -> None:
        with torch.no_grad():
            for name, w in self.net.named_parameters():
                if (id(w) in self.inner) != inner:
                    continue
                assert w.grad is not None
                own = rate
                if self.case.lars and w.dim() > 1:
                    own *= TRUST * w.norm() / (w.grad.norm() + DECAY * w.norm())
                self.v[name] = 0.9 * self.v[name] - own * (w.grad + DECAY * w)
                w.add_(self.v[name])
                w.grad = None

    def update(self, step: int) -> float:
        x, labels = batch_of(step, sum(self.case.counts))
        torch.manual_seed(SEED + step)
        maps = x
        for layer in self.features:
            maps = layer(maps)
        gradient, losses = torch.zeros_like(maps), 0.0
        masks: dict[int, Tensor] = {}
        for chosen in rounds_of(self.case):
            leaf = maps.detach()[chosen].requires_grad_()
            loss = F.cross_entropy(self.classify(leaf, chosen, masks), labels[chosen])
            loss.backward()
            assert leaf.grad is not None
            gradient[chosen] = leaf.grad * len(chosen) / len(labels)
            losses += float(loss.detach()) * len(chosen) / len(labels)
            self.move(FC_RATE, inner=True)
        maps.backward(gradient)
        self.move(RATE, inner=False)
        return losses


def serial(name: str, case: Case) -> tuple[Weights, Weights, list[float]]:
    """Return weights, velocities and losses."""
    program = Serial(name, case)
    losses = [program.update(step) for step in range(UPDATES)]
    return {n: p.detach() for n, p in program.net.named_parameters()}, program.v, losses


def in_rounds(name: str, cases: list[Case]) -> list[tuple[Weights, Weights, list[float]]]:
    with join() as mesh:
        return [in_rounds_of(name, case, Circle.of(mesh.data)) for case in cases]


def in_rounds_of(name: str, case: Case, circle: Circle) -> tuple[Weights, Weights, list[float]]:
    rows = Rows()
    net = HybridNet(net_of(name), circle, rows).train()
    sgd = MomentumSGD(net, weight_decay=DECAY)
    if case.lars:
        sgd.lars = Lars(TRUST, net.cut_names, lambda x: total(x, circle))
    inner = net.classifier_names
    outer = {name for name, _ in net.named_parameters()} - inner
    step = HybridStep(
        net,
        rows,
        case.scheme,
        between=lambda factor: sgd.step(FC_RATE, only=inner, scale=factor),
        round_pictures=case.pictures,
    )
    first, count = sum(case.counts[: circle.rank]), case.counts[circle.rank]
    losses = []
    for number in range(UPDATES):
        x, labels = batch_of(number, sum(case.counts))
        own = slice(first, first + count)
        rows.indices, rows.whole = torch.arange(first, first + count), len(labels)
        torch.manual_seed(SEED + number)
        losses.append(float(step.gradients(x[own], labels[own], whole=len(labels))))
        sgd.step(RATE, only=outer)

    def whole(tensors: Weights, sign: float) -> Weights:
        return {
            name: sign * (whole_tensor(each, circle) if name in net.cut_names else each.detach())
            for name, each in tensors.items()
        }

    return whole(dict(net.named_parameters()), 1), whole(sgd.velocities(), -1), losses


def check(
    found: tuple[Weights, Weights, list[float]], wanted: tuple[Weights, Weights, list[float]]
) -> None:
    for ours, theirs in zip(found[:2], wanted[:2], strict=True):
        assert ours.keys() == theirs.keys()
        for name, each in theirs.items():
            torch.testing.assert_close(ours[name], each, rtol=TOLERANCE, atol=TOLERANCE)
    torch.testing.assert_close(found[2], wanted[2], rtol=1e-6, atol=0)  # float32 figures


ON_TWO = [
    Case("b", (4, 4), 2),
    Case("b", (4, 4), 4, lars=True),
    Case("b", (4, 4), 8),
    Case("b", (4, 3), 3),  # the second round has pictures of both, the last one picture
    Case("b", (3, 0), 2),
    Case("c", (4, 4), 2),
    Case("c", (4, 4), 4, lars=True),
    Case("c", (4, 3), 6),
    Case("c", (0, 3), 2),
]
ON_FOUR = [
    Case("b", (2, 2, 2, 2), 4),
    Case("b", (2, 2, 2, 1), 3),
    Case("b", (1, 1, 1, 0), 2),
    Case("c", (2, 2, 2, 2), 4),
    Case("c", (3, 3, 2, 2), 8),
    Case("c", (1, 1, 1, 0), 4),
]


@pytest.mark.parametrize(
    ("name", "cases"), [("alexnet", ON_TWO), ("torchvision", ON_TWO), ("alexnet", ON_FOUR)]
)
def test_rounds_on_several_ranks_are_the_serial_program(
    pool: ProcessPoolExecutor, name: str, cases: list[Case]
) -> None:
    wanted = [serial(name, case) for case in cases]
    for found in on_ranks(pool, len(cases[0].counts), in_rounds, name, cases):
        for own, whole in zip(found, wanted, strict=True):
            check(own, whole)


@pytest.mark.parametrize("pictures", [2, 3, 5, 8])
def test_a_process_alone_computes_its_batch_in_rounds(pictures: int) -> None:
    case = Case("b", (5,), pictures)
    check(in_rounds_of("alexnet", case, Circle()), serial("alexnet", case))


def test_the_layers_of_the_rounds_are_those_from_the_first_fully_connected_one_on() -> None:
    net = HybridNet(net_of("alexnet"), Circle(), Rows())
    assert net.classifier_names == {
        f"{layer}.{kind}" for layer in ("fc6", "fc7", "fc8") for kind in ("weight", "bias")
    }


def test_pictures_of_nobody_behind_the_others_count_for_nothing() -> None:
    found = []
    for count in (3, 5):
        rows = Rows(torch.arange(count), 3)
        net = HybridNet(net_of("alexnet"), Circle(), rows).train()
        x, labels = batch_of(0, 5)
        labels[3:] = NOBODY
        torch.manual_seed(SEED)
        factors: list[float] = []
        step = HybridStep(net, rows, "b", between=factors.append, round_pictures=2)
        loss = step.gradients(x[:count], labels[:count])
        assert factors == [1.5, 3.0]
        found.append([loss, *(p.grad for p in net.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def test_rounds_that_cannot_be_are_refused() -> None:
    net = HybridNet(net_of("alexnet"), Circle(), Rows())
    message = "fc_batch is 128, but scheme a of one weird trick has the whole batch in one round"
    with pytest.raises(ValueError, match=message):
        HybridStep(net, Rows(), "a", round_pictures=128)
    net.circle = Circle(size=4)
    message = "fc_batch is 6, of which the 4 processes cannot give equal parts in scheme c"
    with pytest.raises(ValueError, match=message):
        HybridStep(net, Rows(), "c", round_pictures=6)


def logits(counts: tuple[int, ...]) -> Tensor:
    with join() as mesh:
        circle = Circle.of(mesh.data)
        net = HybridNet(net_of("alexnet"), circle, Rows()).eval()
        x, _ = batch_of(0, sum(counts))
        with torch.no_grad():
            own: Tensor = net(x.split(list(counts))[circle.rank])
            return own


@pytest.mark.parametrize("counts", [(3, 2), (0, 2), (2, 2)])
def test_each_has_the_logits_of_its_pictures_however_many(
    pool: ProcessPoolExecutor, counts: tuple[int, ...]
) -> None:
    net = net_of("alexnet").eval()
    with torch.no_grad():
        wanted = net(batch_of(0, sum(counts))[0])
    found = on_ranks(pool, 2, logits, counts)
    assert [len(each) for each in found] == list(counts)
    torch.testing.assert_close(torch.cat(found), wanted, rtol=TOLERANCE, atol=TOLERANCE)
