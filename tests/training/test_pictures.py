"""A run's pictures: any form of data set trains, and what cannot be trained on is refused."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.training import loop, setup
from alexnet.training.journal import read_journal
from tests.conftest import MakePictures, tiny_recipe
from tests.data import test_cifar, test_idx
from tests.data.packed import pack
from tests.data.test_door import lists

pytestmark = pytest.mark.usefixtures("tiny_net")


def shards(place: Path, folder: Path) -> Path:
    pack(folder, place)
    return place


def cifar(place: Path, folder: Path) -> Path:
    place.mkdir()
    test_cifar.cifar10_binary(place)
    return place


def idx(place: Path, folder: Path) -> Path:
    test_idx.write(place, zipped=True, classes=10)
    return place


FORMS: list[tuple[Callable[[Path, Path], Path], int, int, str]] = [
    (lambda place, folder: folder, 24, 6, "by SHA-256 of the file to validation"),
    (shards, 24, 6, "by SHA-256 of the file to validation"),
    (lists, 27, 3, "the lists train.txt and val.txt"),
    (cifar, 70, 17, "the published test"),
    (idx, 20, 10, "the published test part"),
]


@pytest.mark.parametrize(
    ("make", "trained", "tested", "rule"), FORMS, ids=["folder", "shards", "lists", "cifar", "idx"]
)
def test_a_net_trains_on_any_form_of_data_set(
    pictures: MakePictures,
    tmp_path: Path,
    *,
    make: Callable[[Path, Path], Path],
    trained: int,
    tested: int,
    rule: str,
) -> None:
    place = make(tmp_path / "set", pictures(per_class=10))
    run = setup.start(replace(tiny_recipe(place), epochs=1, batch=32), tmp_path / "run")
    assert (len(run.split.train), len(run.split.validation)) == (trained, tested)
    assert rule in run.split.rule
    counts = loop.train(run)
    assert counts.seen == tested
    updates = [
        line["step"]
        for line in read_journal(tmp_path / "run" / "journal.jsonl")
        if line["kind"] == "train"
    ]
    assert updates == list(range(1, -(-trained // 32) + 1))


def test_a_folder_and_its_shards_train_the_same_net(pictures: MakePictures, tmp_path: Path) -> None:
    folder = pictures(per_class=10)
    losses = []
    for name, place in (("one", folder), ("two", shards(tmp_path / "set", folder))):
        loop.train(setup.start(replace(tiny_recipe(place), epochs=1), tmp_path / name))
        lines = read_journal(tmp_path / name / "journal.jsonl")
        losses.append([line["loss"] for line in lines if line["kind"] == "train"])
    assert losses[0] == losses[1]


def test_a_name_that_is_not_utf8_does_not_stop_a_training(
    pictures: MakePictures, tmp_path: Path
) -> None:
    folder = pictures(per_class=10)
    odd = Path(os.fsdecode(os.fsencode(folder / "disc") + b"/caf\xe9.jpg"))
    (folder / "disc" / "0001.jpg").rename(odd)
    run = setup.start(replace(tiny_recipe(folder), epochs=1), tmp_path / "run")
    assert loop.train(run).seen == 6


def test_errors_can_be_counted_on_pictures_trained_on(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe(pictures(per_class=10)), validate_on="training", epochs=1)
    run = setup.start(recipe, tmp_path / "run")
    trained, measured = run.split.train, run.split.validation
    assert (len(trained), len(measured)) == (24, 6)
    assert measured.paths == trained.paths[::4]
    assert measured.labels == trained.labels[::4] == (0, 0, 1, 1, 2, 2)
    assert run.split.rule == "6 of those trained on"
    counts = loop.train(run)
    assert counts.seen == 6
    again = setup.resume(tmp_path / "run")
    assert again.split.validation.paths == measured.paths
