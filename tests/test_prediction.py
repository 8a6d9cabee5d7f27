"""Pictures by name, with torch and without it."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from alexnet.data.folder import DataError
from alexnet.native.resize_numpy import resize_numpy
from alexnet.prediction import list_pictures, open_picture
from tests.conftest import MakePictures


def test_a_folder_is_all_pictures_below_it_in_order(pictures: MakePictures) -> None:
    folder = pictures(per_class=2)
    found = list_pictures([str(folder), "-"])
    assert found[-1] == "-"
    assert found[:-1] == sorted(map(str, folder.rglob("*.jpg")))


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(DataError, match=r"does not exist \(did you mean 'cat.jpg'\?\)"):
        list_pictures([str(tmp_path / "cta.jpg")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no pictures"):
        list_pictures([str(tmp_path / "empty")])


def test_a_picture_has_the_same_bytes_by_numpy(pictures: MakePictures) -> None:
    path = str(next(pictures().rglob("*.jpg")))
    ours, theirs = open_picture(path, 33), open_picture(path, 33, scale=resize_numpy)
    assert not isinstance(ours, str)
    np.testing.assert_array_equal(ours, theirs)


def test_standard_input_is_a_picture_too(
    pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(pictures().rglob("*.jpg"))
    stream = SimpleNamespace(buffer=io.BytesIO(path.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    np.testing.assert_array_equal(open_picture("-", 40), open_picture(str(path), 40))


def test_why_a_picture_was_refused_is_returned(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8nonsense")
    assert "the JPEG is damaged" in str(open_picture(str(path), 40))
