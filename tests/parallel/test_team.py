"""What the processes of a run tell each other."""

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.data.folder import DataError, list_folder
from alexnet.data.loader import Batch, Loader, Share
from alexnet.evaluation.metrics import Counts
from alexnet.parallel.collectives import start_gather
from alexnet.parallel.layout import Layout
from alexnet.parallel.mesh import join
from alexnet.parallel.team import Team, Word
from tests.conftest import MakePictures
from tests.parallel.ranks import on_ranks


def batch_of(count: int) -> Batch:
    return Batch(torch.empty(count, 4, 4, 3), torch.arange(count), torch.arange(count), 9)


def test_a_process_alone_tells_nobody(tmp_path: Path) -> None:
    team, word = Team(), Word("", True, 3.0)
    assert (team.size, team.leads, team.share) == (1, True, Share(0, 1))
    assert team.agree(word) is word
    assert team.hear("a word") == ["a word"]
    assert team.total(torch.tensor(2.5)) == 2.5
    counts, x = Counts(("cat", "dog")), torch.ones(2)
    assert team.add_counts(counts) is counts
    assert team.add_up(x) is x
    assert team.crossing_error() == {}
    net = nn.Linear(2, 3)
    assert set(team.whole(net.state_dict())) == {"weight", "bias"}


def agreed(words: list[Word]) -> Word:
    with join() as mesh:
        return Team(mesh).agree(words[mesh.world.rank])


def test_all_decide_as_the_clock_of_the_first_and_the_stop_of_anyone(
    pool: ProcessPoolExecutor,
) -> None:
    words = [Word("", True, 7.5), Word("", False, 100.0), Word("SIGTERM", False, 1.0)]
    assert on_ranks(pool, 3, agreed, words) == [
        Word("rank 2 was asked to stop", True, 7.5),
        Word("rank 2 was asked to stop", True, 7.5),
        Word("SIGTERM", True, 7.5),
    ]
    quiet = [Word("", False, 1.0)] * 2
    assert on_ranks(pool, 2, agreed, quiet) == quiet


def heard(texts: list[str]) -> list[str]:
    with join() as mesh:
        return Team(mesh).hear(texts[mesh.world.rank])


def test_words_of_any_length_and_script_are_heard(pool: ProcessPoolExecutor) -> None:
    texts = ["", "caf\u00e9 \U0001f600", "x" * 3000]
    assert on_ranks(pool, 3, heard, texts) == [texts] * 3
    assert on_ranks(pool, 2, heard, ["", ""]) == [["", ""]] * 2


def placed(root: Path, counts: list[int]) -> tuple[int, int, list[int], int]:
    with join(2) as mesh:
        team = Team(mesh, Layout(columns=2))
        loader = Loader(list_folder(root), 8, 16, share=team.share)
        batch = team.place(batch_of(counts[mesh.group]), loader)
        assert team.rows.indices is not None
        return batch.first, batch.whole, team.rows.indices.tolist(), team.rows.whole


def test_processes_of_a_group_have_the_same_place_in_the_batch(
    pool: ProcessPoolExecutor, pictures: MakePictures
) -> None:
    root = pictures(per_class=2, size=16)
    first, second = (0, 5, [0, 1, 2], 5), (3, 5, [3, 4], 5)
    assert on_ranks(pool, 4, placed, root, [3, 2]) == [first, first, second, second]
    assert on_ranks(pool, 4, placed, root, [3, 0])[2:] == [(3, 3, [], 3)] * 2


def merged(root: Path, bad: list[list[str]]) -> list[str] | str:
    with join() as mesh:
        team = Team(mesh)
        loader = Loader(list_folder(root), 8, 16, share=team.share)
        batch = replace(
            batch_of(1), refused=dict.fromkeys(bad[mesh.world.rank], "cut off"), skipped=2
        )
        try:
            batch = team.place(batch, loader)
        except DataError as error:
            return str(error)
        assert batch.skipped == 4
        assert batch.refused == loader.bad
        return sorted(loader.bad)


