"""The parts of a training apart: which there are, what is named, what is refused."""

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alexnet.bench import narrowest
from alexnet.bench.case import Case
from alexnet.bench.narrowest import measure
from alexnet.data.folder import DataError
from alexnet.measure import Timing
from tests.conftest import MakePictures

CPU = torch.device("cpu")


def test_a_folder_is_measured_in_four_parts(case: Case, pictures: MakePictures) -> None:
    root = pictures(per_class=6)
    found = measure(case, root, device=CPU, repeats=2)
    assert [stage.name for stage in found.stages] == ["disk", "decode", "augment", "step"]
    rates = [stage.pictures_per_second for stage in found.stages]
    assert found.together == pytest.approx(1 / sum(1 / rate for rate in rates))
    assert found.narrowest == found.stages[rates.index(min(rates))].name
    assert found.advice == narrowest.ADVICE[found.narrowest]
    assert found.source == f"15 of the 15 training pictures of {root}"
    assert found.bad == {}


def test_the_slowest_part_is_named(
    case: Case, pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(case, pictures(per_class=4), device=CPU, repeats=1)
    slowed = narrowest._stage

    def slow_decoder(name: str, timing: Timing, count: int, note: str) -> object:
        stage = slowed(name, timing, count, note)
        return replace(stage, pictures_per_second=0.01) if name == "decode" else stage

    monkeypatch.setattr(narrowest, "_stage", slow_decoder)
    found = measure(case, pictures(per_class=4), device=CPU, repeats=1)
    assert found.narrowest == "decode"
    assert "shorter side 256" in found.advice
    assert len(found.stages) == len(whole.stages)


def test_shards_are_read_and_decoded_in_one(
    case: Case, pictures: MakePictures, tmp_path: Path
) -> None:
    root, shard = pictures(per_class=6), tmp_path / "shards" / "train-000000.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as tar:
        for number, file in enumerate(sorted(root.glob("*/*.jpg"))):
            tar.add(file, f"{number:04d}.jpg")
            label = tmp_path / "label"
            label.write_text(file.parent.name)
            tar.add(label, f"{number:04d}.cls")
    found = measure(case, shard.parent, device=CPU, repeats=1)
    assert [stage.name for stage in found.stages] == ["read and decode", "augment", "step"]


def test_a_picture_that_cannot_be_read_is_named_and_left_out(
    case: Case, pictures: MakePictures
) -> None:
    train = pictures("set/train", per_class=3)
    pictures("set/val", per_class=1, seed=1)
    (train / "disc" / "0001.jpg").write_bytes(b"<html>")
    found = measure(case, train.parent, device=CPU, repeats=1)
    assert found.bad == {
        "disc/0001.jpg": "this is an HTML page (perhaps a failed download); JPEG, PNG, BMP, WebP "
        "and GIF are read"
    }
    assert found.source.startswith("8 of the 9 training pictures of ")
    for file in train.glob("*/*.jpg"):
        file.write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"set has no readable picture; cross/0000.jpg: this is an"):
        measure(case, train.parent, device=CPU, repeats=1)


def test_a_missing_folder_and_no_repeats_are_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        measure(case, tmp_path / "nowhere", device=CPU, repeats=1)
    with pytest.raises(ValueError, match="repeats is 0; it must be at least 1"):
        measure(case, tmp_path, device=CPU, repeats=0)


def test_a_file_is_forgotten_by_the_system_or_known_to_be_kept(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}" for number in range(3)]
    for file in files:
        file.write_bytes(bytes(10_000))
    assert 0 <= narrowest._forget(files) <= 1
    assert narrowest._forget([tmp_path / "missing"]) == 0
    handle = files[0].open("rb")
    with handle:
        handle.read()
        assert narrowest._in_memory(handle.fileno())
