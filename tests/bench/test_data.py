"""Reading and cutting."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.bench import data
from alexnet.bench.case import Case
from alexnet.bench.data import PillowPictures, draw_pictures, time_data
from alexnet.data.folder import DataError, list_folder
from alexnet.data.image import decode_file, fit_square
from tests.conftest import MakePictures

OURS = ["ours: read and decode", "ours: cut, mirror, relight", "ours: whole path"]


def test_a_folders_pictures_are_read_and_bad_ones_left_out(
    pictures: MakePictures, case: Case
) -> None:
    root = pictures(per_class=40, size=80)
    (root / "disc" / "0000.jpg").write_bytes(b"\xff\xd8 no picture")
    times = time_data(replace(case, batch=16), root, beside_torch=True, repeats=1)
    assert list(times.pictures) == [*OURS, "torch: whole path"]
    assert times.source == f"108 of the 108 pictures of {root}"
    assert times.pictures["ours: whole path"] in (107, 108)  # one may be held out by the split
    assert times.pictures["torch: whole path"] == times.pictures["ours: whole path"]
    assert all(times.rounds.timing(name).n == 1 for name in times.pictures)


def test_without_a_folder_pictures_are_drawn(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PICTURES", 4)
    times = time_data(case, None, beside_torch=False, repeats=1)
    assert times.source.startswith("4 drawn JPEG files, 500 x 375, ")
    assert times.pictures == {OURS[0]: 4, OURS[1]: 2, OURS[2]: 4}


def test_drawn_pictures_have_the_size_and_about_the_bytes_of_photos(tmp_path: Path) -> None:
    draw_pictures(tmp_path, 4)
    listing = list_folder(tmp_path)
    assert listing.classes == ("first", "second")
    for path in listing.paths:
        with Image.open(tmp_path / path) as picture:
            assert picture.size == (500, 375)
        assert 30_000 < (tmp_path / path).stat().st_size < 110_000  # ImageNet's mean is 110 kB


def test_pillows_path_sees_the_picture_that_ours_sees(tmp_path: Path) -> None:
    draw_pictures(tmp_path, 2)
    files = [tmp_path / path for path in list_folder(tmp_path).paths]
    theirs = PillowPictures(files, 256, 227)
    assert len(theirs) == 2
    ours = fit_square(decode_file(files[0], at_least=256), 256).astype(float)
    # Decoders and resampling round differently; another picture is 60 grey levels away.
    assert np.abs(theirs.centre(0) - ours).mean() < 4
    assert theirs[0].shape == (3, 227, 227)


def test_a_folder_without_classes_is_refused(tmp_path: Path, case: Case) -> None:
    with pytest.raises(DataError):
        time_data(case, tmp_path, beside_torch=False, repeats=1)
