"""Whether a figure can be read: its texts lie inside it, and none on another."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from matplotlib.axis import Axis
from matplotlib.text import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _beyond(figure: "Figure") -> Iterator[Text]:
    """Yield the labels of ticks that are not drawn: beyond the ends of an axis, or of none."""
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not (axis.axes.axison and low <= tick.get_loc() <= high):
                yield from (tick.label1, tick.label2)


def unreadable(figure: "Figure") -> list[str]:
    """Return the texts that leave the page or lie on others; drawing must not warn."""
    figure.draw_without_rendering()
    page, beyond = figure.bbox, set(_beyond(figure))
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_text() and text.get_visible() and text not in beyond
    ]
    odd = [
        name
        for name, box in boxes
        if box.x0 < page.x0 - 1
        or box.y0 < page.y0 - 1
        or box.x1 > page.x1 + 1
        or box.y1 > page.y1 + 1
    ]
    for number, (name, box) in enumerate(boxes):
        for other, second in boxes[:number]:
            width = min(box.x1, second.x1) - max(box.x0, second.x0)
            height = min(box.y1, second.y1) - max(box.y0, second.y0)
            if width > 1 and height > 1:
                odd.append(f"{name} / {other}")
    return odd
