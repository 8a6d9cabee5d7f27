"""The windows of a picture that a test looks at.

Source: Krizhevsky 2012, section 4.1: "extracting five 224 x 224 patches (the four corner patches
and the center patch) as well as their horizontal reflections (hence ten patches in all)";
Simonyan and Zisserman 2014, section 3.2, for the whole picture and for several scales.
"""

from dataclasses import replace
from typing import Literal, get_args

from alexnet.data.augment import Preprocessing

Views = Literal[1, 10, "dense"]
LARGEST_SCALE = 4096


def window_corners(views: int | str, border: int) -> list[tuple[int, int, bool]]:
    """Return (top, left, mirrored) of each window, pixels; `border` is the largest offset.

    The order of the ten is that of the 2012 program: upper corners, centre, lower corners, left
    before right, then the same mirrored. "dense" is the whole picture and its mirror image.

    Raises: ValueError if `views` is none of these.
    """
    centre = border // 2
    if views == 1:
        return [(centre, centre, False)]
    if views == 10:
        corners = [(0, 0), (0, border), (centre, centre), (border, 0), (border, border)]
        return [(top, left, flip) for flip in (False, True) for top, left in corners]
    if views == "dense":
        return [(0, 0, False), (0, 0, True)]
    raise ValueError(f"views is {views}; use one of {', '.join(map(str, get_args(Views)))}")


def at_scale(preprocessing: Preprocessing, picture_size: int) -> Preprocessing:
    """Return the preprocessing of pictures whose shorter side is another number of pixels.

    A mean image fits its own size only; at another size its mean colour is subtracted instead.

    Raises: ValueError if the net's crop does not fit into that size.
    """
    if picture_size == preprocessing.picture_size:
        return preprocessing
    if picture_size < preprocessing.crop_size:
        raise ValueError(
            f"scale {picture_size} is smaller than the net's crop of {preprocessing.crop_size} "
            f"pixels; name scales of at least {preprocessing.crop_size}"
        )
    subtract = preprocessing.subtract
    return replace(
        preprocessing,
        picture_size=picture_size,
        subtract="mean-value" if subtract == "mean-image" else subtract,
    )


def whole_picture(preprocessing: Preprocessing) -> Preprocessing:
    """Return the preprocessing that hands the whole square picture to a net that takes any size."""
    return replace(preprocessing, crop_size=preprocessing.picture_size)


def read_scales(text: str) -> tuple[int, ...]:
    """Return the sizes in a text such as 227,256,288; none for an empty text.

    Units:   pixels of the picture's shorter side.
    Raises:  ValueError for a part that is no whole number from 1 to 4096, or comes twice.
    """
    found: list[int] = []
    for word in filter(None, text.split(",")):
        if not word.strip().isdecimal() or not 1 <= int(word) <= LARGEST_SCALE:
            raise ValueError(
                f"scales has {word!r}; give pixels of the shorter side, 1 to {LARGEST_SCALE}, "
                f"such as 256,288"
            )
        if int(word) in found:
            raise ValueError(f"scales has {int(word)} twice; name each size once")
        found.append(int(word))
    return tuple(found)
