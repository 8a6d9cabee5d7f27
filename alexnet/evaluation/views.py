"""The windows of a picture that a test looks at.

Source: Krizhevsky 2012, section 4.1: "extracting five 224 x 224 patches (the four corner patches
and the center patch) as well as their horizontal reflections (hence ten patches in all)".
"""

from typing import Literal, get_args

Views = Literal[1, 10]


def window_corners(views: int, border: int) -> list[tuple[int, int, bool]]:
    """Return (top, left, mirrored) of each window, pixels; `border` is the largest offset.

    The order of the ten is that of the 2012 program: upper corners, centre, lower corners, left
    before right, then the same mirrored.

    Raises: ValueError if `views` is neither 1 nor 10.
    """
    centre = border // 2
    if views == 1:
        return [(centre, centre, False)]
    if views == 10:
        corners = [(0, 0), (0, border), (centre, centre), (border, 0), (border, border)]
        return [(top, left, flip) for flip in (False, True) for top, left in corners]
    raise ValueError(f"views is {views}; use one of {', '.join(map(str, get_args(Views)))}")
