"""A model beside labelled pictures: confusion, mistakes and neighbours, beside the same by hand."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.data.image import decode_file, fit_square
from alexnet.inspection.features import features_of
from alexnet.inspection.layer_names import resolve
from alexnet.serve.answers import Refused
from alexnet.serve.models import Opened, Shelf
from alexnet.serve.tested import (
    Look,
    Looks,
    as_jpeg,
    behind,
    exciting,
    mistakes,
    neighbours,
    open_pictures,
)
from tests.conftest import MakePictures
from tests.serve.live import CLASSES, write_run

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Return the model of a run that was validated on half of twelve pictures."""
    write_run(tmp_path)
    shelf = Shelf(tmp_path / "runs", device=torch.device("cpu"))
    return shelf.open(shelf.find_model(""))


async def alone(work: Callable[[], Any]) -> Any:
    """Run work at once."""
    return work()


def looked(opened: Opened, run: Callable[..., Awaitable[Any]] = alone) -> Look:
    """Look through the pictures to the end."""

    async def begin() -> Look:
        look = Looks(None).begin(opened, run)
        assert look.task is not None
        await look.task
        return look

    return asyncio.run(begin())


def by_hand(opened: Opened, look: Look) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """Return labels, probabilities and last hidden layer of all pictures, one by one."""
    root = opened.place.folder.parents[1] / "data"
    labels, rows, hidden = [], [], []
    for path, label in zip(look.pictures.paths, look.pictures.labels, strict=True):
        picture = fit_square(decode_file(root / path), 72)
        labels.append(label)
        rows.append(opened.answer([picture])[0])
        x = torch.from_numpy(picture)[None]
        hidden.append(features_of(opened.model, x, [look.spot])[look.spot.asked][0])
    return labels, torch.stack(rows), torch.stack(hidden)


def test_confusion_counts_every_picture(opened: Opened) -> None:
    look = looked(opened)
    labels, p, _ = by_hand(opened, look)
    expected = torch.zeros(3, 3, dtype=torch.int64)
    for label, row in zip(labels, p, strict=True):
        expected[label, int(row.argmax())] += 1
    assert torch.equal(look.counts.confusion, expected)
    assert look.state == {"done": 6, "of": 6, "skipped": 0}
    assert look.is_done
    for truth in range(3):
        for answer in range(3):
            found = behind(look, truth, answer, 100)
            assert len(found) == int(expected[truth, answer])
            assert all(labels[each["picture"]] == truth for each in found)
            sure = [each["probability"] for each in found]
            assert sure == sorted(sure, reverse=True)


def test_mistakes_are_the_surest_first(opened: Opened) -> None:
    look = looked(opened)
    labels, p, _ = by_hand(opened, look)
    wrong = [i for i, label in enumerate(labels) if int(p[i].argmax()) != label]
    wrong.sort(key=lambda i: -float(p[i].max()))
    found = mistakes(look, 100)
    assert [each["picture"] for each in found] == wrong
    assert mistakes(look, 1) == found[:1]
    for each in found:
        index = each["picture"]
        assert each["class"] == CLASSES[labels[index]]
        assert each["answer"] == CLASSES[int(p[index].argmax())]
        assert each["probability"] == pytest.approx(float(p[index].max()), abs=1e-6)
        assert each["class_probability"] == pytest.approx(float(p[index, labels[index]]), abs=1e-6)
        assert each["name"] == look.pictures.paths[index]


def test_neighbours_are_nearest_in_the_last_hidden_layer(opened: Opened) -> None:
    look = looked(opened)
    _, _, hidden = by_hand(opened, look)
    root = opened.place.folder.parents[1] / "data"
    picture = fit_square(decode_file(root / look.pictures.paths[2]), 72)
    found = neighbours(look, opened, picture, 4)
    distances = (hidden - hidden[2]).norm(dim=1)
    assert [each["picture"] for each in found] == distances.argsort()[:4].tolist()
    assert found[0]["picture"] == 2
    np.testing.assert_allclose(
        [each["distance"] for each in found], distances.sort().values[:4], atol=1e-3
    )
    assert look.spot.layer == "relu7"


