"""Features: rows by hand from the net, in the listing's order, and what is refused."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.augment import Colours, Preprocessing
from alexnet.data.folder import DataError, list_folder
from alexnet.data.image import decode_file, fit_square
from alexnet.data.statistics import Statistics
from alexnet.evaluation.evaluate import probabilities
from alexnet.inspection.features import (
    LoosePictures,
    Rows,
    collect,
    describe,
    features_of,
    open_loader,
    rows_of,
    shapes_of,
)
from alexnet.inspection.layer_names import Spot, resolve
from alexnet.model import Model, create
from tests.conftest import MakePictures

pytestmark = pytest.mark.usefixtures("tiny_net")


def model_of(
    net: str = "tiny",
    *,
    classes: int = 3,
    size: int = 72,
    crop: int = 67,
    colours: Colours = "rgb",
) -> Model:
    statistics = Statistics(
        torch.full((size, size, 3), 100.0),
        torch.tensor([110.0, 100.0, 90.0]),
        torch.tensor([50.0, 20.0, 5.0]),
        torch.eye(3),
    )
    preprocessing = Preprocessing(statistics, size, crop, "mean-value", 64.0, colours)
    names = tuple(f"class {number}" for number in range(classes))
    model = create(net, names, preprocessing, seed=0)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.net.parameters():  # large enough for ReLUs that are on and off
        parameter.data.normal_(0, 0.2, generator=generator)
    model.net.eval()
    return model


def spots(model: Model, *names: str) -> list[Spot]:
    return [resolve(model.net, name) for name in names]


def windows(model: Model, picture: np.ndarray) -> Iterator[torch.Tensor]:
    """Yield the ten windows of a picture by slices and arithmetic alone."""
    for flip in (False, True):
        for top, left in ((0, 0), (0, 5), (2, 2), (5, 0), (5, 5)):
            window = picture[top : top + 67, left : left + 67].astype(np.float64)
            window = (window - [110.0, 100.0, 90.0]) / 64
            window = window[:, ::-1] if flip else window
            yield torch.from_numpy(np.ascontiguousarray(window.transpose(2, 0, 1))).float()[None]


@torch.no_grad()
def test_a_row_is_the_layer_of_the_centre_window_flattened_by_map_row_and_column(
    pictures: MakePictures,
) -> None:
    model = model_of()
    listing = list_folder(pictures(per_class=2, size=80))
    rows = list(rows_of(model, open_loader(model, listing), spots(model, "conv5", "fc7")))
    assert [index for each in rows for index in each.indices] == list(range(6))
    conv5 = torch.cat([each.values["conv5"] for each in rows])
    fc7 = torch.cat([each.values["fc7"] for each in rows])
    shapes = shapes_of(model, spots(model, "conv5", "fc7"))
    assert shapes == {"conv5": (16, 3, 3), "fc7": (32,)}
    for row, path in enumerate(listing.paths):
        picture = fit_square(decode_file(listing.root / path, at_least=72), 72)
        x = list(windows(model, picture))[2]
        y = x
        for name in ("conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"):
            y = model.net.get_submodule(name)(y)
        for name in ("conv3", "conv4", "conv5"):
            y = model.net.get_submodule(name)(y).clamp_min(0)
        for place in ((0, 0, 0), (1, 0, 2), (15, 2, 1)):
            found = conv5[row, place[0] * 9 + place[1] * 3 + place[2]]
            torch.testing.assert_close(found, y[0][place], rtol=1e-4, atol=1e-5)
        y = model.net.get_submodule("pool5")(y).flatten(1)
        y = model.net.get_submodule("fc6")(y).clamp_min(0) / 2  # dropout at test
        y = model.net.get_submodule("fc7")(y).clamp_min(0)
        torch.testing.assert_close(fc7[row], y[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_ten_views_are_the_mean_of_ten_windows() -> None:
    model = model_of()
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (72, 72, 3), dtype=np.uint8)
    found = features_of(model, torch.from_numpy(picture)[None], spots(model, "fc7"), views=10)
    each = [model.net(x, upto="relu7")[0] for x in windows(model, picture)]
    torch.testing.assert_close(found["fc7"][0], torch.stack(each).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "classes", "size", "crop", "colours"),
    [("tiny", 2, 72, 67, "rgb"), ("tiny", 1000, 72, 67, "bgr"), ("lenet", 10, 32, 28, "grey")],
)
def test_the_logits_as_features_are_what_an_answer_is_made_of(
    net: str, classes: int, size: int, crop: int, colours: Colours
) -> None:
    model = model_of(net, classes=classes, size=size, crop=crop, colours=colours)
    random = np.random.default_rng(1)
    batch = torch.from_numpy(random.integers(0, 256, (3, size, size, 3), dtype=np.uint8))
    name = "ip2" if net == "lenet" else "fc8"
    logits = features_of(model, batch, spots(model, name))[name]
    wanted = probabilities(model.net, batch, model.preprocessing)
    torch.testing.assert_close(logits.softmax(1), wanted, rtol=1e-4, atol=1e-6)


def test_rows_on_disk_are_those_that_came_and_bad_pictures_are_left_out(
    pictures: MakePictures, tmp_path: Path
) -> None:
    model = model_of()
    root = pictures(per_class=14, size=72)
    (root / "disc" / "0003.jpg").write_bytes(b"no picture")
    listing = list_folder(root)
    loader = open_loader(model, listing)
    asked = spots(model, "fc7", "conv1:before")
    about = describe(asked, shapes_of(model, asked), origin={"net": "tiny"})
    table = collect(rows_of(model, loader, asked), listing, tmp_path, about=about)
    kept = [index for index, path in enumerate(listing.paths) if path != "disc/0003.jpg"]
    assert list(loader.bad) == ["disc/0003.jpg"]
    assert table.paths == tuple(listing.paths[index] for index in kept)
    assert table.labels == tuple(listing.labels[index] for index in kept)
    assert table.class_of(40) == "square"
    again = rows_of(model, open_loader(model, listing), asked)
    wanted = np.concatenate([rows.values["fc7"].numpy() for rows in again])
    np.testing.assert_array_equal(table.layers["fc7"], wanted)
    assert table.about == {
        "net": "tiny",
        "order": "C, H, W",
        "layers": {
            "fc7": {"layer": "relu7", "says": "after ReLU", "shape": (32,)},
            "conv1:before": {
                "layer": "conv1",
                "says": "before ReLU (relu1 follows)",
                "shape": (8, 15, 15),
            },
        },
    }


def test_pictures_without_classes_have_their_files_as_names(
    pictures: MakePictures, tmp_path: Path
) -> None:
    files = tuple(map(str, sorted((pictures(per_class=2) / "disc").iterdir())))
    loose = LoosePictures(files)
    model = model_of()
    rows = rows_of(model, open_loader(model, loose), spots(model, "fc7"))
    table = collect(rows, loose, tmp_path, about={})
    assert (table.paths, table.labels, table.class_of(1)) == (files, (-1, -1), "")


def test_no_picture_that_can_be_read_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"no picture")
    model = model_of()
    rows = rows_of(model, open_loader(model, LoosePictures((str(path),))), spots(model, "fc7"))
    with pytest.raises(DataError, match=r"bad\.jpg: this is no known picture .*; no picture is "):
        next(rows)


def test_numbers_beyond_float16_are_refused_and_not_made_infinite(tmp_path: Path) -> None:
    def collected(largest: float) -> np.ndarray:
        rows = Rows({"fc7": torch.tensor([[1.0, largest]])}, (0,))
        picture = LoosePictures(("a.jpg",))
        table = collect(iter([rows]), picture, tmp_path, kept=np.float16, about={})
        return np.array(table.layers["fc7"])

    np.testing.assert_array_equal(collected(65504.0), np.array([[1, 65504]], np.float16))
    with pytest.raises(ValueError, match="fc7 reaches 70000, more than float16 holds; leave out"):
        collected(70000.0)
    assert math.isinf(collected(math.inf)[0, 1])  # what the net itself made stays
