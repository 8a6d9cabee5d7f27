"""`alexnet eval` of several nets, in one process and in several: the same answers."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.cli.options import Machine
from alexnet.cli.tested import Extras, answer_all, make_passes
from alexnet.data.augment import Preprocessing
from alexnet.data.folder import list_folder
from alexnet.data.statistics import Statistics
from alexnet.model import create, open_model, save_model
from alexnet.nets import NETS
from alexnet.parallel.mesh import join
from alexnet.parallel.team import Team
from tests.conftest import TINY, MakePictures
from tests.parallel.ranks import on_ranks


def answers(runs: list[Path], data: Path) -> dict[str, Any]:
    """Return what a process of the command finds."""
    NETS["tiny"] = TINY
    machine, extras = Machine(device="cpu", precision="fp32"), Extras(calibration=True, mistakes=3)
    with join(device=torch.device("cpu")) as mesh:
        models = [open_model(each) for each in runs]
        passes = make_passes(models, 1, scales=(72, 80), machine=machine)
        pictures = list_folder(data)
        found, _ = answer_all(passes, pictures, team=Team(mesh), extras=extras, machine=machine)
        return found.to_json()


def test_several_processes_find_what_one_finds(
    pool: ProcessPoolExecutor, pictures: MakePictures, tmp_path: Path, tiny_net: str
) -> None:
    data = pictures(per_class=5)
    (data / "disc" / "0001.jpg").write_text("a letter")
    zeros = torch.zeros(72, 72, 3)
    statistics = Statistics(zeros, zeros[0, 0], torch.ones(3), torch.eye(3))
    preprocessing = Preprocessing(statistics, picture_size=72, crop_size=67)
    runs = [tmp_path / name for name in ("one", "two")]
    for seed, folder in enumerate(runs):
        model = create(
            tiny_net, tuple(sorted(p.name for p in data.iterdir())), preprocessing, seed=seed
        )
        with torch.no_grad():  # initial weights say nearly the same of all pictures
            for weights in model.net.parameters():
                weights.mul_(4)
        save_model(model, folder)
    (alone,) = on_ranks(pool, 1, answers, runs, data)
    first, second = on_ranks(pool, 2, answers, runs, data)
    assert first == second
    assert (first["pictures"], list(first["skipped"])) == (14, ["disc/0001.jpg"])
    assert first["confusion"] == alone["confusion"]
    for name in ("top1_errors", "top5_errors", "per_class", "weights", "skipped"):
        assert first[name] == alone[name]
    assert first["loss"] == pytest.approx(alone["loss"], rel=1e-5)  # batches of another size
    calibration = first["calibration"]["error"]
    assert calibration == pytest.approx(alone["calibration"]["error"], rel=1e-4)
    named = [[each["picture"] for each in found["mistakes"]] for found in (first, alone)]
    assert named[0] == named[1]
