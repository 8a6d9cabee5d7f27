"""Means and principal colours, against numpy in float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.statistics import Statistics, compute


def correlated(count: int, *, height: int = 20, width: int = 20) -> Tensor:
    """Return pictures whose colours go together and whose pixels differ in their means."""
    random = np.random.default_rng(0)
    base = random.normal(0, 40, (count, height, width, 1)) * [1.0, 0.8, 0.3]
    noise = random.normal(0, 1, (count, height, width, 3)) * [5.0, 15.0, 8.0]
    place = np.linspace(80, 160, height * width).reshape(height, width, 1)
    return torch.from_numpy(np.clip(base + noise + place, 0, 255).astype(np.uint8))


def sample_of(pictures: Tensor) -> NDArray[np.float64]:
    """Return every fourth row and column as (pixels, 3)."""
    return pictures.numpy()[:, ::4, ::4].reshape(-1, 3).astype(np.float64)


def equal(one: Statistics, other: Statistics) -> bool:
    return all(value.equal(other.tensors()[name]) for name, value in one.tensors().items())


def test_the_means_are_those_of_every_pixel_and_of_every_colour() -> None:
    pictures = correlated(7)
    found = compute([pictures])
    pixels = pictures.numpy().astype(np.float64)
    np.testing.assert_allclose(found.mean_image, pixels.mean(0), rtol=1e-7)  # one rounding
    np.testing.assert_allclose(found.mean_value, pixels.mean((0, 1, 2)), rtol=1e-7)


def test_the_principal_colours_are_those_of_numpys_covariance() -> None:
    pictures = correlated(30)
    found = compute([pictures])
    covariance = np.cov(sample_of(pictures).T, bias=True)
    variances, _ = np.linalg.eigh(covariance)
    np.testing.assert_allclose(found.deviations, np.sqrt(variances[::-1]), rtol=1e-6)
    vectors = found.eigenvectors.double().numpy()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-6)
    rebuilt = vectors @ np.diag(found.deviations.double().numpy() ** 2) @ vectors.T
    np.testing.assert_allclose(rebuilt, covariance, rtol=1e-5)


def test_the_deviations_fall_and_are_in_grey_levels() -> None:
    random = np.random.default_rng(0)
    pictures = np.zeros((50, 16, 16, 3))
    pictures[..., 2] = random.normal(128, 30, (50, 16, 16))
    pictures[..., 0] = random.normal(128, 10, (50, 16, 16))
    found = compute([torch.from_numpy(pictures.clip(0, 255).astype(np.uint8))])
    # Five standard errors of a deviation of 800 draws.
    np.testing.assert_allclose(found.deviations, [30, 10, 0], rtol=5 / 1600**0.5, atol=1e-6)
    np.testing.assert_allclose(found.eigenvectors.abs().argmax(0), [2, 0, 1])


def test_the_largest_entry_of_each_principal_colour_is_positive() -> None:
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        pictures = torch.randint(0, 256, (4, 8, 8, 3), generator=generator, dtype=torch.uint8)
        vectors = compute([pictures]).eigenvectors
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        assert (largest > 0).all()


@pytest.mark.parametrize("size", [1, 4, 13])
def test_batches_of_any_size_in_any_order_give_the_same_bits(size: int) -> None:
    pictures = correlated(13)
    whole = compute([pictures])
    order = torch.randperm(13, generator=torch.Generator().manual_seed(1))
    assert equal(compute(pictures[order].split(size)), whole)


def test_empty_batches_do_not_count() -> None:
    pictures = correlated(3)
    batches = [pictures[:0], pictures[:2], pictures[:0], pictures[2:]]
    assert equal(compute(batches), compute([pictures]))


def test_a_single_colour_has_no_deviation_and_still_has_directions() -> None:
    found = compute([torch.full((2, 8, 8, 3), 200, dtype=torch.uint8)])
    assert found.mean_value.tolist() == [200, 200, 200]
    assert found.deviations.tolist() == [0, 0, 0]
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(3), atol=1e-6)


def test_many_bright_pictures_do_not_overflow() -> None:
    white = torch.full((70_000, 1, 1, 3), 255, dtype=torch.uint8)  # sums past 2**24 and 2**32
    found = compute([white, white])
    assert found.mean_image.tolist() == [[[255, 255, 255]]]
    assert found.deviations.tolist() == [0, 0, 0]


def test_the_fields_are_handed_out_by_name() -> None:
    found = compute([correlated(2)])
    tensors = found.tensors()
    assert list(tensors) == ["mean_image", "mean_value", "deviations", "eigenvectors"]
    assert tensors["mean_image"] is found.mean_image
    assert equal(Statistics(**tensors), found)
    assert {value.dtype for value in tensors.values()} == {torch.float32}


@pytest.mark.parametrize("batches", [[], [torch.zeros(0, 8, 8, 3, dtype=torch.uint8)]])
def test_a_set_without_pictures_is_refused(batches: list[Tensor]) -> None:
    message = "the training set has no readable picture; statistics need at least one"
    with pytest.raises(ValueError, match=message):
        compute(batches)
