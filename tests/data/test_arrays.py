"""Pictures in arrays: found by their place over several files, and never past a file's end."""

from pathlib import Path

import numpy as np
import pytest

from alexnet.data.arrays import ArrayPictures, Rows, map_file
from alexnet.data.image import ImageError


def test_pictures_of_several_files_are_found_by_their_place() -> None:
    random = np.random.default_rng(0)
    planes = random.integers(0, 256, (5, 3, 2, 4), np.uint8)
    rows = tuple(
        Rows(name, part.reshape(len(part), 24))
        for name, part in (("a", planes[:3]), ("empty", planes[3:3]), ("b", planes[3:]))
    )
    paths = ("a#0", "a#1", "a#2", "b#0", "b#1")
    pictures = ArrayPictures(("x", "y"), paths, (0, 1, 0, 1, 1), rows, (3, 2, 4))
    assert len(pictures) == 5
    for index in range(5):
        found = pictures.pixels(index, at_least=1)
        np.testing.assert_array_equal(found, np.moveaxis(planes[index], 0, 2), strict=True)
        assert found.flags.c_contiguous
        assert found.flags.writeable


def test_gray_becomes_three_equal_planes() -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(1, 12)
    pictures = ArrayPictures(("x",), ("a#0",), (0,), (Rows("a", gray),), (1, 3, 4))
    found = pictures.pixels(0, at_least=1)
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], gray.reshape(3, 4))


def test_a_file_that_is_cut_while_in_use_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(20_000))
    mapped = map_file(path)
    rows = Rows("a", np.frombuffer(mapped, np.uint8).reshape(10, 2000), mapped)
    pictures = ArrayPictures(("x",), ("a#0",) * 10, (0,) * 10, (rows,), (1, 40, 50))
    assert pictures.pixels(9, at_least=1).sum() == 0
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(ImageError, match="a was cut short while it was in use; restart"):
        pictures.pixels(9, at_least=1)
