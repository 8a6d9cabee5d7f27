"""What is gathered of a run is what it did, and what it lacks is said."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.data.folder import DataError
from alexnet.inspection.account import Account
from alexnet.inspection.report import Wanted, gather
from alexnet.nets import NETS
from alexnet.nets.lenet import LENET
from alexnet.store import StoreError
from alexnet.training import setup
from alexnet.training.journal import read_journal
from alexnet.training.loop import train
from tests.conftest import TINY, make_pictures, tiny_recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Train the tiny net for two epochs; beside run/ lie its photos/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETS, "tiny", TINY)
        root = tmp_path_factory.mktemp("trained")
        data = make_pictures(root / "photos", per_class=12)
        (data / "disc" / "0003.jpg").write_bytes(b"\xff\xd8 torn")
        train(setup.start(tiny_recipe(data), root / "run"))
        yield root


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Copy the run, whose pictures stay where they are."""
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def facts(account: Account) -> dict[str, str]:
    return dict(account.facts) | dict(account.ledger.facts)


def test_everything_of_a_finished_run_is_found(run: Path, trained: Path) -> None:
    account = gather(run, environment=(("machine", "an abacus"),))
    journal = read_journal(run / "journal.jsonl")
    last = [line for line in journal if line["kind"] == "validation"][-1]
    kept = min(
        (line for line in journal if line["kind"] == "validation"),
        key=lambda line: line["top1_errors"],
    )
    assert account.name == "run"
    assert account.state.startswith(f"The run has finished: {last['step']} updates, 2 of at most 2")
    assert account.classes == ("cross", "disc", "square")
    counts = account.measured[0].counts
    assert (counts.seen, counts.top1_errors) == (kept["pictures"], kept["top1_errors"])
    assert counts.loss == pytest.approx(kept["loss"])
    assert len(account.measured) == 1  # answered again they are the same
    assert len(account.wrong) == counts.top1_errors
    assert {each.mistake.truth for each in account.wrong} <= set(account.classes)
    assert account.ledger.bad == {"disc/0003.jpg": last_reason(journal)}
    assert [line["kind"] for line in account.ledger.lines] == ["statistics", "epoch", "epoch"]
    found = facts(account)
    assert found["the names there now"] == "the same"
    assert found["to train on"].startswith("30 pictures, 10 of each class")
    assert found["input"] == "67 x 67 pixels, colour, of 72 x 72"
    assert account.kernels is not None
    assert account.kernels.kernels.shape == (8, 3, 11, 11)
    assert account.environment == (("machine", "an abacus"),)
    assert account.left_out == ()
    assert "--net tiny" in account.commands[0][1]


def last_reason(journal: list[dict[str, dict[str, str]]]) -> str:
    return next(line["files"]["disc/0003.jpg"] for line in journal if line.get("files"))


def test_fewer_pictures_are_measured_beside_those_of_the_run(run: Path) -> None:
    account = gather(run, Wanted(pictures=3, mistakes=1))
    assert [each.counts.seen for each in account.measured] == [6, 3]
    assert "3 spread evenly over them, answered for this report" in account.measured[1].where
    assert len(account.wrong) <= 1


def test_other_pictures_are_the_result_where_they_are_given(run: Path, tmp_path: Path) -> None:
    other = make_pictures(tmp_path / "other", classes=("disc", "square"), per_class=5, seed=4)
    account = gather(run, Wanted(data=other))
    assert account.measured[0].where == f"all pictures of {other}, answered for this report"
    assert [each.counts.seen for each in account.measured] == [10, 6]
    assert facts(account)["the names there now"] == "not looked at: other pictures were given"


def test_pictures_that_changed_are_noticed(run: Path, tmp_path: Path, trained: Path) -> None:
    data = Path(shutil.copytree(trained / "photos", tmp_path / "photos"))
    (data / "disc" / "0001.jpg").rename(data / "disc" / "new.jpg")
    recipe = (run / "recipe.toml").read_text().replace(str(trained / "photos"), str(data))
    (run / "recipe.toml").write_text(recipe)
    found = facts(gather(run))
    assert found["the names there now"] == "others than when the run began"
    assert found["recipe.toml, SHA-256"].endswith(", changed since the run began")


