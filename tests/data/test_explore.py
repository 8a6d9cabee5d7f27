"""A sample of pictures: what is said of it is what the pictures are."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data.explore import Explored, count_kinds, explore, extent, spread
from alexnet.data.folder import DataError
from alexnet.data.image import decode_file, fit_square
from alexnet.data.sets import open_sets
from tests.conftest import MakePictures
from tests.data.packed import pack


def write(
    path: Path, width: int, height: int, colour: int | tuple[int, int, int], *, exif: bytes = b""
) -> None:
    """Write a picture of one colour; a number is a gray one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    kind = "JPEG" if path.suffix == ".jpg" else "PNG"
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, (width, height), colour).save(data, kind, exif=exif)
    path.write_bytes(data.getvalue())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Write train/ of two classes, of known sizes and colours, with val/ of one."""
    root = tmp_path / "mixed"
    turned = Image.Exif()
    turned[0x0112] = 6  # stored lying, shown upright
    write(root / "train/cat/1.jpg", 60, 40, (200, 30, 30))
    write(root / "train/cat/2.png", 20, 80, (10, 200, 10))
    write(root / "train/cat/3.jpg", 90, 30, (30, 30, 200), exif=turned.tobytes())
    write(root / "train/dog/1.png", 50, 50, 77)
    (root / "train/dog/2.jpg").write_bytes(b"<html>")
    write(root / "val/cat/1.jpg", 60, 40, (200, 30, 30))
    return root


def named(explored: Explored, crop: int) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    return {
        finding.kind: [(item.paths, item.detail) for item in finding.items]
        for finding in explored.findings(crop)
    }


def test_sizes_types_gray_and_bad_are_those_of_the_files(mixed: Path) -> None:
    explored, _ = explore(open_sets(mixed), size=32, most=100)
    assert explored.places.tolist() == [0, 1, 2, 3, 4]
    assert explored.sides.tolist() == [[40, 60], [80, 20], [90, 30], [50, 50], [0, 0]]
    assert explored.gray.tolist() == [False, False, False, True, False]
    assert count_kinds(explored) == {"JPEG": 2, "PNG": 2}
    assert list(explored.bad) == [4]
    assert explored.bad[4].startswith("this is an HTML page")


def test_what_one_would_want_to_know_is_found(mixed: Path) -> None:
    explored, _ = explore(open_sets(mixed), size=32, most=100)
    found = named(explored, 35)
    assert found["below-crop"] == [
        (("train/cat/2.png",), "20 x 80"),
        (("train/cat/3.jpg",), "30 x 90"),
    ]
    assert found["gray"] == [(("train/dog/1.png",), "")]
    assert found["bad"][0][0] == ("train/dog/2.jpg",)
    assert found["only-in-train"] == [(("dog",), "2 in train")]
    assert found["few"] == [(("cat",), "3 pictures"), (("dog",), "2 pictures")]
    assert "below-crop" not in named(explored, 20)


def test_classes_more_than_ten_times_as_large_are_found(pictures: MakePictures) -> None:
    root = pictures(classes=("cat",), per_class=11, size=16)
    pictures(classes=("dog",), per_class=1, size=16)
    explored, _ = explore(open_sets(root), size=16, most=4)
    assert named(explored, 16)["imbalance"] == [(("dog", "cat"), "1 and 11 pictures")]


def test_means_and_deviations_are_those_of_the_pictures(pictures: MakePictures) -> None:
    root = pictures(per_class=3, size=40)
    seen = []
    explored, colours = explore(
        open_sets(root), size=24, most=100, progress=lambda *done: seen.append(done)
    )
    paths = sorted(root.glob("*/*.jpg"))
    stack = np.stack([fit_square(decode_file(path, at_least=24), 24) for path in paths])
    exact = stack.astype(np.float64)
    found = colours.statistics
    np.testing.assert_allclose(found.mean_image.numpy(), exact.mean(0), rtol=1e-6)
    # a float32 has 24 bits; the variance is the small difference of two large sums in float64
    np.testing.assert_allclose(colours.deviation_image.numpy(), exact.std(0), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(colours.deviation_value.numpy(), exact.std((0, 1, 2)), rtol=1e-6)
    some = stack[:, ::4, ::4].reshape(-1, 3)
    for colour in range(3):
        wanted = np.histogram(some[:, colour], np.arange(257))[0]
        assert colours.levels[colour].tolist() == wanted.tolist()
    assert len(explored) == 9
    assert seen == [(9, 9)]


def test_a_sample_is_spread_evenly_from_the_first_to_the_last() -> None:
    assert spread(9, 5).tolist() == [0, 2, 4, 6, 8]
    assert spread(3, 5).tolist() == [0, 1, 2]
    assert spread(7, 1).tolist() == [0]


def test_shards_are_looked_at_as_the_files_that_they_were(
    pictures: MakePictures, tmp_path: Path
) -> None:
    root = pictures("photos/train", per_class=2, size=40).parent
    pictures("photos/val", per_class=1, size=40, seed=1)
    first, means = explore(open_sets(root), size=24, most=100)
    pack(root, tmp_path / "shards")
    shutil.rmtree(root)
    second, others = explore(open_sets(tmp_path / "shards"), size=24, most=100)
    assert second.kinds == first.kinds
    assert second.sides.tolist() == first.sides.tolist()
    assert (others.statistics.mean_image == means.statistics.mean_image).all()


def test_pictures_of_which_none_can_be_read_are_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"\xff\xd8nothing")
    message = r"none of the 2 pictures looked at can be read; the first is cat/1.jpg: the JPEG"
    with pytest.raises(DataError, match=message):
        explore(open_sets(tmp_path), size=16, most=5)


def test_plain_values_tell_sizes_and_counts(mixed: Path) -> None:
    explored, _ = explore(open_sets(mixed), size=32, most=100)
    told = explored.to_json()
    assert told["sets"] == {"train": 5, "val": 1}
    assert told["classes"] == {"cat": [3, 1], "dog": [2, 0]}
    assert told["width"] == {"least": 20.0, "median": 40.0, "greatest": 60.0}
    assert told["height"] == {"least": 40.0, "median": 65.0, "greatest": 90.0}
    assert (told["looked_at"], told["gray"], told["bad"]) == (5, 1, 1)


def test_the_extent_of_numbers_is_least_median_and_greatest() -> None:
    assert extent(np.array([4, 1, 9, 2])) == (1.0, 3.0, 9.0)
