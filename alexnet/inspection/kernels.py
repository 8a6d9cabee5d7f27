"""The kernels of the first layer, and how far the columns have specialised.

Source: Krizhevsky 2012, section 6.1 and figure 3: "The kernels on GPU 1 are largely color-agnostic,
while the kernels on GPU 2 are largely color-specific." The paper gives no number; the measure here
is ours.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import torch
from torch import Tensor, nn

from alexnet.nets.chain import Chain, leaves

RANDOM_COLOURFULNESS = 2 / 3
"""That of kernels drawn without regard to colour: two of three directions are colour."""


@dataclass(frozen=True)
class Specialisation:
    """How unlike in colour the columns' kernels are."""

    colourfulness: tuple[float, ...]
    """Mean over the kernels of each column, in [0, 1]."""
    difference: float
    """Largest of these less the smallest."""
    ordered: float
    """Probability that a kernel of the most colourful column is more so than one of the least: .5
    for columns that are alike, 1 where they are wholly apart."""
    by_chance: float
    """What `ordered` stays below in 95 of 100 nets whose kernels fall into columns by lot."""

    @property
    def specialised(self) -> bool:
        """Whether the columns are further apart than chance puts them."""
        return self.ordered > self.by_chance


def describe(found: Specialisation) -> str:
    """Say in a sentence how far the columns have specialised."""
    means = found.colourfulness
    most, least = (means.index(pick(means)) + 1 for pick in (max, min))
    verdict = "" if found.specialised else "not "
    return (
        f"the columns are {verdict}specialised in colour: a kernel of column {most} is more "
        f"colourful than one of column {least} in {found.ordered:.0%} of pairs (50%: alike, up to "
        f"{found.by_chance:.0%}: chance, 100%: wholly apart); mean colourfulness "
        f"{max(means):.2f} and {min(means):.2f}"
    )


def first_kernels(net: Chain) -> tuple[str, Tensor, int]:
    """Return the first convolution's name, its kernels, and the columns that they fall into.

    The columns are the groups of the next convolution: so many parts of the maps go apart.

    Shapes:  -> (kernels, C, height, width).
    Raises:  ValueError if the net has no convolution.
    """
    found = [(name, each) for name, each in leaves(net) if _kernels(each) is not None]
    if not found:
        raise ValueError("the net has no convolution, and so no kernels to look at")
    name, first = found[0]
    kernels = _kernels(first)
    assert kernels is not None
    second = found[1][1] if len(found) > 1 else None
    groups = second.groups if isinstance(second, nn.Conv2d) else 1
    columns = groups if len(kernels) % groups == 0 and groups < len(kernels) else 1
    return name, kernels.detach().float().cpu(), columns


def colourfulness(kernels: Tensor) -> Tensor:
    """Return the share of each kernel's energy that gray pictures do not see.

        1 - |g|^2 / |w|^2,   g = the mean of w over its colours, in each of them

    0 for a kernel that reads all colours alike, 1 for one that sees no gray. Of kernels of zeros,
    and of nets that read one colour, it is 0.

    Shapes:  kernels (K, C, height, width) -> (K,).
    """
    gray = kernels.mean(1, keepdim=True).expand_as(kernels)
    energy = kernels.square().sum((1, 2, 3))
    share = gray.square().sum((1, 2, 3)) / energy.clamp(min=torch.finfo(energy.dtype).tiny)
    return torch.where(energy > 0, (1 - share).clamp(0, 1), torch.zeros_like(energy))


def specialisation(kernels: Tensor, columns: int) -> Specialisation:
    """Compare the colourfulness of the columns' kernels.

    `by_chance` is that of Mann and Whitney's U, near normal, for the two columns most unlike each
    other (Bonferroni: the level is shared among all pairs of columns).

        1/2 + z * sqrt((2 m + 1) / (12 m^2)),   m kernels in each column

    Shapes:  kernels (K, C, height, width).
    Raises:  ValueError if the kernels do not fall into so many columns.
    """
    if columns < 1 or len(kernels) % columns:
        raise ValueError(f"{len(kernels)} kernels do not fall into {columns} columns")
    parts = colourfulness(kernels).view(columns, -1)
    means = parts.mean(1)
    most, least = parts[int(means.argmax())], parts[int(means.argmin())]
    above = (most[:, None] > least).double() + (most[:, None] == least).double() / 2
    size, pairs = parts.shape[1], max(1, columns * (columns - 1) // 2)
    z = NormalDist().inv_cdf(1 - 0.05 / (2 * pairs))
    return Specialisation(
        tuple(means.tolist()),
        float(means.max() - means.min()),
        float(above.mean()),
        min(1.0, 0.5 + z * sqrt((2 * size + 1) / (12 * size**2))),
    )


def _kernels(layer: nn.Module) -> Tensor | None:
    weight = dict(layer.named_parameters(recurse=False)).get("weight")
    return weight if weight is not None and weight.dim() == 4 else None
