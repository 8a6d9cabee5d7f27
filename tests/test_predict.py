"""Predictions: ranks and probabilities by numpy, and pictures that cannot be read."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet import predict as predict_module
from alexnet.data.augment import Preprocessing
from alexnet.data.folder import DataError
from alexnet.data.image import decode_file, fit_square
from alexnet.data.statistics import compute
from alexnet.model import Model, create
from alexnet.packed import FullyConnected, PackedNet, pack_verified
from alexnet.predict import BATCH_SIZE, list_pictures, predict
from tests.conftest import MakePictures

pytestmark = pytest.mark.usefixtures("tiny_net")
CLASSES = ("cat", "dog", "emu", "fox")


@pytest.fixture
def model() -> Model:
    """Return a net whose answers differ: the paper's weights, five times larger."""
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (4, 72, 72, 3), generator=generator).to(torch.uint8)
    made = create("tiny", CLASSES, Preprocessing(compute([batch]), 72, 67), seed=0)
    with torch.no_grad():
        for parameter in made.net.parameters():
            parameter.mul_(5)
    made.net.eval()
    return made


def by_hand(model: Model, path: Path, corners: list[tuple[int, int, bool]]) -> dict[str, float]:
    """Return the mean of the softmax over windows, in float64 where it is not the net."""
    picture = fit_square(decode_file(path, at_least=72), 72).astype(np.float64)
    centred = picture - model.preprocessing.statistics.mean_image.numpy()
    p = np.zeros(len(CLASSES))
    for top, left, flip in corners:
        window = centred[top : top + 67, left : left + 67]
        window = window[:, ::-1] if flip else window
        x = torch.from_numpy(window.transpose(2, 0, 1)[None].astype(np.float32))
        logits = model.net(x).detach().numpy()[0].astype(np.float64)
        p += np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum() / len(corners)
    return dict(zip(CLASSES, p.tolist(), strict=True))


CENTRE = [(2, 2, False)]
TEN = [
    (top, left, flip)
    for flip in (False, True)
    for top, left in ((0, 0), (0, 5), (2, 2), (5, 0), (5, 5))
]


@pytest.mark.parametrize(("views", "corners"), [(1, CENTRE), (10, TEN)])
def test_labels_are_ranked_by_the_mean_probability_over_the_views(
    model: Model, pictures: MakePictures, views: int, corners: list[tuple[int, int, bool]]
) -> None:
    paths = sorted(pictures(per_class=2).rglob("*.jpg"))
    answers = list(predict(model, map(str, paths), top=3, views=views))
    assert [a.source for a in answers] == [str(p) for p in paths]
    for path, answer in zip(paths, answers, strict=True):
        expected = by_hand(model, path, corners)
        ranked = sorted(expected, key=lambda name: -expected[name])[:3]
        assert [name for name, _ in answer.labels] == ranked
        for name, p in answer.labels:
            assert p == pytest.approx(expected[name], rel=1e-4)  # float32 through eight layers


def test_more_labels_than_classes_are_all_classes(model: Model, pictures: MakePictures) -> None:
    path = next(pictures().rglob("*.jpg"))
    (answer,) = predict(model, [str(path)], top=100)
    assert sorted(name for name, _ in answer.labels) == sorted(CLASSES)
    assert sum(p for _, p in answer.labels) == pytest.approx(1, abs=1e-6)


def test_a_bad_picture_gives_its_reason_and_the_others_are_answered(
    model: Model, pictures: MakePictures, tmp_path: Path
) -> None:
    good = sorted(pictures(per_class=1).rglob("*.jpg"))
    bad = tmp_path / "bad.jpg"
    bad.write_text("I am a letter")
    sources = [str(good[0]), str(bad), str(good[1])]
    answers = list(predict(model, sources))
    assert [a.source for a in answers] == sources
    assert [bool(a.labels) for a in answers] == [True, False, True]
    assert "JPEG, PNG, BMP, WebP and GIF are read" in answers[1].error
    alone = list(predict(model, [str(good[1])]))
    assert alone[0].labels[0][0] == answers[2].labels[0][0]
    assert alone[0].labels[0][1] == pytest.approx(answers[2].labels[0][1], rel=1e-5)


