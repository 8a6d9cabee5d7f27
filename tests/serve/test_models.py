"""What is served: found below a folder, opened once, replaced when it is written anew."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.image import decode, fit_square
from alexnet.evaluation.evaluate import probabilities
from alexnet.model import open_model
from alexnet.serve.answers import Refused
from alexnet.serve.models import Place, Shelf
from alexnet.store import StoreError
from tests.serve.live import jpeg, write_run

pytestmark = pytest.mark.usefixtures("tiny_net")
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of runs: one with a model, two that has none yet, and what is no run."""
    write_run(tmp_path)
    runs = tmp_path / "runs"
    (runs / "two").mkdir()
    (runs / "two" / "recipe.toml").write_text("")
    (runs / "notes").mkdir()
    (runs / ".hidden").mkdir()
    (runs / ".hidden" / "recipe.toml").write_text("")
    (runs / "link").symlink_to(runs / "one")
    (runs / "file").write_text("")
    return runs


def test_runs_and_models_are_found_by_name(folder: Path) -> None:
    shelf = Shelf(folder, device=CPU)
    found = shelf.places()
    assert set(found) == {"one", "two"}
    assert [found["one"].is_run, found["two"].is_run] == [True, True]
    assert found["one"].manifest == folder / "one" / "model" / "manifest.json"
    assert found["two"].manifest is None
    assert shelf.find("two") == found["two"]
    assert shelf.find_model("").name == shelf.find_model("one").name == "one"


@pytest.mark.parametrize("inside", ["one", "one/model"])
def test_a_single_run_or_model_is_found_too(folder: Path, inside: str) -> None:
    shelf = Shelf(folder / inside, device=CPU)
    assert shelf.is_single
    assert list(shelf.places()) == [Path(inside).name]
    assert shelf.find_model("").manifest is not None


def test_what_is_not_there_is_refused_with_the_nearest(folder: Path) -> None:
    shelf = Shelf(folder, device=CPU)
    with pytest.raises(Refused, match=r"no run or model called 'on' \(did you mean 'one'\?\)"):
        shelf.find("on")
    with pytest.raises(Refused, match="the run 'two' has no model yet"):
        shelf.find_model("two")
    for name in ("..", ".", "one/model", ".hidden", "link", "notes", "file", ""):
        with pytest.raises(Refused) as refused:
            shelf.find(name)
        assert refused.value.status == 404
    shutil.rmtree(folder / "one")
    with pytest.raises(Refused, match="there is no model yet"):
        shelf.find_model("")


def test_a_path_that_holds_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"runz does not exist \(did you mean 'runs'\?\)"):
        Shelf(tmp_path / "runz", device=CPU)
    with pytest.raises(StoreError, match="file is a file; give the folder of a run, a model, or"):
        Shelf(folder / "file", device=CPU)
    with pytest.raises(StoreError, match="notes holds no run and no model, nor do the folders in"):
        Shelf(folder / "notes", device=CPU)


def test_a_model_is_opened_once_and_answers_as_the_net_does(folder: Path) -> None:
    shelf = Shelf(folder, device=CPU)
    place = shelf.find_model("one")
    assert shelf.opened(place) is None
    opened = shelf.open(place)
    assert shelf.open(place) is shelf.opened(place) is opened
    pictures = [fit_square(decode(jpeg(seed)), 72) for seed in range(3)]
    model = open_model(place.folder)
    expected = probabilities(model.net, torch.from_numpy(np.stack(pictures)), model.preprocessing)
    found = torch.stack(opened.answer(pictures))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_model_that_is_written_anew_is_opened_anew(folder: Path, tmp_path: Path) -> None:
    shelf = Shelf(folder, device=CPU)
    place = shelf.find_model("one")
    first = shelf.open(place)
    write_run(tmp_path)
    assert shelf.opened(place) is None
    assert shelf.open(place) is not first


def test_two_models_at_most_are_kept(folder: Path) -> None:
    for name in ("b", "c"):
        shutil.copytree(folder / "one", folder / name)
    shelf = Shelf(folder, device=CPU)
    for name in ("one", "b", "c"):
        shelf.open(shelf.find_model(name))
    kept = [name for name in ("one", "b", "c") if shelf.opened(shelf.find(name))]
    assert kept == ["b", "c"]


def test_an_empty_folder_called_runs_will_do(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert Shelf(tmp_path / "runs", device=CPU).places() == {}
    assert not Place("x", tmp_path).is_run
