"""Damaged bytes in what a run has written: found, named, and gone round."""

import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alexnet import store
from alexnet.cli import run as command
from alexnet.model import open_model
from alexnet.nets import NETS
from alexnet.store import StoreError
from alexnet.training import loop, setup
from alexnet.training.checkpoint import Position, newest_good_checkpoint, save_checkpoint
from alexnet.training.recipe import load
from tests.conftest import TINY, make_pictures, tiny_recipe

pytestmark = pytest.mark.usefixtures("tiny_net")
Capture = pytest.CaptureFixture[str]
NEWEST, OLDER = "step-00000006", "step-00000005"
BLOCK = 4096
FILES = {
    "a checkpoint's manifest": f"checkpoints/{NEWEST}/manifest.json",
    "a checkpoint's weights": f"checkpoints/{NEWEST}/weights-*.safetensors",
    "a checkpoint's velocities": f"checkpoints/{NEWEST}/velocities-*.safetensors",
    "a model's manifest": "model/manifest.json",
    "a model's weights": "model/weights-*.safetensors",
    "a model's statistics": "model/statistics-*.safetensors",
    "the data's manifest": "data/manifest.json",
    "the data's statistics": "data/statistics-*.safetensors",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for six updates with a checkpoint after each; the newest two stay."""
    room = tmp_path_factory.mktemp("damage")
    recipe = tiny_recipe(make_pictures(room / "pictures", per_class=10))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETS, "tiny", TINY)
        often = replace(recipe, checkpoint_minutes=1e-9)
        loop.train(setup.start(often, room / "run"))
    return room / "run"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "run")


def reads_as_good(run: Path, name: str) -> bool:
    """Whether what uses a file takes it; if not, the file is named."""
    reason = ""
    try:
        if name.startswith("a checkpoint"):
            found, reasons = newest_good_checkpoint(run / "checkpoints")
            reason = reasons[0] if found.name == OLDER else ""
        elif name.startswith("a model"):
            open_model(run)
        else:
            store.read(run / "data")
    except StoreError as error:
        reason = str(error)
    assert not reason or str(file_of(run, name)) in reason
    return not reason


def file_of(run: Path, name: str) -> Path:
    return next(run.glob(FILES[name]))


def count_missed(run: Path, name: str, flips: int) -> int:
    """Flip bits at random places, one after another, and count those that nobody finds."""
    path, draw = file_of(run, name), random.Random(name)
    size, missed = path.stat().st_size, 0
    for _ in range(flips):
        with path.open("r+b") as file:
            place = draw.randrange(size)
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 1 << draw.randrange(8)]))
            file.flush()
            missed += reads_as_good(run, name)
            file.seek(place)
            file.write(byte)
    assert reads_as_good(run, name)
    return missed


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_are_found_and_the_file_named(run: Path, name: str) -> None:
    assert count_missed(run, name, 25) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_flipped_bits_are_found(run: Path, name: str) -> None:
    assert count_missed(run, name, 1000) == 0


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_each_sixty_fourth_is_found(run: Path, name: str) -> None:
    path = file_of(run, name)
    data = path.read_bytes()
    for part in range(64):
        path.write_bytes(data[: len(data) * part // 64])
        assert not reads_as_good(run, name), part
    path.write_bytes(data)
    assert reads_as_good(run, name)


def blocks(data: bytes) -> list[bytes]:
    return [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)]


@pytest.mark.parametrize("name", [name for name in FILES if "manifest" not in name])
def test_a_block_of_zeros_and_two_blocks_in_each_others_place_are_found(
    run: Path, name: str
) -> None:
    path = file_of(run, name)
    data = path.read_bytes()
    first, second = 0, len(blocks(data)) - 2
    for block in range(len(blocks(data))):
        zeroed = blocks(data)
        if zeroed[block].strip(b"\0"):
            zeroed[block] = bytes(len(zeroed[block]))
            path.write_bytes(b"".join(zeroed))
            assert not reads_as_good(run, name), block
    swapped = blocks(data)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    path.write_bytes(b"".join(swapped))
    assert not reads_as_good(run, name)


def overwrite_last_byte(folder: Path, group: str = "weights") -> None:
    path = next(folder.glob(f"{group}-*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x10
    path.write_bytes(data)


def mix_tensors(run: Path) -> None:
    """Put the older checkpoint's weights in the place of the newest's."""
    target, source = (next((run / "checkpoints" / n).glob("weights-*")) for n in (NEWEST, OLDER))
    shutil.copy(source, target)


def mix_manifests(run: Path) -> None:
    shutil.copy(run / "checkpoints" / OLDER / "manifest.json", run / "checkpoints" / NEWEST)


def put_the_older_in_its_place(run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / NEWEST)
    shutil.copytree(run / "checkpoints" / OLDER, run / "checkpoints" / NEWEST)


def put_a_model_in_its_place(run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / NEWEST)
    shutil.copytree(run / "model", run / "checkpoints" / NEWEST)


def lose_a_file(run: Path) -> None:
    next((run / "checkpoints" / NEWEST).glob("velocities-*")).unlink()


def leave_it_half_written(run: Path) -> None:
    (run / "checkpoints" / NEWEST / "manifest.json").unlink()


MIXED: list[tuple[Callable[[Path], None], str]] = [
    (mix_tensors, r"digest of tensor '[a-z0-9.]+' does not match; use another copy"),
    (mix_manifests, r"weights-[0-9a-f]+.safetensors is missing, though the manifest names it"),
    (put_the_older_in_its_place, "step-00000006 is of update 5, not of the one in its name"),
    (put_a_model_in_its_place, "step-00000006 is damaged: it holds a model, not a checkpoint"),
    (lose_a_file, r"velocities-[0-9a-f]+.safetensors is missing, though the manifest names it"),
    (leave_it_half_written, "step-00000006 was not written to its end"),
]


@pytest.mark.parametrize(("damage", "message"), MIXED, ids=lambda x: getattr(x, "__name__", ""))
def test_a_mixture_is_passed_over_with_its_reason_and_the_run_ends_the_same(
    run: Path, whole: Path, capsys: Capture, damage: Callable[[Path], None], message: str
) -> None:
    damage(run)
    assert command(["train", "--resume", str(run)]) == 0
    said = capsys.readouterr().err
    assert "note: passed over: " in said
    assert re.search(message, said)
    assert f"going on with {run} at update 5 of 6" in said
    found = store.read(newest_good_checkpoint(run / "checkpoints")[0])[1]
    wanted = store.read(whole / "checkpoints" / NEWEST)[1]
    for group, tensors in wanted.items():
        for name, tensor in tensors.items():
            assert torch.equal(found[group][name], tensor), name


def test_when_no_checkpoint_is_good_the_run_is_refused_with_all_reasons(
    run: Path, capsys: Capture
) -> None:
    for name in (NEWEST, OLDER):
        overwrite_last_byte(run / "checkpoints" / name)
    before = sorted(run.rglob("*"))
    assert command(["train", "--resume", str(run)]) == 3
    said = capsys.readouterr().err
    assert f"{run}/checkpoints holds no checkpoint that is whole: " in said
    assert said.count("does not match; use another copy") == 2
    assert "put back a copy of one, or start the run again without --resume" in said
    assert sorted(run.rglob("*")) == before


def test_damaged_statistics_are_refused_with_the_tensor_named(run: Path, capsys: Capture) -> None:
    overwrite_last_byte(run / "data", "statistics")
    assert command(["train", "--resume", str(run)]) == 3
    assert "is damaged: the digest of tensor '" in capsys.readouterr().err


def test_a_checkpoint_of_another_run_is_passed_over(run: Path, capsys: Capture) -> None:
    recipe = load(run / "recipe.toml")
    other = setup.start(replace(recipe, seed=1), run.parent / "other")
    other.position.step = 6
    loop.save(other)
    shutil.rmtree(run / "checkpoints" / NEWEST)
    shutil.copytree(run.parent / "other" / "checkpoints" / NEWEST, run / "checkpoints" / NEWEST)
    assert command(["train", "--resume", str(run)]) == 0
    said = capsys.readouterr().err
    assert f"passed over: {run}/checkpoints/{NEWEST} belongs to another run" in said


def test_a_recipe_that_was_edited_is_noted(run: Path) -> None:
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("momentum = 0.9", "momentum = 0.8"))
    assert setup.resume(run).notes == [f"{recipe} is not what it was when the run began"]


def steps_left(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in folder.iterdir())


def save(folder: Path, step: int) -> None:
    position = Position(step=step)
    save_checkpoint(folder, position, {"w": torch.full((9,), step)}, {"w": torch.ones(9)}, ("a",))


def test_a_damaged_checkpoint_does_not_count_among_the_two_that_stay(tmp_path: Path) -> None:
    for step in (5, 6):
        save(tmp_path, step)
    overwrite_last_byte(tmp_path / NEWEST)
    save(tmp_path, 7)
    assert steps_left(tmp_path) == [5, 7]


def test_a_damaged_newer_checkpoint_gives_way_to_the_one_that_replaces_it(tmp_path: Path) -> None:
    for step in (5, 9):
        save(tmp_path, step)
    overwrite_last_byte(tmp_path / "step-00000009")
    save(tmp_path, 7)
    assert steps_left(tmp_path) == [5, 7]
    assert newest_good_checkpoint(tmp_path)[0].name == "step-00000007"


def test_what_others_put_beside_the_checkpoints_stays(tmp_path: Path) -> None:
    (tmp_path / "step-by-step").mkdir()
    for step in (1, 2, 3):
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-00000002",
        "step-00000003",
        "step-by-step",
    ]