def test_a_batch_of_bad_pictures_only_has_reasons_only(model: Model, tmp_path: Path) -> None:
    answers = list(predict(model, [str(tmp_path / "gone.jpg")] * 2))
    assert [(a.labels, a.error) for a in answers] == [
        ((), "cannot be read: No such file or directory")
    ] * 2


def test_more_pictures_than_a_batch_keep_their_order(model: Model, pictures: MakePictures) -> None:
    paths = [str(p) for p in sorted(pictures(per_class=1).rglob("*.jpg"))]
    sources = (paths * BATCH_SIZE)[: BATCH_SIZE + 5]
    answers = list(predict(model, sources, top=1))
    assert [a.source for a in answers] == sources
    first = {a.source: a.labels[0] for a in answers[:3]}
    for answer in answers:
        assert answer.labels[0][0] == first[answer.source][0]
        assert answer.labels[0][1] == pytest.approx(first[answer.source][1], rel=1e-4)


@pytest.mark.parametrize(("count", "packed"), [(BATCH_SIZE, 0), (2 * BATCH_SIZE + 1, 1)])
def test_the_net_is_packed_once_for_the_second_batch(
    model: Model,
    pictures: MakePictures,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    packed: int,
) -> None:
    path = next(pictures().rglob("*.jpg"))
    made: list[nn.Module] = []

    def pack(
        net: nn.Module, x: Tensor, *, dtype: torch.dtype, fully_connected: FullyConnected
    ) -> nn.Module:
        made.append(pack_verified(net, x, dtype=dtype, fully_connected=fully_connected))
        return made[-1]

    monkeypatch.setattr(predict_module, "pack_verified", pack)
    answers = list(predict(model, [str(path)] * count, top=1))
    assert [type(each) for each in made] == [PackedNet] * packed
    assert answers[-1].labels[0][0] == answers[0].labels[0][0]
    assert answers[-1].labels[0][1] == pytest.approx(answers[0].labels[0][1], rel=1e-5)


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_weights_of_few_bytes_give_nearly_the_same_answers(
    model: Model, pictures: MakePictures, weights: FullyConnected
) -> None:
    path = str(next(pictures().rglob("*.jpg")))
    (exact,) = predict(model, [path])
    (rough,) = predict(model, [path], weights=weights)
    assert rough.labels != exact.labels
    found = dict(rough.labels)
    for name, p in exact.labels:
        assert found[name] == pytest.approx(p, rel=0.1)  # 8 bits in three of eight layers


def test_standard_input_is_one_picture(
    model: Model, pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(pictures().rglob("*.jpg"))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    (piped,) = predict(model, ["-"])
    (read,) = predict(model, [str(path)])
    assert (piped.source, piped.labels) == ("-", read.labels)


def test_a_folder_stands_for_the_pictures_below_it(pictures: MakePictures) -> None:
    folder = pictures(classes=("a", "b"), per_class=2)
    (folder / "notes.txt").write_text("no picture")
    (folder / "b" / "last.PNG").write_bytes(b"")
    found = [str(Path(p).relative_to(folder)) for p in list_pictures([str(folder)])]
    assert found == ["a/0000.jpg", "a/0001.jpg", "b/0000.jpg", "b/0001.jpg", "b/last.PNG"]
    assert list_pictures(["-", str(folder / "notes.txt")]) == ["-", str(folder / "notes.txt")]


def test_a_missing_picture_names_the_nearest(pictures: MakePictures) -> None:
    folder = pictures(per_class=1)
    message = r"disc/000\.jpg does not exist \(did you mean '0000\.jpg'\?\)"
    with pytest.raises(DataError, match=message):
        list_pictures([str(folder / "disc" / "000.jpg")])


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no pictures \(\.bmp, .*\); name another folder"):
        list_pictures([str(tmp_path)])
