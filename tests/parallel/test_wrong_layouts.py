"""Layouts that do not fit: one message, by one process, and nothing left behind."""

from pathlib import Path

import pytest

from tests.conftest import MakePictures, tiny_recipe
from tests.parallel.doomed import launch

RESNET = ["--net", "resnet18", "--input-size", "65"]
LENET = ["--net", "lenet-5", "--input-size", "32"]


@pytest.mark.parametrize(
    ("words", "processes", "message"),
    [
        (["--columns", "3"], 2, "columns is 3, which does not divide the 2 process"),
        (["--batch", "7"], 2, "batch is 7, which does not divide into 2 equal parts"),
        (["--fc-batch", "4"], 2, "fc_batch is 4, and a batch varies in the rounds of one weird"),
        (["--hybrid", "a", "--fc-batch", "4"], 2, "scheme a of one weird trick has the whole"),
        (["--hybrid", "b", "--accumulate", "2"], 2, "accumulate is 2, but one weird trick"),
        (["--hybrid", "b", "--columns", "2"], 1, "hybrid is 'b' and columns 2; one weird"),
        (["--hybrid", "b", "--fc-batch", "4", "--clip-norm", "1"], 1, "there is no one gradient"),
        (["--columns", "2", *RESNET], 2, "bn1 cannot run in 2 columns: BatchNorm2d"),
        (["--columns", "2", *LENET], 2, "squash1 cannot run in 2 columns: ScaledTanh"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_a_layout_that_does_not_fit_is_refused_once(
    pictures: MakePictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: list[str],
    processes: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny_recipe(pictures(per_class=10)).to_toml())
    out = ["--recipe", str(recipe), "--out", "run", "--init", "source", *words]
    codes = launch(processes, ["train", "pictures", *out])
    assert codes[0] == 2
    assert all(code in (2, 4) for code in codes)  # 4: it ended for what rank 0 found
    said = "".join(path.read_text() for path in sorted(Path("said").iterdir()))
    assert said.count("alexnet: ") == 1, said
    assert message in said
    assert not list(Path().glob("run/*.toml"))


def test_machines_that_see_other_pictures_are_told(
    pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny_recipe(pictures(per_class=10)).to_toml())
    pictures("1/pictures", per_class=9)
    pictures("0/pictures", per_class=10)
    words = ["train", "RANK/pictures", "--recipe", str(recipe), "--out", "run"]
    codes = launch(2, words)
    assert codes[0] == 3
    said = "".join(path.read_text() for path in sorted(Path("said").iterdir()))
    assert "rank 1 finds other pictures in " in said
    assert "give each machine the same files" in said
