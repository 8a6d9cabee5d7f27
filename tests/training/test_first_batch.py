"""The first batch that is shown is the first batch that a run trains on."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from alexnet.data.folder import DataError
from alexnet.data.statistics import Statistics
from alexnet.training import setup
from alexnet.training.first_batch import first_batch, input_size
from alexnet.training.look import look
from tests.conftest import MakePictures, tiny_recipe

STATISTICS = Statistics(torch.zeros(32, 32, 3), torch.zeros(3), torch.ones(3), torch.eye(3))


@pytest.mark.parametrize("crop", ["random", "random-resized"])
def test_it_is_what_a_run_trains_on_first(
    pictures: MakePictures, tiny_net: str, tmp_path: Path, crop: Literal["random", "random-resized"]
) -> None:
    recipe = replace(tiny_recipe(pictures()), crop=crop, subtract="mean-value", seed=3)
    run = setup.start(recipe, tmp_path / "run")
    batch = next(run.train.epoch(0, seed=3))
    wanted = look(
        batch,
        run.model.preprocessing,
        recipe=run.recipe,
        step=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    shown = first_batch(recipe, run.model.preprocessing.statistics)
    assert torch.equal(shown.inputs, wanted)
    assert torch.equal(shown.batch.pictures, batch.pictures)
    assert torch.equal(shown.batch.labels, batch.labels)
    assert shown.preprocessing == run.model.preprocessing


def test_a_gray_net_sees_gray(pictures: MakePictures) -> None:
    recipe = replace(
        tiny_recipe(pictures()), net="lenet-5", picture_size=32, subtract="none", lighting=0.0
    )
    coloured = first_batch(replace(recipe, net="four-layer", input_size=32), STATISTICS)
    shown = first_batch(recipe, STATISTICS)
    red, green, blue = coloured.inputs.unbind(1)
    torch.testing.assert_close(shown.inputs[:, 0], 0.299 * red + 0.587 * green + 0.114 * blue)


def test_sizes_that_do_not_fit_are_refused(tiny_net: str) -> None:
    recipe = tiny_recipe(Path("nowhere"))
    assert input_size(recipe) == 67
    assert input_size(replace(recipe, input_size=71)) == 71
    message = "input_size 67 does not fit into pictures of 60 pixels; give --picture-size 67 or"
    with pytest.raises(ValueError, match=message):
        input_size(replace(recipe, picture_size=60))


def test_data_that_a_training_refuses_are_refused(pictures: MakePictures, tiny_net: str) -> None:
    with pytest.raises(DataError, match="has one class only, 'disc'"):
        first_batch(tiny_recipe(pictures(classes=("disc",))), STATISTICS)


def test_a_batch_of_bad_pictures_is_refused(tmp_path: Path, pictures: MakePictures) -> None:
    root = pictures("photos/val", classes=("cat", "dog"), per_class=1, size=72).parent
    pictures("photos/train", classes=("dog",), per_class=1, size=72)
    (root / "train/cat").mkdir()
    (root / "train/cat/1.jpg").write_bytes(b"\xff\xd8nothing")
    recipe = replace(tiny_recipe(root), net="lenet", batch=1)
    messages = set()
    for seed in range(8):  # one of the two orders begins with the bad one
        try:
            first_batch(replace(recipe, seed=seed), STATISTICS)
        except DataError as error:
            messages.add(str(error))
    (message,) = messages
    start = "no picture of the first batch can be read; the first is cat/1.jpg: the JPEG is damaged"
    assert message.startswith(start)
