"""Kill runs, damage what they wrote, break the disk and cut the power, and count what is lost.

    python -m benchmarks.faults

It prints a table of Markdown. The moments and the comparisons are those of the tests, which
`make test-all` runs too; here each kind of fault is counted. Takes some ten minutes.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from alexnet.nets import NETS
from alexnet.training import loop, setup
from tests.conftest import TINY, make_pictures, tiny_recipe
from tests.training import test_damage, test_kills, test_power_cut

FLIPS, CUTS, OUTCOMES, CHAINS = 1000, 64, 220, 5
Row = tuple[str, int, int]


def main() -> None:
    """Print how often each fault was made, and how often all was as it must be."""
    print("| fault | made | survived or found |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        for fault, made, good in chain(power_cuts(room), damage(room), kills(room)):
            print(f"| {fault} | {made:,} | {good:,} |", flush=True)


def kills(folder: Path) -> Iterator[Row]:
    """Kill runs at each call to the disk, and at random moments."""
    workshop = test_kills.Workshop(folder)
    made = survived = 0
    for moment, count, last in test_kills.ALL:
        for tenth in range(10):
            dooms = test_kills.dooms_of(moment, count, last=last, tenth=tenth)
            made += len(dooms)
            with counting() as good:
                test_kills.survive(workshop, folder / f"{moment}-{tenth}", dooms)
            survived += len(dooms) * len(good)
    yield "SIGKILL at every call of a save, and of a validation's", made, survived
    made = survived = 0
    for seed in range(CHAINS):
        made += 20
        with counting() as good:
            test_kills.chain(workshop, seed)
        survived += 20 * len(good)
    yield "SIGKILL at random moments, 20 in one run", made, survived


@contextmanager
def counting() -> Iterator[list[bool]]:
    """Give a list that holds one value if nothing inside has failed, and name what has."""
    good = [True]
    try:
        yield good
    except AssertionError as error:
        print(f"failed: {error}")
        good.clear()


def damage(folder: Path) -> Iterator[Row]:
    """Flip bits in each file that a run leaves, and cut it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETS, "tiny", TINY)
        data = make_pictures(folder / "damaged", per_class=10)
        loop.train(setup.start(replace(tiny_recipe(data), checkpoint_minutes=1e-9), folder / "run"))
        for name in test_damage.FILES:
            run = shutil.copytree(folder / "run", folder / "copy")
            missed = test_damage.count_missed(run, name, FLIPS)
            yield f"a bit flipped in {name}", FLIPS, FLIPS - missed
            path = test_damage.file_of(run, name)
            whole, found = path.read_bytes(), 0
            for part in range(CUTS):
                path.write_bytes(whole[: len(whole) * part // CUTS])
                found += not test_damage.reads_as_good(run, name)
            yield f"{name} cut short", CUTS, found
            shutil.rmtree(run)


def power_cuts(folder: Path) -> Iterator[Row]:
    """Cut the power after each call of five saves, in a model of the disk."""
    made = test_power_cut.check(folder / "power", OUTCOMES)
    yield "power cut after each call of a save (modelled)", made, made


if __name__ == "__main__":
    main()
