"""The boxes' training: an update by hand, errors that fall, and a head that comes back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet import store
from alexnet.data.augment import Preprocessing, cut, same_windows
from alexnet.data.boxed import Boxed
from alexnet.data.folder import DataError, list_folder
from alexnet.data.image import fit_square
from alexnet.data.statistics import Statistics
from alexnet.evaluation.localization import locate
from alexnet.model import Model, create
from alexnet.store import StoreError
from alexnet.training.boxes import (
    BoxRecipe,
    check_target,
    localizer,
    open_head,
    save_head,
    train_head,
)

SMALL = BoxRecipe(epochs=1, batch=8, lr=0.05, hidden=(32, 16))


def draw(root: Path, count: int, *, seed: int) -> Boxed:
    """Write bright rectangles of two colours at random places, and return them with boxes."""
    random = np.random.default_rng(seed)
    boxes = {}
    for number in range(count):
        name = ("green", "red")[number % 2]
        width, height = random.integers(28, 48, 2)
        left, top = random.integers(0, 72 - width), random.integers(0, 72 - height)
        picture = random.integers(0, 60, (72, 72, 3)).astype(np.uint8)
        picture[top : top + height, left : left + width, 0 if name == "red" else 1] = 230
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / name / f"{number:03d}.png")
        edges = np.array([left, top, left + width, top + height]) / 72
        boxes[f"{name}/{number:03d}.png"] = tuple(edges.tolist())
    listing = list_folder(root)
    return Boxed(listing, tuple((boxes[p],) for p in listing.paths), ((72, 72),) * count)


@pytest.fixture(scope="module")
def model(tiny_net: str) -> Model:
    """Return an untrained net; a random one keeps where things are."""
    zeros = torch.zeros(72, 72, 3)
    statistics = Statistics(zeros, torch.full((3,), 60.0), torch.ones(3), torch.eye(3))
    preprocessing = Preprocessing(statistics, 72, 67, "mean-value", divide_by=64.0)
    model = create(tiny_net, ("green", "red"), preprocessing, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in model.net.named_parameters():
            if name.endswith("weight"):  # deviations that carry a signal to pool5
                weights.normal_(0, (2 / weights[0].numel()) ** 0.5, generator=generator)
            else:
                weights.zero_()
    return model


def quiet(epoch: int, loss: float) -> None:
    """Say nothing."""


def test_boxes_get_better_with_training(model: Model, tmp_path: Path) -> None:
    train, held_out = draw(tmp_path / "a", 96, seed=0), draw(tmp_path / "b", 40, seed=1)
    said: list[tuple[int, float]] = []
    heads = [
        train_head(model, train, replace(SMALL, epochs=n), report=lambda *each: said.append(each))
        for n in (1, 25)
    ]
    counts = [locate(localizer(model, head), held_out).counts for head, *_ in heads]
    assert heads[1][1][-1] < heads[1][1][0] / 3
    assert counts[1].box_errors < counts[0].box_errors * 2 / 3
    assert counts[1].localization_errors < counts[0].localization_errors
    assert counts[1].overlap_sum > counts[0].overlap_sum + 4
    assert said[1:] == list(enumerate(heads[1][1], start=1))


def test_the_first_loss_is_the_squared_distance_to_the_mean_box(
    model: Model, tmp_path: Path
) -> None:
    boxed = draw(tmp_path, 6, seed=0)
    whole = replace(model, preprocessing=replace(model.preprocessing, picture_size=67))
    head, losses, _ = train_head(whole, boxed, replace(SMALL, lr=1e-12), report=quiet)
    # pictures without a border have one window and its mirror image
    assert (head.mean_box[1] + head.mean_box[3] - 1).abs() < 0.5
    edges = np.array([box for (box,) in boxed.boxes])
    best = ((edges[:, [1, 3]] - edges[:, [1, 3]].mean(0)) ** 2).sum(1).mean()
    assert losses[0] >= best * 0.99
    np.testing.assert_allclose(head.mean_box[[1, 3]], edges[:, [1, 3]].mean(0), atol=1e-5)


def test_the_net_stays_as_it_is_and_one_seed_gives_one_head(model: Model, tmp_path: Path) -> None:
    boxed = draw(tmp_path, 12, seed=0)
    before = {name: tensor.clone() for name, tensor in model.net.state_dict().items()}
    heads = [train_head(model, boxed, SMALL, report=quiet)[0] for _ in range(2)]
    for name, tensor in model.net.state_dict().items():
        assert torch.equal(tensor, before[name])
    for ours, theirs in zip(heads[0].parameters(), heads[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_head_comes_back_and_answers_the_same(model: Model, tmp_path: Path) -> None:
    boxed = draw(tmp_path / "data", 8, seed=0)
    head, losses, bad = train_head(model, boxed, SMALL, report=quiet)
    assert bad == {}
    save_head(head, tmp_path / "boxes", model=model, recipe=SMALL, record={"losses": losses})
    again = open_head(tmp_path / "boxes", model)
    pictures = torch.from_numpy(
        np.stack([fit_square(boxed.pictures.pixels(i, at_least=72), 72) for i in range(8)])
    )
    sides = torch.full((8, 2), 72.0)
    first, second = (
        localizer(model, each).answer(pictures, sides, views=10) for each in (head, again)
    )
    assert torch.equal(first[1], second[1])
    x = cut(pictures, same_windows(8, 2, 2), model.preprocessing)
    p = localizer(model, head).answer(pictures, sides)[0]
    torch.testing.assert_close(p, model.net.eval()(x).softmax(1).detach())
    other = replace(model, classes=("a", "b"))
    with pytest.raises(StoreError, match=r"was trained for a net of 2 other classes; train the"):
        open_head(tmp_path / "boxes", other)
    with pytest.raises(StoreError, match=r"none holds no boxes \(no manifest.json\); train them"):
        open_head(tmp_path / "none", model)
    store.write(tmp_path / "odd", {"kind": "model"}, {"weights": {"a": torch.zeros(1)}})
    with pytest.raises(StoreError, match=r"odd holds a model, not boxes$"):
        open_head(tmp_path / "odd", model)


def test_boxes_take_no_others_place(tmp_path: Path) -> None:
    store.write(tmp_path / "old", {"kind": "model"}, {"weights": {"a": torch.zeros(1)}})
    with pytest.raises(ValueError, match=r"old holds a model, which boxes would replace; give an"):
        check_target(tmp_path / "old")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file is a file; give a folder for the boxes$"):
        check_target(tmp_path / "file")
    check_target(tmp_path / "far" / "away")
    assert list((tmp_path / "far" / "away").iterdir()) == []
    store.write(tmp_path / "boxes", {"kind": "boxes"}, {"weights": {"a": torch.zeros(1)}})
    check_target(tmp_path / "boxes")


def test_pictures_that_cannot_be_read_are_named(model: Model, tmp_path: Path) -> None:
    boxed = draw(tmp_path, 120, seed=0)
    bad = boxed.pictures.paths[7]
    (boxed.pictures.root / bad).write_bytes(b"no picture")
    trained = train_head(model, boxed, replace(SMALL, epochs=1), report=quiet)
    assert list(trained.bad) == [bad]
    assert "this is no known picture" in trained.bad[bad]


def test_what_cannot_be_trained_is_refused(model: Model, tmp_path: Path) -> None:
    for name, value in (("epochs", 0), ("batch", -1), ("lr", 0.0)):
        with pytest.raises(ValueError, match=rf"^{name} is {value}; it must be above 0$"):
            BoxRecipe(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^hidden is \(3, 0\); a layer has at least 1 unit$"):
        BoxRecipe(hidden=(3, 0))
    boxed = draw(tmp_path, 4, seed=0)
    far = replace(boxed, boxes=(((0.0, 0.0, 0.001, 0.001),),) * 4, sides=((720, 72),) * 4)
    with pytest.raises(DataError, match=r"^no window shows half of a box; the boxes do not fit"):
        train_head(model, far, SMALL, report=quiet)
    model.net.branches = True
    try:
        with pytest.raises(ValueError, match=r"^a net from a text with branches has no last maps"):
            train_head(model, boxed, SMALL, report=quiet)
    finally:
        model.net.branches = False
