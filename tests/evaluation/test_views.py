"""The windows of a test: one, or the ten of the paper."""

import pytest

from alexnet.evaluation.views import window_corners

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
    with pytest.raises(ValueError, match=f"^views is {views}; use one of 1, 10$"):
        window_corners(views, 32)
