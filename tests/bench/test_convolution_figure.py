"""The figure of the laboratory: what stands in it, and when it cannot be drawn."""

import itertools
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from alexnet.bench.convolution_figure import check_figure, draw_figure
from alexnet.bench.convolutions import Comparison
from alexnet.data.digits import PackageMissing
from alexnet.inspection import panels
from tests.bench.laboratory import comparison_of, row_of

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

NEEDS_MATPLOTLIB = pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")


def some(count: int = 2) -> list[Comparison]:
    rows = (row_of("native", 0.5, error=0.0), row_of("fft", 0.25), row_of("winograd-4", 0.1))
    return [
        comparison_of(f"8,8,3,3 @ {side}", *rows, auto="fft", direction=direction)
        for direction in ("forward", "weight_gradient")
        for side in range(9, 9 + count)
    ]


def heights(line: "Line2D") -> list[float]:
    return [float(value) for value in np.asarray(line.get_ydata())]


def drawn_text(path: Path) -> list[str]:
    """Return the texts of an SVG file, which stand beside their outlines as comments."""
    return [line.strip()[5:-4] for line in path.read_text().splitlines() if "<!-- " in line]


@NEEDS_MATPLOTLIB
def test_the_figure_names_layers_algorithms_directions_and_units(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    draw_figure(some(), path, title="a net, batch 2")
    texts = drawn_text(path)
    for text in (
        *("a net, batch 2", "forward", "weight gradient"),
        *("native", "fft", "winograd-4", "what auto takes", "memory by equation"),
        *("time, ms", "largest error beside float64", "memory besides inputs and output, MiB"),
    ):
        assert texts.count(text) == 1, text
    assert sum("@ 9" in text for text in texts) == 2  # below each column of panels
    assert "lazy" not in texts  # it did nothing anywhere


@NEEDS_MATPLOTLIB
def test_points_stand_at_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    kept: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path, *, dpi: int) -> None:
        kept.append(figure)
        save(figure, path, dpi=dpi)

    monkeypatch.setattr(Figure, "savefig", keep)
    path = tmp_path / "figure.png"
    draw_figure(some(), path, title="t")
    assert path.read_bytes()[:4] == b"\x89PNG"
    times, errors, memory = (kept[0].axes[index] for index in (0, 2, 4))
    lines = {str(line.get_label()): line for line in times.lines}
    assert heights(lines["fft"]) == [250.0, 250.0]
    rings = [line for line in times.lines if line.get_markersize() == 11]
    assert [heights(ring) for ring in rings] == [[], [250.0, 250.0], []]
    exact = next(line for line in errors.lines if line.get_label() == "native")
    assert np.isnan(heights(exact)).all()
    dashes = [line for line in memory.lines if line.get_marker() == "_"]
    assert [heights(dash) for dash in dashes] == [[3.0, 3.0]] * 2  # not of native
    assert times.get_yscale() == "log"


@NEEDS_MATPLOTLIB
@pytest.mark.parametrize("count", [2, 12])
def test_nothing_is_drawn_over_something_else(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    kept: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: kept.append(figure))
    draw_figure(some(count), tmp_path / "figure.png", title="a title of some length, 2 threads")
    figure = kept[0]
    figure.canvas.draw()
    boxes = [figure.texts[0].get_window_extent(), figure.legends[0].get_window_extent()]
    boxes += [box for axes in figure.axes if (box := axes.get_tightbbox())]
    for index, box in enumerate(boxes):
        assert not any(box.shrunk(0.99, 0.99).overlaps(other) for other in boxes[index + 1 :])
    for axes in figure.axes[-2:]:
        labels = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(labels))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"figure.txt'; its name must end in one of .svg, .png"):
        check_figure(tmp_path / "figure.txt")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"but there is no folder '.*none'"):
        check_figure(tmp_path / "none" / "figure.svg")


def test_without_matplotlib_the_way_to_get_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "find_spec", lambda _: None)
    message = r"figures need matplotlib; install it with: pip install 'alexnet\[figures\]'"
    with pytest.raises(PackageMissing, match=message):
        draw_figure(some(), tmp_path / "figure.svg", title="t")
