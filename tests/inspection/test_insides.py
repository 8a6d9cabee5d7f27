"""Figures of a net's insides: which units they show, and at which layer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import Statistics
from alexnet.inspection import insides
from alexnet.inspection.exciting import Climb
from alexnet.inspection.subject import Subject
from alexnet.model import create

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Subject:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(insides, "CLIMB", Climb(steps=3, jitter=0))
    monkeypatch.setattr(insides, "MADE", 3)
    statistics = Statistics(torch.zeros(70, 70, 3), torch.zeros(3), torch.ones(3), torch.eye(3))
    preprocessing = Preprocessing(statistics, 70, 67)
    model = create("tiny", ("cat", "dog", "eel", "fox", "gnu"), preprocessing, seed=0)
    model.net.eval()
    return Subject("a net", Path(), model)


def titles(subject: Subject) -> list[str]:
    return [axes.get_title() for axes in insides.maximised(subject).axes]


def test_pictures_are_made_for_classes_spread_over_all(subject: Subject) -> None:
    assert [title.split("\n")[0] for title in titles(subject)] == ["cat", "eel", "gnu"]
    assert "3 of the 5 units of fc8" in insides.maximised(subject).get_suptitle()


def test_a_dead_unit_is_climbed_before_its_relu(subject: Subject) -> None:
    net = subject.model.net
    with torch.no_grad():
        net.get_submodule("conv3").get_parameter("weight").mul_(100)
        net.get_submodule("conv3").get_parameter("bias").fill_(-100)
    for name in ("conv3", "relu3", "conv3:before"):
        named = replace(subject, layer=name)
        assert "units of conv3 most" in insides.maximised(named).get_suptitle()
        for title in titles(named):
            start, end = title.split(": ")[1].split(" to ")
            assert float(start) < float(end) < 0, title


def test_scales_of_what_hardly_varies_are_a_tenth_of_its_middle_wide() -> None:
    assert insides._limits(0.2, 0.8) == pytest.approx((0.2, 0.8))
    assert insides._limits(0.001, 0.001) == pytest.approx((0.00095, 0.00105))
    low, high = insides._limits(0.0, 0.0)
    assert low < high
