"""The compiled stages against their twins in float64, in every form of the kernels."""

from collections.abc import Callable
from typing import TypedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from alexnet.native import library, twins
from alexnet.native.operators import norm_pool, spatial_norm
from alexnet.native.stages import Box, Constants, Norm, Pool, Stage

PAPER = Norm(2, 2, 2.0, 1e-4, 0.75, columns=2)
STRONG = Norm(2, 2, 1.0, 0.1, 0.75)
SPATIAL = Constants(1.0, 0.02, 0.75)


class Tolerance(TypedDict):
    rtol: float
    atol: float


# A fourth root to 1e-7, its seventh power, and sums of up to 25 float32 terms.
FLOAT32: Tolerance = {"rtol": 3e-6, "atol": 3e-6}
# One rounding to 8 bits; the sums before it are float32.
BFLOAT16: Tolerance = {"rtol": 2**-8, "atol": 1e-5}
TOLERANCES = {torch.float32: FLOAT32, torch.bfloat16: BFLOAT16}


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Return normal numbers, channels last in memory, of which no two are the same."""
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def draw_apart(*shape: int, dtype: torch.dtype) -> Tensor:
    """Return numbers of which no two in a channel are so near that rounding could swap them."""
    n, c, h, w = shape
    generator = torch.Generator().manual_seed(n * c * h * w)
    places = torch.stack([torch.randperm(h * w, generator=generator) for _ in range(n * c)])
    x = (places - h * w // 3).double() / 8
    return x.view(shape).to(dtype).contiguous(memory_format=torch.channels_last)


def check(
    function: Callable[[Tensor], Tensor], twin: Callable[[Tensor], Tensor], x: Tensor
) -> None:
    """Compare values and gradients with the twin's in float64."""
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    y, expected = function(ours), twin(theirs)
    assert y.dtype == x.dtype
    torch.testing.assert_close(y.double(), expected, **TOLERANCES[x.dtype])
    dy = draw(*y.shape, dtype=x.dtype, seed=1)
    (dx,) = torch.autograd.grad(y, ours, dy)
    (expected_dx,) = torch.autograd.grad(expected, theirs, dy.double())
    tolerance = TOLERANCES[x.dtype]
    # Windows overlap: up to nine gradients add up in one pixel.
    torch.testing.assert_close(
        dx.double(), expected_dx, rtol=tolerance["rtol"], atol=9 * tolerance["atol"]
    )


def check_stage(x: Tensor, stage: Stage) -> None:
    check(lambda x: norm_pool(x, stage), lambda x: twins.norm_pool(x, stage), x)


STAGES = {
    "paper": Stage(True, PAPER, Pool(3, 2)),
    "2012": Stage(False, STRONG, Pool(3, 2, ceil=True), True),
    "caffe, before pool": Stage(True, STRONG),
    "norm alone": Stage(norm=PAPER),
    "pool alone": Stage(pool=Pool(3, 2)),
    "relu and pool": Stage(True, None, Pool(3, 2, ceil=True)),
    "padded pool": Stage(False, None, Pool(3, 2, 1, True), True),
    "norm and small pool": Stage(True, STRONG, Pool(2, 2), True),
    "even window": Stage(True, Norm(2, 1, 1.5, 0.05, 0.5), Pool(3, 1)),
    "wide window": Stage(True, Norm(8, 8, 1.5, 0.01, 1.0)),
    "one channel": Stage(False, Norm(0, 0, 1.5, 0.05, 0.25)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
@pytest.mark.usefixtures("kernels")
def test_a_stage_equals_its_steps_in_float64(stage: Stage, dtype: torch.dtype) -> None:
    check_stage(draw_apart(2, 22, 9, 7, dtype=dtype), stage)


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 15, 16, 17, 48, 96])
@pytest.mark.usefixtures("kernels")
def test_any_number_of_channels_serves(channels: int) -> None:
    columns = 2 if channels % 2 == 0 else 1
    norm = STRONG._replace(columns=columns)
    check_stage(draw(2, channels, 5, 6), Stage(True, norm, Pool(3, 2)))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(3, 13), st.integers(3, 13)),
    reach=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    power=st.integers(1, 4),
    pool=st.sampled_from([None, Pool(3, 2), Pool(3, 2, ceil=True), Pool(3, 2, 1), Pool(2, 1)]),
    relus=st.tuples(st.booleans(), st.booleans()),
)
def test_drawn_stages_equal_their_steps(
    shape: tuple[int, int, int, int],
    reach: tuple[int, int],
    power: int,
    pool: Pool | None,
    relus: tuple[bool, bool],
) -> None:
    norm = Norm(*reach, 1.5, 0.05, power / 4)
    check_stage(draw(*shape), Stage(relus[0], norm, pool, relus[1]))


