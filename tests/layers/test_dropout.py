"""Dropout: its two scalings, its mask, and its errors."""

import pytest
import torch

from alexnet.layers.dropout import Dropout, Scaled


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("scaled", ["test", "training"])
def test_the_share_of_zeros_is_the_rate(rate: float, scaled: Scaled) -> None:
    torch.manual_seed(0)
    y = Dropout(rate, scaled=scaled)(torch.ones(100_000))
    # Five standard deviations of a mean of 100,000 draws: 5 * sqrt(0.25 / 100,000) = 0.008.
    assert (y == 0).float().mean().item() == pytest.approx(rate, abs=0.008)


@pytest.mark.parametrize(("scaled", "kept"), [("test", 1.0), ("training", 4.0)])
def test_what_is_kept_is_scaled_only_in_training_scaling(scaled: Scaled, kept: float) -> None:
    torch.manual_seed(0)
    y = Dropout(0.75, scaled=scaled)(torch.ones(1000))
    assert set(y.tolist()) == {0.0, kept}


@pytest.mark.parametrize("scaled", ["test", "training"])
def test_the_output_at_test_is_the_mean_of_training_outputs(scaled: Scaled) -> None:
    torch.manual_seed(0)
    layer = Dropout(0.3, scaled=scaled)
    x = torch.tensor([-2.0, 0.0, 1.0, 5.0])
    mean = layer(x.expand(100_000, 4)).mean(dim=0)
    # Five standard deviations for the largest: 5 * 5 * sqrt(0.3 / 0.7 / 100,000) = 0.052.
    torch.testing.assert_close(mean, layer.eval()(x), rtol=0, atol=0.052)


def test_evaluation_multiplies_by_the_share_kept_in_test_scaling_only() -> None:
    x = torch.tensor([1.0, -3.0])
    assert Dropout(0.25, scaled="test").eval()(x).tolist() == [0.75, -2.25]
    assert Dropout(0.25, scaled="training").eval()(x).tolist() == [1.0, -3.0]


@pytest.mark.parametrize("scaled", ["test", "training"])
def test_the_gradient_passes_through_the_same_mask(scaled: Scaled) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    y = Dropout(0.5, scaled=scaled)(x)
    (dx,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(dx, y.detach(), rtol=0, atol=0)


def test_the_same_seed_gives_the_same_mask_and_the_next_call_another() -> None:
    layer = Dropout(0.5)
    x = torch.ones(1000)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    torch.testing.assert_close(layer(x), first, rtol=0, atol=0)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("scaled", ["test", "training"])
def test_rate_zero_changes_nothing(scaled: Scaled) -> None:
    layer = Dropout(0.0, scaled=scaled)
    x = torch.tensor([1.0, -3.0])
    assert layer(x).tolist() == layer.eval()(x).tolist() == [1.0, -3.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    layer = Dropout(0.5, scaled="training")
    x = torch.ones(64, dtype=dtype)
    assert layer(x).dtype == layer.eval()(x).dtype == dtype
    assert set(layer.train()(x).tolist()) <= {0.0, 2.0}


def test_meta_tensors_pass_and_draw_nothing() -> None:
    state = torch.get_rng_state()
    y = Dropout(0.5)(torch.empty(2, 4096, device="meta"))
    assert y.is_meta
    assert y.shape == (2, 4096)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_prints_its_rate_and_scaling() -> None:
    assert repr(Dropout(0.5)) == 'Dropout(rate=0.5, scaled="test")'


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_rates_outside_zero_to_one_are_refused(rate: float) -> None:
    message = rf"rate {rate} is not in \[0, 1\); give the share of activations to set to zero"
    with pytest.raises(ValueError, match=message):
        Dropout(rate)


def test_unknown_scalings_are_refused() -> None:
    message = 'scaled "train" is not known; use "test" \\(the paper\\) or "training" \\(Caffe\\)'
    with pytest.raises(ValueError, match=message):
        Dropout(0.5, scaled="train")  # type: ignore[arg-type]
