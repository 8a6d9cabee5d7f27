"""Starting and resuming a run: what is written, and what is refused before hours are spent."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet import store
from alexnet.data.folder import DataError
from alexnet.data.image import decode_file, fit_square
from alexnet.store import StoreError
from alexnet.training import loop, setup
from alexnet.training.guards import RoomError
from alexnet.training.journal import read_journal
from alexnet.training.recipe import load
from tests.conftest import MakePictures, tiny_recipe

pytestmark = pytest.mark.usefixtures("tiny_net")


def test_a_new_run_holds_its_recipe_with_the_whole_path_of_the_data(
    pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pictures()
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(Path(data.name))
    run = setup.start(recipe, Path("run"))
    assert load(tmp_path / "run" / "recipe.toml") == replace(recipe, data=str(data))
    assert run.recipe.data == str(data)


def test_the_mean_image_is_that_of_the_training_pictures(
    pictures: MakePictures, tmp_path: Path
) -> None:
    data = pictures()
    run = setup.start(tiny_recipe(data), tmp_path / "run")
    paths = run.split.train.paths
    stored = [fit_square(decode_file(data / path, at_least=72), 72) for path in paths]
    mean = np.mean(np.stack(stored).astype(np.float64), axis=0)
    kept = store.read(tmp_path / "run" / "data")[1]["statistics"]["mean_image"]
    np.testing.assert_allclose(kept.numpy(), mean, rtol=1e-6)  # float32
    assert torch.equal(run.model.preprocessing.statistics.mean_image, kept)


def test_updates_are_counted_by_epochs_or_steps_whichever_ends_first(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe(pictures(per_class=10)), epochs=3)  # 24 to train on
    counts = []
    for number, steps in enumerate((0, 5, 100)):
        run = setup.start(replace(recipe, batch=10, steps=steps), tmp_path / f"run{number}")
        counts.append((run.steps_per_epoch, run.total_steps))
    assert counts == [(3, 9), (3, 5), (3, 9)]


def test_progress_is_the_share_of_updates_or_of_minutes_if_that_is_more(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe(pictures(per_class=10)), steps=4)
    run = setup.start(replace(recipe, minutes=2.0), tmp_path / "run")
    run.position.step = 1
    assert run.progress == 0.25
    run.position.seconds = 60.0
    assert run.progress == 0.5
    run.position.seconds = 240.0
    assert run.progress == 1.0


def test_the_same_seed_draws_the_same_weights_and_another_seed_others(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = tiny_recipe(pictures())
    nets = [
        setup.start(replace(recipe, seed=seed), tmp_path / str(n)).model.net
        for n, seed in enumerate((7, 7, 8))
    ]
    weights = [net.get_parameter("conv3.weight") for net in nets]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_data_of_one_class_are_refused(pictures: MakePictures, tmp_path: Path) -> None:
    data = pictures(classes=["cat"])
    with pytest.raises(DataError, match="has one class only, 'cat': there is nothing to tell"):
        setup.start(tiny_recipe(data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_without_a_picture_for_validation_are_refused(
    pictures: MakePictures, tmp_path: Path
) -> None:
    data = pictures(per_class=1)
    with pytest.raises(DataError, match="leaves no picture for validation; add pictures"):
        setup.start(tiny_recipe(data), tmp_path / "run")


def test_a_disk_without_room_for_two_checkpoints_is_refused(
    pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(RoomError, match="has 0 MB free; two checkpoints need 0 MB; free some"):
        setup.start(tiny_recipe(pictures()), tmp_path / "run")


def test_after_a_refusal_the_same_folder_serves_again(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = tiny_recipe(pictures())
    with pytest.raises(ValueError, match="layer_lr names 'conv9'"):
        setup.start(replace(recipe, layer_lr={"conv9": 1.0}), tmp_path / "run")
    setup.start(recipe, tmp_path / "run")
    with pytest.raises(ValueError, match=r"is not empty; go on with --resume .*run, or choose"):
        setup.start(recipe, tmp_path / "run")


def test_an_input_too_small_for_the_net_is_refused(pictures: MakePictures, tmp_path: Path) -> None:
    recipe = replace(tiny_recipe(pictures()), input_size=66)
    with pytest.raises(ValueError, match="input size 66 leaves no pixel at pool5; the smallest"):
        setup.start(recipe, tmp_path / "run")


def stopped_run(data: Path, folder: Path) -> Path:
    """Leave a run after one update."""
    run = setup.start(tiny_recipe(data), folder)
    batch = next(run.train.epoch(0, seed=0))
    loop.update(run, batch, 0.01)
    run.position.step, run.position.index = 1, batch.end
    loop.save(run)
    return folder


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a run: it has no recipe\.toml; give the folder"):
        setup.resume(tmp_path)


def test_a_run_without_a_checkpoint_begins_anew(pictures: MakePictures, tmp_path: Path) -> None:
    data = pictures()
    first = setup.start(tiny_recipe(data), tmp_path / "run")
    loop.update(first, next(first.train.epoch(0, seed=0)), 0.01)
    first.journal.write("train", 1, loss=1.0)
    run = setup.resume(tmp_path / "run")
    assert run.notes == ["the run has no checkpoint yet; it begins anew"]
    assert run.position.step == 0
    assert "train" not in (tmp_path / "run" / "journal.jsonl").read_text()
    weights = setup.start(tiny_recipe(data), tmp_path / "other").model.net.state_dict()
    for name, tensor in run.model.net.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_a_start_that_was_cut_off_is_in_nobodys_way(pictures: MakePictures, tmp_path: Path) -> None:
    recipe = tiny_recipe(pictures())
    setup.start(recipe, tmp_path / "run")
    (tmp_path / "run" / "recipe.toml").rename(tmp_path / "run" / "recipe.toml.tmp")
    (tmp_path / "run" / "journal.jsonl").unlink()
    setup.start(recipe, tmp_path / "run")
    (tmp_path / "run" / "recipe.toml").unlink()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is not empty"):
        setup.start(recipe, tmp_path / "run")


def rename(data: Path) -> None:
    (data / "disc" / "0003.jpg").rename(data / "disc" / "other.jpg")


def remove(data: Path) -> None:
    (data / "disc" / "0003.jpg").unlink()


def move(data: Path) -> None:
    (data / "disc" / "0003.jpg").rename(data / "ring.jpg")
    (data / "ring.jpg").rename(data / "square" / "0103.jpg")


@pytest.mark.parametrize("change", [rename, remove, move])
def test_changed_data_are_refused_on_resume(
    pictures: MakePictures, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    data = pictures(classes=("disc", "square"))
    folder = stopped_run(data, tmp_path / "run")
    change(data)
    with pytest.raises(StoreError, match="are not those that the run began with"):
        setup.resume(folder)


def test_other_classes_are_named_on_resume(pictures: MakePictures, tmp_path: Path) -> None:
    data = pictures(classes=("disc", "square", "cross"))
    folder = stopped_run(data, tmp_path / "run")
    shutil.rmtree(data / "square")
    message = r"was trained on 3 classes and the data have 2: missing \['square'\], new \[\]; give"
    with pytest.raises(StoreError, match=message):
        setup.resume(folder)


def test_a_resumed_optimizer_moves_the_resumed_net(pictures: MakePictures, tmp_path: Path) -> None:
    run = setup.resume(stopped_run(pictures(), tmp_path / "run"))
    before = {name: p.detach().clone() for name, p in run.model.net.named_parameters()}
    batch = next(run.train.epoch(0, seed=0, start=run.position.index))
    loop.update(run, batch, 0.01)
    still = [n for n, p in run.model.net.named_parameters() if torch.equal(p, before[n])]
    assert still == []


def test_a_net_that_cannot_be_normalised_is_refused_before_anything_is_written(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe(pictures()), net="resnet18", input_size=64)
    message = "conv1 of this net is one without a bias; use --init source"
    with pytest.raises(ValueError, match=message):
        setup.start(recipe, tmp_path / "run")
    setup.start(replace(recipe, init="source"), tmp_path / "run")


def test_a_net_of_one_channel_sees_grey_and_others_three_colours(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe(pictures()), init="source", picture_size=32, input_size=32)
    run = setup.start(replace(recipe, net="lenet"), tmp_path / "grey")
    assert run.model.preprocessing.colours == "grey"
    assert setup.resume(stopped_run_of(run)).model.preprocessing.colours == "grey"
    other = setup.start(replace(recipe, net="resnet18"), tmp_path / "rgb")
    assert other.model.preprocessing.colours == "rgb"


def stopped_run_of(run: setup.Run) -> Path:
    """Save a run as it stands and return its folder."""
    loop.save(run)
    return run.folder


def test_a_recipe_that_does_not_fit_its_pictures_leaves_no_folder(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe(pictures(per_class=10)), init="source")  # 24 to train on
    recipe = replace(recipe, net="resnet18", input_size=32, batch=23)
    with pytest.raises(ValueError, match="a batch of 1 in 1 parts ends in one picture, of which"):
        setup.start(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_changed_data_are_named_and_gone_on_with_when_that_is_accepted(
    pictures: MakePictures, tmp_path: Path
) -> None:
    data = pictures(classes=("disc", "square"))
    folder = stopped_run(data, tmp_path / "run")
    moved = sorted(data.glob("disc/*"))[3]
    moved.rename(data / "disc" / "other.jpg")
    (data / "square" / "0002.jpg").write_bytes((data / "square" / "0003.jpg").read_bytes())
    message = (
        rf"began with: 1 missing \(disc/{moved.name}\), 1 altered \(square/0002.jpg\), 1 new "
        r"\(disc/other.jpg\); put them back, start a new run, or go on with what is there with "
        "--accept-changed-data"
    )
    with pytest.raises(StoreError, match=message):
        setup.resume(folder)
    run = setup.resume(folder, accept_changed_data=True)
    (line,) = [each for each in read_journal(folder / "journal.jsonl") if each["kind"] == "data"]
    assert line["changes"].startswith("1 missing (disc/0003.jpg), 1 altered (square/0002.jpg)")
    assert run.notes == [f"the pictures are not those that the run began with: {line['changes']}"]
    assert (run.position.step, run.position.index) == (1, 0)  # the epoch begins anew
    loop.train(run)
    written = store.read(folder / "data")[0]["accepted"]
    assert written == [{"step": 1, "changes": line["changes"]}]
    epochs = [each for each in read_journal(folder / "journal.jsonl") if each["kind"] == "epoch"]
    assert [each["used"] + each["not_reached"] for each in epochs] == [len(run.split.train)] * 2
    assert setup.resume(folder).notes == []  # it is the run's own set now


def test_pictures_of_a_run_before_they_were_written_down_must_be_accepted(
    pictures: MakePictures, tmp_path: Path
) -> None:
    folder = stopped_run(pictures(), tmp_path / "run")
    record, groups = store.read(folder / "data")
    store.write(folder / "data", record, {"statistics": groups["statistics"]})
    with pytest.raises(StoreError, match="nothing was written down of them by the version that"):
        setup.resume(folder)
    setup.resume(folder, accept_changed_data=True)
    assert setup.resume(folder).notes == []
