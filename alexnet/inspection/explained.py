"""Pictures beside maps that say where their class was seen: occlusion and Grad-CAM."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from alexnet.inspection.panels import SMALL, Image, new_figure, shorten, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Explained:
    """A picture and the map that explains an answer for it."""

    image: Image
    """(H, W, 3) RGB."""
    map: Tensor
    """(H, W): larger where the picture matters more, or the probability that is left."""
    title: str
    """What is above the picture."""
    below: str
    """What is below the map."""
    limits: tuple[float, float]
    """Ends of the scale."""


def draw_explained(items: Sequence[Explained], title: str, *, legend: str) -> "Figure":
    """Draw each picture, its map with a scale, and the map laid over the picture."""
    figure = new_figure(6.6, 2.25 * len(items) + 0.5, title)
    grid = figure.subplots(len(items), 3, squeeze=False)
    for line, item in zip(grid, items, strict=True):
        show(line[0], item.image, shorten(item.title, 30))
        low, high = item.limits
        drawn = line[1].imshow(
            item.map.numpy(), cmap="viridis", vmin=low, vmax=high, interpolation="nearest"
        )
        bar = figure.colorbar(drawn, ax=line[1], shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=SMALL)
        bar.set_label(legend, fontsize=SMALL)
        gray = item.image.mean(2) / 255
        line[2].imshow(gray, cmap="gray", vmin=0, vmax=1)
        line[2].imshow(item.map.numpy(), cmap="viridis", vmin=low, vmax=high, alpha=0.55)
        for axes in line[1:]:
            axes.set_xticks([])
            axes.set_yticks([])
        line[1].set_xlabel(item.below, fontsize=SMALL, labelpad=3)
    return figure
