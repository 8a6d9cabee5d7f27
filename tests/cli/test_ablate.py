"""`alexnet ablate` and `alexnet figure1`: files, numbers, answers to odd input."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.cli import run
from alexnet.nets import ABLATED, NETS
from alexnet.training import series
from alexnet.training.interrupt import Interrupted
from alexnet.training.recipe import Recipe
from tests.cli.conftest import Capture, refused
from tests.conftest import TINY, MakePictures, tiny_recipe

pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def small_nets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, net in (("alexnet", TINY), *ABLATED.items()):
            patch.setitem(NETS, name, replace(net, kernels=(8, 16, 16, 16, 16), fc_units=32))
        yield


@pytest.fixture
def words(pictures: MakePictures, tmp_path: Path) -> list[str]:
    recipe = replace(tiny_recipe(tmp_path), net="alexnet", data="", epochs=1, input_size=67)
    (tmp_path / "tiny.toml").write_text(recipe.to_toml())
    data, out = pictures(per_class=6), tmp_path / "out"
    return ["ablate", str(data), "--recipe", str(tmp_path / "tiny.toml"), "--out", str(out)]


def test_a_table_and_a_figure_are_written(
    words: list[str], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run([*words, "--rows", "norm", "lighting", "--seeds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "3 pictures, 2 seeds; in % and percentage points" in printed
    table = json.loads((out / "table.json").read_text())
    assert [line["name"] for line in table["lines"]] == ["whole", "norm", "lighting"]
    assert "lr = 0.005" in table["recipe"]
    markdown = (out / "table.md").read_text().splitlines()
    assert markdown[0].startswith("| row | section | top-1 error |")
    assert markdown[3].startswith("| no response normalisation | 3.3 | ")
    assert markdown[3].endswith(" | +1.4 / +1.2 |")
    errors = [100 * sum(line["top1"]) / 2 for line in table["lines"]]
    for line, error in zip(markdown[2:5], errors, strict=True):
        assert line.split(" | ")[2] == f"{error:.1f}"
    assert {path.name for path in out.glob("differences.*")} == {
        "differences.png",
        "differences.svg",
    }


def test_one_seed_has_no_interval(words: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert run([*words, "--rows", "norm", "--seeds", "1", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["lines"][1]["top1_difference"][1] is None
    assert "+-" not in (tmp_path / "out" / "table.md").read_text()


def test_a_cut_off_ablation_says_how_to_go_on(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def cut_off(recipe: Recipe, folder: Path, say: object) -> series.Result:
        raise Interrupted("Ctrl-C: saved at update 3 of 9; go on with: alexnet train --resume x")

    monkeypatch.setattr("alexnet.training.ablations.complete", cut_off)
    message = r"Ctrl-C: saved at update 3 of 9; go on with the same command and --out .*out$"
    refused(run(words), capsys, expected=75, message=message)


def test_odd_input_is_answered(words: list[str], capsys: Capture) -> None:
    cases = [
        (["--rows", "norms"], r"no row is called 'norms' \(did you mean 'norm'\?\)"),
        (["--batch", "auto"], "batch is 'auto'; runs that are compared need one batch: give a n"),
        (["--net", "vgg11"], "net is 'vgg11', but it is alexnet that is taken apart"),
        (["--seeds", "0"], "seeds is 0; it must be at least 1"),
    ]
    for more, message in cases:
        refused(run([*words, *more]), capsys, expected=2, message=message)


def test_figure_1_is_written_with_its_sentence(
    pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    data, out = pictures(per_class=10, size=32), tmp_path / "out"
    words = ["figure1", str(data), "--epochs", "2", "--batch", "8"]
    words += ["--trial-epochs", "1", "--workers", "1", "--device", "cpu"]
    reached = ["--rates", "0.01", "--target-error", "0.99", "--out", str(out)]
    assert run([*words, *reached]) == 0
    printed = capsys.readouterr().out
    values = json.loads((out / "figure1.json").read_text())
    relu, tanh = values["relu"]["epochs"], values["tanh"]["epochs"]
    assert 0 < relu <= 1
    assert f"in {relu:.1f} epochs, tanh in {tanh:.1f}: {tanh / relu:.1f} times" in printed
    assert (out / "figure1.png").is_file()
    never = ["--rates", "1e-9", "--target-error", "0.05", "--out", str(tmp_path / "never")]
    assert run([*words, *never]) == 0
    assert "ReLU has not come to 5% training error" in capsys.readouterr().out


def test_a_race_that_tanh_does_not_finish_says_so() -> None:
    from alexnet.cli.ablate import _ratio
    from alexnet.training.race import Course

    courses = {
        "relu": Course("relu", 0.01, ((1.0, 0.5), (2.0, 0.2)), {}),
        "tanh": Course("tanh", 0.01, ((1.0, 0.5), (9.0, 0.3)), {}),
    }
    assert _ratio(courses, 0.25) == (
        "ReLU comes to 25% training error in 1.8 epochs; tanh is at 30.0% after 9, more than "
        "4.9 times as many"
    )
