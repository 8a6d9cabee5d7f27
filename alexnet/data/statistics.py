"""What a training set looks like on average: mean image, mean colour, principal colours.

Source: Krizhevsky 2012, sections 2 (mean of each pixel) and 4.1 (PCA of RGB values). Computed once
over the stored pictures of the training set and kept with the model.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

PIXEL_STRIDE = 4


@dataclass(frozen=True)
class Statistics:
    """Means and principal components of a training set, grey levels in [0, 255], RGB."""

    mean_image: Tensor
    """(H, W, 3) float32: the mean of each pixel."""
    mean_value: Tensor
    """(3,) float32: the mean of each colour."""
    deviations: Tensor
    """(3,) float32, falling: standard deviations along the principal colours."""
    eigenvectors: Tensor
    """(3, 3) float32: principal colours in columns, the largest entry of each positive."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields by name, to be stored."""
        return {
            "mean_image": self.mean_image,
            "mean_value": self.mean_value,
            "deviations": self.deviations,
            "eigenvectors": self.eigenvectors,
        }


def compute(
    batches: Iterable[Tensor], *, add_up: Callable[[Tensor], Tensor] = torch.clone
) -> Statistics:
    """Compute the statistics of a training set.

        mean = sum x / n,   covariance = sum (x - mean)(x - mean)^T / n = P diag(s^2) P^T

    The means take every pixel; the covariance takes every fourth row and column, 4,096 pixels of
    each 256-pixel picture. Sums are whole numbers, also where they are kept in float64 (exact up
    to 2^53), so the order of batches is no matter. `add_up` sums over those who share the work.

    Shapes:  batches of (N, H, W, 3) uint8, all of one size.
    Raises:  ValueError if there is no picture.
    """
    count, total = 0, torch.zeros((), dtype=torch.int64)
    pixels, first, second = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
    for pictures in batches:
        batch_total = pictures.sum(0, dtype=torch.int64)
        total = total + batch_total
        count += len(pictures)
        sample = pictures[:, ::PIXEL_STRIDE, ::PIXEL_STRIDE].reshape(-1, 3).double()
        pixels += len(sample)
        first += sample.sum(0)
        second += sample.T @ sample
    count = int(add_up(torch.tensor(count)))
    if count == 0:
        raise ValueError("the training set has no readable picture; statistics need at least one")
    mean_image = add_up(total).double() / count
    first, second = add_up(first), add_up(second)
    pixels = int(add_up(torch.tensor(pixels)))
    mean = first / pixels
    variances, vectors = torch.linalg.eigh(second / pixels - torch.outer(mean, mean))
    variances, vectors = variances.flip(0).clamp(min=0), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return Statistics(
        mean_image=mean_image.float(),
        mean_value=mean_image.mean((0, 1)).float(),
        deviations=variances.sqrt().float(),
        eigenvectors=(vectors * largest.sign()).float(),
    )
