"""The windows of a test: one, or the ten of the paper."""

from dataclasses import replace

import pytest
import torch

from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import Statistics
from alexnet.evaluation.views import at_scale, read_scales, whole_picture, window_corners

# startY, startX of cuda-convnet's multi-view test with pictures of 256 and crops of 224.
PROGRAM = [(0, 0), (0, 32), (16, 16), (32, 0), (32, 32)]


def test_ten_views_are_those_of_the_program_in_its_order_then_the_same_mirrored() -> None:
    views = window_corners(10, 32)
    assert [(top, left) for top, left, _ in views] == PROGRAM * 2
    assert [mirrored for *_, mirrored in views] == [False] * 5 + [True] * 5


@pytest.mark.parametrize(("border", "centre"), [(32, 16), (29, 14), (1, 0), (0, 0)])
def test_one_view_is_the_centre(border: int, centre: int) -> None:
    assert window_corners(1, border) == [(centre, centre, False)]
    assert window_corners(10, border)[2] == (centre, centre, False)


def test_ten_views_of_a_picture_without_border_are_two_windows() -> None:
    assert set(window_corners(10, 0)) == {(0, 0, False), (0, 0, True)}


@pytest.mark.parametrize("views", [0, 2, 5, -1])
def test_other_numbers_of_views_are_refused(views: int) -> None:
    with pytest.raises(ValueError, match=f"^views is {views}; use one of 1, 10, dense$"):
        window_corners(views, 32)


def statistics_of(side: int) -> Statistics:
    return Statistics(torch.zeros(side, side, 3), torch.ones(3), torch.ones(3), torch.eye(3))


def test_dense_is_the_whole_picture_and_its_mirror_image() -> None:
    preprocessing = whole_picture(Preprocessing(statistics_of(12), 12, 9))
    assert (preprocessing.crop_size, preprocessing.border) == (12, 0)
    assert window_corners("dense", preprocessing.border) == [(0, 0, False), (0, 0, True)]


def test_a_mean_image_gives_way_to_the_mean_colour_at_another_scale() -> None:
    own = Preprocessing(statistics_of(12), 12, 9)
    assert at_scale(own, 12) is own
    other = at_scale(own, 15)
    assert (other.picture_size, other.crop_size, other.subtract) == (15, 9, "mean-value")
    assert at_scale(replace(own, subtract="none"), 15).subtract == "none"
    with pytest.raises(ValueError, match=r"^scale 8 is smaller than the net's crop of 9 pixels; "):
        at_scale(own, 8)


def test_scales_are_read_from_a_text() -> None:
    assert read_scales("") == ()
    assert read_scales("256, 288,320") == (256, 288, 320)
    for text in ("2x", "0", "-3", "5000", "1.5"):
        with pytest.raises(ValueError, match=f"^scales has '{text}'; give pixels of the shorter"):
            read_scales(text)
    with pytest.raises(ValueError, match=r"^scales has 256 twice; name each size once$"):
        read_scales("256,256")