def test_exciting_pictures_are_those_of_the_largest_activation(opened: Opened) -> None:
    look = looked(opened)
    root = opened.place.folder.parents[1] / "data"
    maps = []
    for path in look.pictures.paths:
        x = torch.from_numpy(fit_square(decode_file(root / path), 72))[None]
        spot = resolve(opened.model.net, "conv1")
        maps.append(features_of(opened.model, x, [spot])["conv1"][0].view(8, 15, 15)[5])
    largest = torch.stack([each.max() for each in maps])
    found = exciting(look, opened, "conv1", 5)
    assert (found["layer"], found["unit"]) == ("relu1", 5)
    order = largest.argsort(descending=True, stable=True).tolist()
    assert [each["picture"] for each in found["pictures"]] == order
    for each in found["pictures"]:
        index = each["picture"]
        assert each["value"] == pytest.approx(float(largest[index]), rel=1e-5)
        assert each["class"] == CLASSES[look.pictures.labels[index]]
        assert each["name"] == look.pictures.paths[index]
        row, column = divmod(int(maps[index].argmax()), 15)
        corner = [(2 + 4 * row) / 72, (2 + 4 * column) / 72]
        assert each["window"] == pytest.approx([*corner, *(c + 11 / 72 for c in corner)])
    with pytest.raises(ValueError, match="unit 8 is not in relu1, whose units are 0 to 7"):
        exciting(look, opened, "conv1", 8)


def test_nothing_excites_before_a_picture_was_seen(opened: Opened) -> None:
    async def begin() -> Look:
        look = Looks(None).begin(opened, alone)
        assert look.task is not None
        look.task.cancel()
        return look

    found = exciting(asyncio.run(begin()), opened, "conv1", 5)
    assert found == {"layer": "relu1", "unit": 5, "pictures": []}


def test_a_model_is_looked_at_once_and_then_known(opened: Opened) -> None:
    async def twice() -> tuple[Look, Look]:
        kept = Looks(None)
        return kept.begin(opened, alone), kept.begin(opened, alone)

    first, second = asyncio.run(twice())
    assert first is second


def test_others_go_first_where_the_thread_is_busy(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: Iterator[bool] = iter([True, True, False, False])

    async def busy(work: Callable[[], Any]) -> Any:
        if next(refusals):
            raise Refused(503, "busy", "others wait")
        return work()

    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert looked(opened, busy).is_done
    assert slept == [0.2, 0.2]


def test_what_goes_wrong_is_kept_for_the_answer(opened: Opened) -> None:
    async def fail(_: Callable[[], Any]) -> Any:
        raise RuntimeError("the device has gone")

    async def begin() -> Look:
        look = Looks(None).begin(opened, fail)
        assert look.task is not None
        with pytest.raises(RuntimeError, match="the device has gone"):
            await look.task
        return look

    look = asyncio.run(begin())
    assert look.error == "RuntimeError: the device has gone"
    assert not look.is_done


def test_pictures_that_cannot_be_read_are_skipped(opened: Opened) -> None:
    first = looked(opened)
    root = opened.place.folder.parents[1] / "data"
    (root / first.pictures.paths[0]).write_bytes(b"none")
    again = looked(opened)  # the split is by content: another picture may be held out now
    assert again.state["skipped"] + again.counts.seen == again.state["of"]


def test_data_given_to_the_server_go_before_the_runs_own(
    opened: Opened, pictures: MakePictures, tmp_path: Path
) -> None:
    given = pictures("given", classes=CLASSES[1:2], per_class=4, size=40)
    assert len(open_pictures(opened, given)) == 2  # half of it, as the run's recipe has it
    (opened.place.folder / "recipe.toml").unlink()
    assert len(open_pictures(opened, given)) == 4
    with pytest.raises(Refused, match="there are no labelled pictures to look through"):
        open_pictures(opened, None)
    other = pictures("other", classes=("cat",), per_class=2)
    with pytest.raises(Refused, match="class 'cat' is not among"):
        open_pictures(opened, other)
    with pytest.raises(Refused, match="there are no labelled pictures"):
        open_pictures(opened, tmp_path / "gone")


def test_a_picture_is_shown_decoded_and_small(opened: Opened) -> None:
    look = looked(opened)
    shown = Image.open(io.BytesIO(as_jpeg(look.pictures, 0, 32)))
    assert (shown.format, max(shown.size)) == ("JPEG", 32)
    with pytest.raises(Refused, match="there are 6 pictures, from 0 on"):
        as_jpeg(look.pictures, 6, 32)
    root = opened.place.folder.parents[1] / "data"
    (root / look.pictures.paths[0]).write_bytes(b"none")
    with pytest.raises(Refused, match="no known picture"):
        as_jpeg(look.pictures, 0, 32)
