"""The torch form of the operators: blocks, and steps one after the other."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.native import twins
from alexnet.native.stages import Box, Constants, Norm, Pool, Stage

CONSTANTS = Constants(1.5, 0.3, 0.75)


def draw(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("block_elements", [1, 40, 150, 1000])
@pytest.mark.parametrize("box", [Box((2, 3), 2, 2), Box((1,), 2, 2)])
def test_the_block_size_does_not_change_values(
    monkeypatch: pytest.MonkeyPatch,
    block_elements: int,
    memory_format: torch.memory_format,
    box: Box,
) -> None:
    x = draw(3, 6, 5, 7).to(memory_format=memory_format)
    x = (x if len(box.dims) == 2 else x.flatten(2)).requires_grad_()
    whole = twins.normalise(x, box, CONSTANTS)
    (whole_dx,) = torch.autograd.grad(whole.square().sum(), x)
    monkeypatch.setattr(twins, "BLOCK_ELEMENTS", block_elements)
    blocks = twins.normalise(x, box, CONSTANTS)
    (blocks_dx,) = torch.autograd.grad(blocks.square().sum(), x)
    torch.testing.assert_close(blocks, whole, rtol=0, atol=0)
    torch.testing.assert_close(blocks_dx, whole_dx, rtol=0, atol=0)


def test_columns_are_normalised_as_if_they_were_alone() -> None:
    norm = Norm(2, 2, 1.5, 0.3, 0.75, columns=2)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = draw(2, 10, 3, 4).to(memory_format=memory_format)
        halves = [twins.response_norm(x[:, part], norm._replace(columns=1))
                  for part in (slice(5), slice(5, 10))]  # fmt: skip
        torch.testing.assert_close(twins.response_norm(x, norm), torch.cat(halves, 1))


def test_a_stage_is_its_steps_in_order() -> None:
    x, norm = draw(2, 6, 7, 7), Norm(2, 2, 1.5, 0.3, 0.75)
    stage = Stage(True, norm, Pool(3, 2, ceil=True), True)
    steps = twins.response_norm(x.relu(), norm)
    expected = F.max_pool2d(steps, 3, 2, ceil_mode=True).relu()
    assert torch.equal(twins.norm_pool(x, stage), expected)
