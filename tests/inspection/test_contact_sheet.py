"""Contact sheets: every picture in its place, whole, and under its class."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet.data.augment import Preprocessing
from alexnet.data.folder import list_folder
from alexnet.data.statistics import Statistics
from alexnet.inspection.contact_sheet import (
    CELL,
    EMPTY,
    GAP,
    MARGIN,
    Layout,
    Strip,
    choose_layout,
    draw_first_batch,
    draw_sheet,
    fit_inside,
    read_sheets,
    read_strip,
)
from tests.conftest import MakePictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib")


def flat(level: int, height: int = CELL, width: int = CELL) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def dots(figure: "Figure") -> NDArray[np.uint8]:
    return np.asarray(figure.axes[0].images[0].get_array())


def texts(figure: "Figure") -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("classes", "largest", "layout"),
    [
        (1, 7, (7, 1, 12)),
        (10, 5000, (10, 1, 12)),
        (24, 5000, (5, 2, 12)),
        (100, 600, (3, 3, 12)),
        (100, 1, (1, 10, 10)),
        (1000, 1300, (1, 10, 10)),
    ],
)
def test_fewer_classes_have_more_pictures_each(
    classes: int, largest: int, layout: tuple[int, int, int]
) -> None:
    assert choose_layout(classes, largest) == layout


def test_a_large_picture_is_shown_whole_and_a_tiny_one_enlarged() -> None:
    wide = fit_inside(flat(9, 10, 2 * CELL))
    assert (wide == 255).all(axis=(1, 2)).sum() == CELL - 5
    assert (wide[CELL // 2] == 9).all()
    pattern = np.arange(28 * 28 * 3, dtype=np.uint8).reshape(28, 28, 3)
    tiny = fit_inside(pattern)
    assert (tiny[6:90:3, 6:90:3] == pattern).all()
    assert (tiny[8:90:3, 8:90:3] == pattern).all()
    same = fit_inside(flat(7, 60, 60))
    assert int((same == 7).all(axis=2).sum()) == 60 * 60
    thin = fit_inside(flat(5, 1, 5000))
    assert int((thin == 5).all(axis=2).sum()) == CELL


def test_a_bad_picture_gives_way_to_the_next(tmp_path: Path, pictures: MakePictures) -> None:
    root = pictures(classes=("cat",), per_class=4)
    (root / "cat/0002.jpg").write_bytes(b"\xff\xd8nothing")
    listing = list_folder(root)
    found = read_strip(listing, [0, 1, 2, 3], 2)
    wanted = [fit_inside(listing.pixels(index, at_least=CELL)) for index in (0, 3)]
    assert [(a == b).all() for a, b in zip(found, wanted, strict=True)] == [True, True]
    assert len(read_strip(listing, [0, 1, 2, 3], 4)) == 3
    assert read_strip(listing, [], 4) == ()


def test_each_strip_names_its_class_and_its_size(pictures: MakePictures) -> None:
    root = pictures(classes=("cat",), per_class=3)
    pictures(classes=("a very long name of a class",), per_class=1)
    layout, (strips,) = read_sheets(list_folder(root))
    assert layout == (3, 1, 12)
    assert [strip.title for strip in strips] == ["a very long name of a class  1", "cat  3"]
    assert [len(strip.images) for strip in strips] == [1, 3]


def many(count: int, classes: Sequence[str]) -> list[Strip]:
    return [Strip(name, (flat(number),) * count) for number, name in enumerate(classes)]


def test_strips_stand_below_each_other_and_gray_where_pictures_lack() -> None:
    strips = [Strip("cat", (flat(1), flat(2))), Strip("dog", (flat(3),))]
    figure = draw_sheet(strips, Layout(2, 1, 12), "a title")
    sheet = dots(figure)
    first, second = MARGIN, MARGIN + CELL + GAP
    assert [sheet[100, x, 0] for x in (first, second)] == [1, 2]
    assert [sheet[-CELL // 2, x, 0] for x in (first, second)] == [3, EMPTY]
    assert texts(figure) == ["cat", "dog"]


def test_single_pictures_stand_row_by_row() -> None:
    figure = draw_sheet(many(1, "abc"), Layout(1, 2, 10), "a title")
    sheet = dots(figure)
    assert [sheet[60, x, 0] for x in (MARGIN, MARGIN + CELL + GAP)] == [0, 1]
    assert sheet[-CELL // 2, MARGIN, 0] == 2
    assert texts(figure) == ["a", "b", "c"]


def test_a_batch_is_shown_as_stored_and_as_seen_with_its_numbers() -> None:
    from matplotlib.patches import StepPatch

    statistics = Statistics(
        torch.zeros(CELL, CELL, 3), torch.tensor([10.0, 20.0, 30.0]), torch.ones(3), torch.eye(3)
    )
    preprocessing = Preprocessing(statistics, CELL, CELL, "mean-value", 2.0)
    pictures = torch.full((2, CELL, CELL, 3), 50, dtype=torch.uint8)
    inputs = torch.full((2, 3, CELL, CELL), 20.0)
    inputs[1] = -0.04
    figure = draw_first_batch(
        pictures, inputs, ["cat", "dog"], preprocessing=preprocessing, title="a title"
    )
    sheet = dots(figure)
    assert sheet[60, MARGIN].tolist() == [50, 50, 50]
    assert sheet[60 + CELL, MARGIN].tolist() == [50, 60, 70]
    assert sheet[60 + CELL, MARGIN + CELL + GAP].tolist() == [10, 20, 30]
    assert texts(figure) == ["cat", "20 \u00b1 0.0", "dog", "0.0 \u00b1 0.0"]
    patches = [patch for patch in figure.axes[1].patches if isinstance(patch, StepPatch)]
    heights = [np.asarray(patch.get_data()[0]) for patch in patches]
    assert [(line[0], line[-1]) for line in heights] == [(0.5, 0.5)] * 3


def test_a_gray_batch_has_one_line_of_values() -> None:
    statistics = Statistics(torch.zeros(8, 8, 3), torch.zeros(3), torch.ones(3), torch.eye(3))
    preprocessing = Preprocessing(statistics, 8, 8, "none", colours="grey")
    figure = draw_first_batch(
        torch.zeros(1, 8, 8, 3, dtype=torch.uint8),
        torch.zeros(1, 1, 8, 8),
        ["cat"],
        preprocessing=preprocessing,
        title="a title",
    )
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["gray"]