def test_bad_pictures_of_one_are_known_to_all_and_counted_together(
    pool: ProcessPoolExecutor, pictures: MakePictures
) -> None:
    root = pictures(per_class=2, size=16)
    assert on_ranks(pool, 2, merged, root, [[], ["b.jpg"]]) == [["b.jpg"]] * 2
    for answer in on_ranks(pool, 2, merged, root, [["a.jpg"], ["b.jpg"]]):
        assert "2 of 6 pictures cannot be read, more than 1 %" in str(answer)


def counted(labels: Tensor, probabilities: Tensor) -> tuple[list[list[int]], int, int, float]:
    with join() as mesh:
        rows = torch.arange(len(labels)).tensor_split(mesh.groups)[mesh.group]
        counts = Counts(("a", "b", "c"))
        counts.add(probabilities[rows], labels[rows])
        counts = Team(mesh).add_counts(counts)
        return counts.confusion.tolist(), counts.top1_errors, counts.top5_errors, counts.loss_sum


@pytest.mark.parametrize("ranks", [2, 4])
def test_errors_counted_in_parts_add_up_exactly(pool: ProcessPoolExecutor, ranks: int) -> None:
    draws = np.random.default_rng(0)
    labels = torch.from_numpy(draws.integers(0, 3, 11))
    probabilities = torch.from_numpy(draws.dirichlet([1, 1, 1], 11)).float()
    probabilities[4] = torch.nan
    whole = Counts(("a", "b", "c"))
    whole.add(probabilities, labels)
    for confusion, top1, top5, loss in on_ranks(pool, ranks, counted, labels, probabilities):
        assert confusion == whole.confusion.tolist()
        assert (top1, top5) == (whole.top1_errors, whole.top5_errors)
        assert loss == pytest.approx(whole.loss_sum, rel=1e-12, nan_ok=True)


def summed(values: list[float]) -> float:
    with join() as mesh:
        return Team(mesh).total(values[mesh.world.rank])


def test_numbers_are_added_in_one_order_whatever_they_are(pool: ProcessPoolExecutor) -> None:
    values = [1e16, 1.0, -1e16, random.Random(0).random()]
    found = on_ranks(pool, 4, summed, values)
    assert found == [1.0 + values[3]] * 4


def errors_of(layout: Layout) -> dict[str, float]:
    with join(layout.columns) as mesh:
        team = Team(mesh, layout)
        generator = torch.Generator().manual_seed(mesh.world.rank)
        part = torch.randn(1000, generator=generator)
        start_gather(part, team.circle).wait()
        return team.crossing_error()


def test_what_rounded_messages_lose_is_said(pool: ProcessPoolExecutor) -> None:
    for found in on_ranks(pool, 2, errors_of, Layout(columns=2, crossing="bf16")):
        # half a unit of the eighth bit at most, a third of that on average
        assert 0.5e-3 < found["crossing_error"] < 3.9e-3
    assert on_ranks(pool, 2, errors_of, Layout(columns=2)) == [{}, {}]


@pytest.mark.parametrize(
    ("layout", "ranks", "said"),
    [
        (Layout(), 2, "2 processes: 2 copies of the net"),
        (Layout(columns=2), 2, "2 processes: 1 copy of the net, each in 2 columns"),
        (Layout(columns=2), 4, "4 processes: 2 copies of the net, each in 2 columns"),
        (
            Layout(hybrid="c"),
            2,
            "2 processes: one weird trick, scheme c, fully connected layers in 2 columns",
        ),
    ],
    ids=str,
)
def test_a_team_says_who_does_what(
    pool: ProcessPoolExecutor, layout: Layout, ranks: int, said: str
) -> None:
    assert on_ranks(pool, ranks, described, layout) == [said] * ranks


def described(layout: Layout) -> str:
    with join(layout.columns) as mesh:
        return Team(mesh, layout).describe()
