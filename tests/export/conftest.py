"""A small trained-looking model, saved, and a folder of labelled pictures."""

from pathlib import Path

import pytest
import torch

from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import compute
from alexnet.model import Model, create, open_model, save_model
from tests.conftest import SHAPES

CLASSES = SHAPES[:3]


def make_model(net: str, *, seed: int = 0) -> Model:
    """Return a model whose answers differ from picture to picture."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randint(0, 256, (4, 72, 72, 3), generator=generator).to(torch.uint8)
    made = create(net, tuple(sorted(CLASSES)), Preprocessing(compute([batch]), 72, 67), seed=seed)
    with torch.no_grad():
        for parameter in made.net.parameters():
            parameter.mul_(5)
    made.net.eval()
    return made


@pytest.fixture
def saved(tmp_path: Path, tiny_net: str) -> Path:
    """Save a model as a run has it."""
    save_model(make_model(tiny_net), tmp_path / "run" / "model")
    return tmp_path / "run"


@pytest.fixture
def model(saved: Path) -> Model:
    """Open it."""
    return open_model(saved)
