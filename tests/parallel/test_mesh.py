import os
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
import torch.distributed as dist

from alexnet.parallel import mesh as module
from alexnet.parallel.mesh import Mesh, World, join
from tests.parallel.ranks import on_ranks

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


def test_the_world_is_what_torchrun_says() -> None:
    assert World.of({}) == World(0, 1, 0, 1, 0)
    assert World.of(TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "2"}) == World(3, 4, 1, 2, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"RANK": "three"}, "RANK=three, WORLD_SIZE=4.*must be numbers"),
        ({"RANK": "4"}, "RANK is 4 and WORLD_SIZE 4; ranks count from 0"),
    ],
)
def test_a_wrong_environment_is_refused(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World.of(TORCHRUN | wrong)


def test_ranks_count_columns_first() -> None:
    places = [Mesh(World(rank, 6), columns=2) for rank in range(6)]
    assert [(each.group, each.column) for each in places] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
    ]
    assert [each.leads for each in places] == [True, *[False] * 5]
    assert {each.groups for each in places} == {3}


def test_a_process_alone_meets_nobody() -> None:
    with join(environment={}) as alone:
        assert alone == Mesh()
        assert alone.leads
        assert not dist.is_initialized()


@pytest.mark.parametrize("columns", [0, 3])
def test_columns_must_divide_the_processes(columns: int) -> None:
    with (
        pytest.raises(ValueError, match=f"columns is {columns}, which does not divide the 4"),
        join(columns, environment=TORCHRUN),
    ):
        pass


def test_each_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(ValueError, match=r"2 processes share 1 GPU\(s\)"),
        join(2, device=torch.device("cuda"), environment=TORCHRUN),
    ):
        pass


def members() -> tuple[int, int, list[int], list[int]]:
    with join(2) as mesh:
        assert mesh.data is not None
        assert mesh.model is not None
        data, model = (dist.get_process_group_ranks(g) for g in (mesh.data, mesh.model))
        return mesh.group, mesh.column, data, model


def test_four_ranks_in_two_columns_meet_as_the_cards_of_2012(pool: ProcessPoolExecutor) -> None:
    assert on_ranks(pool, 4, members) == [
        (0, 0, [0, 2], [0, 1]),
        (0, 1, [1, 3], [0, 1]),
        (1, 0, [0, 2], [2, 3]),
        (1, 1, [1, 3], [2, 3]),
    ]


def of_version(versions: list[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "__version__", versions[World.of(os.environ).rank])
        try:
            with join():
                return "met"
        except ValueError as error:
            return str(error)


def test_different_versions_do_not_meet(pool: ProcessPoolExecutor) -> None:
    for answer in on_ranks(pool, 2, of_version, ["1.0", "2.0"]):
        assert "rank 1 runs alexnet 2.0" in answer
        assert "rank 0 runs alexnet 1.0" in answer
    assert on_ranks(pool, 2, of_version, ["1.0", "1.0"]) == ["met", "met"]
