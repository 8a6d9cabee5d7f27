"""A run that is killed, however often and wherever, ends as if it had never been.

Processes are forked from one that has imported what they need, so that a kill takes about half a
second. After each kill a good checkpoint must be there, once there was one.
"""

import random
import time
from dataclasses import replace
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1, Signals
from typing import Any

import pytest
import torch
from torch import Tensor

from alexnet import store
from alexnet.training.checkpoint import newest_checkpoint, newest_good_checkpoint
from alexnet.training.journal import read_journal
from tests.conftest import make_pictures, tiny_recipe
from tests.forks import CONTEXT
from tests.training import killed
from tests.training.killed import Doom

LIMIT_SECONDS = 60
CLOCK = ("images_per_second", "wait_share")
EPOCHS, STEPS = 3, 9


class Workshop:
    """A folder with pictures and recipes, in which runs are killed and compared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data = make_pictures(folder / "pictures", per_class=10)
        for epochs in (EPOCHS, 8):
            recipe = replace(tiny_recipe(data), epochs=epochs, checkpoint_minutes=1e-9)
            (folder / f"{epochs}.toml").write_text(recipe.to_toml())
        self.seconds: dict[int, float] = {}

    def whole(self, epochs: int) -> Path:
        """Return the run that nobody disturbed; notes how long it took."""
        room = self.folder / f"whole-{epochs}"
        if not room.exists():
            began_at = time.monotonic()
            assert self.train(room, epochs) == 0, (room / killed.SAID).read_text()
            self.seconds[epochs] = time.monotonic() - began_at
        return room

    def train(
        self, room: Path, epochs: int, doom: Doom | None = None, *, after_seconds: float = 0.0
    ) -> int:
        """Train in a folder, or go on there; return the exit code.

        With `after_seconds` the process is killed so long after its training began.
        """
        room.mkdir(exist_ok=True)
        words = ["train", "--recipe", f"../{epochs}.toml", "--out", "run"]
        if (room / "run" / "recipe.toml").exists():
            words = ["train", "--resume", "run"]
        begins, says = CONTEXT.Pipe(duplex=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(room)
            process = CONTEXT.Process(target=killed.as_trainer, args=(words, doom, says))
            process.start()
        says.close()
        if after_seconds:
            assert begins.poll(LIMIT_SECONDS)
            process.join(after_seconds)
            process.kill()
        process.join(LIMIT_SECONDS)
        code = process.exitcode
        process.kill()
        process.join()
        begins.close()
        assert code is not None, "it hangs"
        return code


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


def check_alive(room: Path) -> None:
    """At least one checkpoint is whole, if any was ever written to its end."""
    folder = room / "run" / "checkpoints"
    if any(folder.glob("step-*/manifest.json")):
        newest_good_checkpoint(folder)


def journal(room: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key not in CLOCK}
        for line in read_journal(room / "run" / "journal.jsonl")
    ]


def state(room: Path, part: str) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    run = room / "run"
    path = newest_checkpoint(run / "checkpoints") if part == "checkpoint" else run / part
    content, groups = store.read(path)
    content.pop("digest")
    content.get("position", {}).pop("seconds", None)
    return content, groups


def same_outcome(found: Path, wanted: Path) -> None:
    """Compare all that two runs leave, bit for bit, but the clock."""
    for part in ("checkpoint", "model"):
        content, groups = state(found, part)
        wanted_content, wanted_groups = state(wanted, part)
        assert content == wanted_content
        assert groups.keys() == wanted_groups.keys()
        for group, tensors in wanted_groups.items():
            for name, tensor in tensors.items():
                assert torch.equal(groups[group][name], tensor), name
    assert journal(found) == journal(wanted)
    assert killed.order(found) == killed.order(wanted)
    names = [sorted(path.name for path in (room / "run").rglob("*.*")) for room in (found, wanted)]
    assert [n for n in names[0] if "safetensors" not in n] == [
        n for n in names[1] if "safetensors" not in n
    ]
    assert len(names[0]) == len(names[1])


def survive(workshop: Workshop, room: Path, dooms: list[Doom]) -> None:
    """Kill a run at each moment in turn, let it end, and compare it with one never killed."""
    for doom in dooms:
        assert workshop.train(room, EPOCHS, doom) == -doom.kind, (doom, said(room))
        check_alive(room)
    assert workshop.train(room, EPOCHS) == 0, said(room)
    same_outcome(room, workshop.whole(EPOCHS))


def said(room: Path) -> str:
    return (room / killed.SAID).read_text()


def calls(first: int, last: int, count: int) -> list[Doom]:
    """Return kills spread over the calls to the disk, every other one in the middle of a write."""
    numbers = [first + (last - first) * i // (count - 1) for i in range(count)]
    return [Doom("torn" if i % 2 else "call", number) for i, number in enumerate(numbers)]


START = 52  # calls of a start and of the first update's lines, up to the first checkpoint's end
SAVE = 62  # calls of going on, one update, its line and its checkpoint, the oldest one removed
MODEL = 100  # calls of going on, a validation's line, a model and a checkpoint

QUICK = {
    "the first ten calls": [Doom("call", n) for n in range(1, 11)],
    "a start and a first save": calls(11, START, 10),
    "a save": [Doom("update", 3), *calls(5, SAVE, 9)],
    "a validation, its model and its save": [Doom("validation", 1), *calls(5, MODEL, 9)],
}


@pytest.mark.parametrize("where", QUICK)
def test_killed_ten_times_at_calls_to_the_disk_it_ends_as_if_never_killed(
    workshop: Workshop, where: str
) -> None:
    survive(workshop, workshop.folder / where.replace(" ", "-"), QUICK[where])


ALL = [("update", 3, SAVE), ("validation", 1, MODEL)]


def dooms_of(moment: Any, count: int, *, last: int, tenth: int) -> list[Doom]:
    """Return a tenth of the calls up to `last`, after a kill at a moment before them."""
    numbers = range(1 + tenth, last, 10)
    kinds: list[Any] = ["call", "torn"]
    return [Doom(moment, count), *(Doom(kinds[n // 10 % 2], n) for n in numbers)]


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("case", ALL, ids=str)
def test_killed_at_every_call_to_the_disk_it_ends_as_if_never_killed(
    workshop: Workshop, case: tuple[Any, int, int], tenth: int
) -> None:
    moment, count, last = case
    dooms = dooms_of(moment, count, last=last, tenth=tenth)
    survive(workshop, workshop.folder / f"{moment}-{tenth}", dooms)


def steps_saved(room: Path) -> int:
    """Return the step of the newest checkpoint, 0 if there is none."""
    names = [folder.name for folder in (room / "run" / "checkpoints").glob("step-????????")]
    return max((int(name.removeprefix("step-")) for name in names), default=0)


def chain(workshop: Workshop, seed: int, *, kills: int = 20) -> None:
    """Kill one run at random moments, again and again.

    The nearer the end, the sooner: a machine that is four times as quick as when it made the whole
    run would not come to the end either.
    """
    room, draw = workshop.folder / f"chain-{seed}", random.Random(seed)
    whole, steps = workshop.whole(8), 24
    a_step = workshop.seconds[8] / steps
    for number in range(kills):
        left = steps - steps_saved(room)
        most = max(0.002, a_step * min(2, (left - 1) / 4))
        code = workshop.train(room, 8, after_seconds=draw.uniform(0.001, most))
        assert code == -9, (number, said(room))
        check_alive(room)
    assert workshop.train(room, 8) == 0, said(room)
    same_outcome(room, whole)


def test_killed_twenty_times_at_random_moments_it_ends_as_if_never_killed(
    workshop: Workshop,
) -> None:
    chain(workshop, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_every_chain_of_twenty_kills_ends_as_if_never_killed(workshop: Workshop, seed: int) -> None:
    chain(workshop, seed)


ASKED = [  # and after which update the run has stopped
    (Doom("update", 2, SIGTERM), 2),
    (Doom("validation", 1, SIGHUP), 4),
    (Doom("call", SAVE // 2, SIGUSR1), 6),
    (Doom("call", SAVE // 2, SIGINT), 7),  # in the save after a validation
]


def test_asked_to_stop_in_an_update_a_validation_or_a_save_it_loses_nothing(
    workshop: Workshop,
) -> None:
    room = workshop.folder / "asked"
    for doom, step in ASKED:
        assert workshop.train(room, EPOCHS, doom) == 75, (doom, said(room))
        check_alive(room)
        last = said(room).splitlines()[-1]
        assert f"{doom.kind.name}: saved at update {step} of {STEPS}; go on with" in last
        assert newest_checkpoint(room / "run" / "checkpoints").name == f"step-{step:08d}"
    assert workshop.train(room, EPOCHS) == 0, said(room)
    same_outcome(room, workshop.whole(EPOCHS))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SIGTERM, SIGINT, SIGHUP, SIGUSR1])
@pytest.mark.parametrize("moment", ["update", "validation", "call"])
def test_asked_to_stop_anywhere_it_loses_nothing(
    workshop: Workshop, kind: Signals, moment: Any
) -> None:
    room = workshop.folder / f"asked-{kind.name}-{moment}"
    for count in (1, 1, 2) if moment != "call" else (60, 30, 90):
        assert workshop.train(room, EPOCHS, Doom(moment, count, kind)) in (75, 0), said(room)
    if journal(room)[-1]["step"] < STEPS:
        workshop.train(room, EPOCHS)
    same_outcome(room, workshop.whole(EPOCHS))