def test_without_pictures_the_record_speaks(run: Path, trained: Path, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    recipe = (run / "recipe.toml").read_text().replace(str(trained / "photos"), gone)
    (run / "recipe.toml").write_text(recipe)
    account = gather(run)
    assert account.measured[0].counts.seen == 6
    assert account.wrong == ()
    assert account.left_out == (
        f"mistakes: the pictures, {gone}, are not there; give them: alexnet report RUN DATA",
    )
    (tmp_path / "gone").mkdir()
    assert "mistakes: " in gather(run).left_out[0]
    with pytest.raises(DataError, match="has no class folders"):
        gather(run, Wanted(data=tmp_path / "gone"))


def test_pictures_of_other_classes_are_refused(run: Path, tmp_path: Path) -> None:
    other = make_pictures(tmp_path / "other", classes=("cat", "dog"), per_class=3)
    with pytest.raises(DataError, match="class 'cat' is not among"):
        gather(run, Wanted(data=other))


def test_a_run_that_was_cut_off_says_how_far_it_is(run: Path) -> None:
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints")
    journal = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text("".join(journal[:3]))
    account = gather(run)
    assert account.state == (
        "So far the journal tells of 2 updates, 0.5 of at most 2 epochs. There is no checkpoint "
        "that says more."
    )
    assert account.measured == ()
    assert account.kernels is None
    assert account.left_out[0].startswith("errors, confusion, mistakes and kernels: the run has no")
    assert account.commands[2][1] == f"alexnet train --resume {run}"
    (run / "journal.jsonl").unlink()
    shutil.rmtree(run / "data")
    account = gather(run)
    assert account.state == "The run has begun; no update is written down yet."
    assert account.left_out[1:] == (
        "split and statistics of the data: the run has no data/ yet",
        "learning curves: the journal tells of no update yet",
    )


def test_an_unfinished_run_names_its_checkpoint(trained: Path, tmp_path: Path) -> None:
    recipe = replace(tiny_recipe(trained / "photos"), epochs=3, steps=9)
    run = setup.start(recipe, tmp_path / "half")
    train(run)
    run.position.finished, run.position.step = False, 5
    from alexnet.training.loop import save

    shutil.rmtree(tmp_path / "half" / "checkpoints")
    save(run)
    state = gather(tmp_path / "half").state
    assert state.startswith("The run is unfinished: 9 updates")
    assert state.endswith("The newest checkpoint is of update 5.")
    newest = next((tmp_path / "half" / "checkpoints").iterdir())
    (newest / "manifest.json").write_text("{")
    account = gather(tmp_path / "half")
    assert account.state.startswith("So far the journal tells of 9 updates")
    assert any(text.startswith("how far the run is: ") for text in account.left_out)


def test_a_gray_net_has_a_report(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETS, "gray", LENET)
    recipe = replace(
        tiny_recipe(trained / "photos"),
        net="gray",
        picture_size=28,
        subtract="mean-value",
        epochs=1,
    )
    train(setup.start(recipe, tmp_path / "gray"))
    account = gather(tmp_path / "gray", Wanted(pictures=0))
    assert facts(account)["input"] == "28 x 28 pixels, gray, of 28 x 28"
    assert account.kernels is not None
    assert account.kernels.kernels.shape[1] == 1
    assert all(each.image.shape == (28, 28, 3) for each in account.wrong)


def test_what_is_no_run_or_damaged_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"runn does not exist \(did you mean 'run'\?\)"):
        gather(tmp_path / "runn")
    with pytest.raises(StoreError, match=r"is not a run: it has no recipe.toml; give the folder"):
        gather(tmp_path)
    with pytest.raises(StoreError, match=rf"model is not a run: .*; give {run}$"):
        gather(run / "model")
    journal = run / "journal.jsonl"
    journal.write_text("no line\n" + journal.read_text())
    with pytest.raises(StoreError, match=r"journal.jsonl:1 is damaged"):
        gather(run)