@pytest.mark.usefixtures("kernels")
def test_input_that_is_not_channels_last_gives_the_same() -> None:
    x = draw(3, 12, 8, 8)
    stage = STAGES["paper"]
    expected = norm_pool(x, stage)
    for other in (
        x.contiguous(),
        x[:, :, :, :].permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2),
    ):
        assert torch.equal(norm_pool(other, stage), expected)
        sliced = torch.cat([other, other], 1)[:, :12]
        assert torch.equal(norm_pool(sliced, stage), expected)


@pytest.mark.usefixtures("kernels")
def test_a_single_picture_is_cut_into_bands_without_a_seam() -> None:
    x = draw(9, 16, 27, 27)
    stage = Stage(True, STRONG, Pool(3, 2))
    together = norm_pool(x, stage)
    for index in range(9):
        assert torch.equal(norm_pool(x[index : index + 1], stage)[0], together[index])


@pytest.mark.usefixtures("kernels")
def test_of_equal_maxima_the_first_gets_the_gradient() -> None:
    x = torch.ones(1, 2, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    norm_pool(x, Stage(pool=Pool(3, 2))).sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0].flatten().tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
@pytest.mark.usefixtures("kernels")
def test_not_a_number_stays_visible(stage: Stage) -> None:
    x = draw(1, 22, 9, 9)
    x[0, 5, 4, 4] = torch.nan
    for typed in (x, x.bfloat16()):
        ours = norm_pool(typed, stage).isnan()
        assert torch.equal(ours, twins.norm_pool(typed.double(), stage).isnan())


@pytest.mark.usefixtures("kernels")
def test_very_large_activations_give_zero_not_infinity() -> None:
    x = torch.full((1, 8, 1, 1), 1e25)
    assert norm_pool(x, Stage(norm=STRONG)).abs().max() < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("box", [Box((2, 3), 2, 2), Box((2, 3), 1, 1), Box((2, 3), 1, 2)])
@pytest.mark.usefixtures("kernels")
def test_a_norm_over_positions_equals_its_twin(box: Box, dtype: torch.dtype) -> None:
    def ours(x: Tensor) -> Tensor:
        return spatial_norm(x, box, SPATIAL)

    def twin(x: Tensor) -> Tensor:
        return twins.normalise(x, box, SPATIAL)

    check(ours, twin, draw(2, 19, 6, 9, dtype=dtype))


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 9), st.integers(1, 9)),
    reach=st.integers(0, 3),
)
def test_drawn_norms_over_positions_equal_their_twins(
    shape: tuple[int, int, int, int], reach: int
) -> None:
    box = Box((2, 3), reach, reach)
    check(
        lambda x: spatial_norm(x, box, SPATIAL),
        lambda x: twins.normalise(x, box, SPATIAL),
        draw(*shape),
    )


@pytest.mark.parametrize(
    ("x", "stage"),
    [
        (draw(1, 4, 5, 5).double(), STAGES["paper"]),  # float64, for gradcheck
        (draw(1, 4, 5, 5).half(), STAGES["paper"]),
        (draw(1, 4, 5, 5), Stage(norm=STRONG._replace(beta=0.6))),  # a power without fourth roots
        (draw(1, 4, 5, 5), Stage(norm=STRONG._replace(bias=0.0))),
        (draw(1, 4, 19, 19), Stage(pool=Pool(16, 1))),  # more places than a byte tells apart
        (draw(1, 4, 5, 5)[:0], STAGES["paper"]),
    ],
)
def test_what_the_kernels_leave_out_is_left_to_torch(
    x: Tensor, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a kernel ran")

    expected = twins.norm_pool(x, stage)
    monkeypatch.setattr(library, "run", refuse)
    assert torch.equal(norm_pool(x, stage), expected)


def test_without_kernels_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(2, 12, 9, 9)
    compiled = norm_pool(x, STAGES["paper"])
    monkeypatch.setattr(library, "library", lambda: None)
    torch.testing.assert_close(norm_pool(x, STAGES["paper"]), compiled, **FLOAT32)
    torch.testing.assert_close(
        spatial_norm(x, Box((2, 3), 2, 2), SPATIAL),
        twins.normalise(x, Box((2, 3), 2, 2), SPATIAL),
        rtol=0,
        atol=0,
    )


def test_torch_checks_the_operators_themselves() -> None:
    x = draw(2, 6, 7, 7).requires_grad_()
    flat = (True, [2, 2, 2], [2.0, 0.1, 0.75], [3, 2, 0, 0], False)
    torch.library.opcheck(torch.ops.alexnet.norm_pool.default, (x, *flat))
    torch.library.opcheck(torch.ops.alexnet.spatial_norm.default, (x, 2, 2, 1.0, 0.1, 0.75))


def test_a_compiled_graph_holds_the_operator_and_gives_the_same() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def look(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    x = draw(2, 6, 7, 7)

    def function(x: Tensor) -> Tensor:
        return norm_pool(F.relu(x) + 1, STAGES["paper"]).mul(2)

    compiled = torch.compile(function, backend=look, fullgraph=True)
    assert torch.equal(compiled(x), function(x))
    assert "alexnet.norm_pool" in graphs[0].code
