"""Answers kept as they come are those that all answers together give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.augment import Preprocessing
from alexnet.data.folder import Listing, list_folder
from alexnet.data.image import fit_square
from alexnet.data.statistics import Statistics
from alexnet.evaluation.evaluate import probabilities
from alexnet.evaluation.metrics import Counts
from alexnet.evaluation.submission import surest_mistakes
from alexnet.inspection import answered
from alexnet.inspection.answered import Some, answer, spread
from alexnet.model import Model
from tests.conftest import TINY, MakePictures


def model_of(classes: tuple[str, ...]) -> Model:
    net = TINY.build(classes=len(classes), input_size=67)
    net.init_weights(torch.Generator().manual_seed(3))
    for parameter in net.parameters():
        parameter.data *= 3  # so that its answers differ
    statistics = Statistics(torch.zeros(70, 70, 3), torch.zeros(3), torch.ones(3), torch.eye(3))
    return Model("tiny", net, classes, Preprocessing(statistics, 70, 67, divide_by=64.0))


def test_counts_and_mistakes_are_those_of_all_answers_at_once(
    pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = list_folder(pictures(per_class=7))
    model = model_of(listing.classes)
    monkeypatch.setattr(answered, "BATCH_SIZE", 4)
    found = answer(model, listing, mistakes=5)

    every = [fit_square(listing.pixels(i, at_least=70), 70) for i in range(len(listing))]
    p = probabilities(model.net, torch.from_numpy(np.stack(every)), model.preprocessing)
    labels = torch.tensor(listing.labels)
    counts = Counts(listing.classes)
    counts.add(p, labels)
    assert found.counts.confusion.tolist() == counts.confusion.tolist()
    expected = surest_mistakes(p, labels, classes=listing.classes, paths=listing.paths, count=5)
    assert [each.mistake.picture for each in found.wrong] == [each.picture for each in expected]
    np.testing.assert_allclose(
        [each.mistake.probability for each in found.wrong],
        [each.probability for each in expected],
        rtol=1e-5,  # float32, batches of another size
    )
    place = listing.paths.index(expected[0].picture)
    assert np.array_equal(found.wrong[0].image, every[place][1:68, 1:68])


def test_a_picture_that_cannot_be_read_is_named(pictures: MakePictures) -> None:
    folder = pictures(per_class=4)
    (folder / "disc" / "0001.jpg").write_bytes(b"\xff\xd8 torn")
    listing = list_folder(folder)
    found = answer(model_of(listing.classes), listing, mistakes=0)
    assert list(found.bad) == ["disc/0001.jpg"]
    assert found.counts.seen == 11
    assert found.wrong == []


def test_pictures_are_spread_evenly_over_a_set() -> None:
    paths = tuple(f"{n}.jpg" for n in range(9))
    listing = Listing(Path(), ("a", "b", "c"), paths, (0, 0, 0, 1, 1, 1, 2, 2, 2), notes=("odd",))
    some = spread(listing, 3)
    assert some.paths == ("0.jpg", "4.jpg", "8.jpg")
    assert some.labels == (0, 1, 2)
    assert some.classes == listing.classes
    assert some.notes == ("odd",)
    assert len(some) == 3
    assert spread(listing, 0) is listing
    assert spread(listing, 9) is listing


def test_some_pictures_are_the_sets_own(pictures: MakePictures) -> None:
    listing = list_folder(pictures(per_class=2))
    some = Some(listing, (4, 1))
    assert np.array_equal(some.pixels(0, at_least=8), listing.pixels(4, at_least=8))
    assert np.array_equal(
        replace(some, chosen=(1,)).pixels(0, at_least=8), listing.pixels(1, at_least=8)
    )
