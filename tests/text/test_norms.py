"""LRN, BatchNorm, Scale and Bias give what the original gives."""

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.text.norms import KINDS, BatchNorm
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import check
from tests.text.single_layer import draw, make

CASES = read_cases("norms")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_gives_what_the_original_gives(case: Case, channels_last: bool) -> None:
    check(case, KINDS, channels_last=channels_last)


def test_a_response_norm_is_the_fast_one() -> None:
    text = "lrn_param { local_size: 3 alpha: 0.5 beta: 0.25 k: 2 }"
    module = make(KINDS, f'type: "LRN" {text}', [(1, 4, 2, 2)])
    wanted = LocalResponseNorm(window=3, bias=2.0, alpha=0.5, beta=0.25, convention="caffe")
    assert repr(module) == repr(wanted)
    text = "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL k: 2 }"
    module = make(KINDS, f'type: "LRN" {text}', [(1, 4, 2, 2)])
    assert repr(module) == repr(WithinChannelNorm(window=3, bias=1.0, alpha=0.5, beta=0.75))


def _batch_norm(text: str = "") -> BatchNorm:
    module = make(KINDS, f'type: "BatchNorm" batch_norm_param {{ {text} }}', [(4, 3, 2, 5)])
    assert isinstance(module, BatchNorm)
    with torch.no_grad():
        for blob in module.buffers():
            blob.zero_()
    return module


def test_batch_statistics_gather_in_the_blobs_until_evaluation_takes_them() -> None:
    module, fraction, eps = _batch_norm("moving_average_fraction: 0.75 eps: 0.5").train(), 0.75, 0.5
    mean, variance, factor = np.zeros(3), np.zeros(3), 0.0
    for step in range(3):
        x = draw(4, 3, 2, 5, seed=step)
        values = x.detach().numpy()
        m, v = values.mean((0, 2, 3)), values.var((0, 2, 3))
        y = (values - m[:, None, None]) / np.sqrt(v + eps)[:, None, None]
        np.testing.assert_allclose(module(x).detach(), y, rtol=1e-12, atol=1e-12)
        mean, factor = fraction * mean + m, fraction * factor + 1
        variance = fraction * variance + v * 40 / 39
    np.testing.assert_allclose(module.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(module.variance, variance, rtol=1e-12)
    np.testing.assert_allclose(module.factor, [factor], rtol=1e-12)
    values = draw(4, 3, 2, 5, seed=9).detach().numpy()
    deviation = np.sqrt(variance / factor + eps)[:, None, None]
    wanted = (values - (mean / factor)[:, None, None]) / deviation
    found = module.eval()(torch.from_numpy(values))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_statistics_that_never_saw_a_batch_are_zero() -> None:
    module, x = _batch_norm("eps: 0.25").eval(), draw(4, 3, 2, 5)
    torch.testing.assert_close(module(x), x / 0.5, rtol=1e-12, atol=0)


def test_the_text_can_hold_statistics_against_the_phase() -> None:
    x = draw(4, 3, 2, 5)
    stored = _batch_norm("use_global_stats: true").train()
    torch.testing.assert_close(stored(x), _batch_norm().eval()(x), rtol=0, atol=0)
    assert not stored.factor.any()
    batch = _batch_norm("use_global_stats: false").eval()
    torch.testing.assert_close(batch(x), _batch_norm().train()(x), rtol=0, atol=0)
    assert batch.factor == 1


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ('type: "BatchNorm"', [(3, 2, 4)]),
        ('type: "Scale" scale_param { axis: 1 num_axes: 2 bias_term: true }', [(2, 3, 2, 4)]),
        ('type: "Scale" scale_param { axis: 0 bias_term: true }', [(2, 3, 4), (2, 3)]),
        ('type: "Bias"', [(2, 3, 4), (3, 4)]),
    ],
)
def test_gradients_are_the_slopes(text: str, shapes: list[tuple[int, ...]]) -> None:
    module: nn.Module = make(KINDS, text, shapes).train()
    xs = [draw(*shape, seed=index) for index, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(module, (*xs,))


def test_layers_take_another_batch_than_they_were_built_for() -> None:
    module = make(KINDS, 'type: "Scale" scale_param { bias_term: true }', [(2, 3, 4)])
    x = draw(5, 3, 6)
    torch.testing.assert_close(module(x)[3:], module(x[3:]), rtol=0, atol=0)
