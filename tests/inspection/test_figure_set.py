"""Every figure on nets of all families, gray and colour, of few classes and of many."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.augment import Colours, Preprocessing
from alexnet.data.folder import list_folder
from alexnet.data.statistics import Statistics
from alexnet.inspection.exciting import Climb, maximise
from alexnet.inspection.figure_set import FIGURES, Subject, choose_figures
from alexnet.model import Model
from alexnet.nets.chain import Architecture
from alexnet.nets.lenet import LENET
from tests.conftest import TINY, MakePictures


def subject_of(
    known: Architecture, size: int, classes: tuple[str, ...], folder: Path | None = None
) -> Subject:
    net = known.build(classes=len(classes), input_size=size)
    net.init_weights(torch.Generator().manual_seed(0))
    side = size + 3
    mean = torch.full((3,), 128.0)
    statistics = Statistics(torch.full((side, side, 3), 128.0), mean, torch.ones(3), torch.eye(3))
    colours: Colours = "rgb" if known.channels == 3 else "grey"
    preprocessing = Preprocessing(statistics, side, size, "mean-value", 64.0, colours)
    tested = list_folder(folder, classes=classes) if folder else None
    return Subject("a net", Path(), Model("tiny", net, classes, preprocessing), tested, most=9)


@pytest.fixture
def short_climbs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert maximise.__kwdefaults__ is not None
    monkeypatch.setitem(maximise.__kwdefaults__, "climb", Climb(steps=2))


@pytest.mark.parametrize("gray", [False, True])
def test_every_figure_is_drawn_in_gray_and_colour(
    pictures: MakePictures, gray: bool, short_climbs: None
) -> None:
    pytest.importorskip("matplotlib")
    folder = pictures(per_class=3)
    known, size = (LENET, 28) if gray else (TINY, 67)
    subject = subject_of(known, size, ("disc", "square", "cross"), folder)
    layer = "conv2" if gray else ""  # Caffe's LeNet has no activation there
    line = {"kind": "train", "step": 1, "loss": 1.0, "lr": 0.1}
    subject = replace(subject, layer=layer, journal=[line])
    for name, kind in FIGURES.items():
        figure = kind.draw(subject)
        assert figure.get_suptitle().startswith("a net: "), name
    window = subject.window(subject.shown(1)[0][0])
    assert window.shape == (size, size, 3)
    assert gray == bool(np.array_equal(window[..., 0], window[..., 2]))


@pytest.mark.parametrize("count", [2, 10, 1000])
def test_answers_and_confusion_are_drawn_for_any_number_of_classes(
    pictures: MakePictures, count: int
) -> None:
    pytest.importorskip("matplotlib")
    names = ("disc", "square", *(f"class {n}" for n in range(count - 2)))
    subject = subject_of(TINY, 67, names, pictures(classes=names[:2], per_class=2))
    figure = FIGURES["answers"].draw(subject)
    assert len([text for axes in figure.axes for text in axes.texts]) == 4 * min(count, 5)
    cells = FIGURES["confusion"].draw(subject).axes[0].images[0].get_array()
    assert cells is not None
    assert cells.shape == (count, count)


def test_a_model_that_is_no_runs_has_no_curves() -> None:
    with pytest.raises(ValueError, match=r"has no journal.jsonl, and so no curves; give"):
        FIGURES["curves"].draw(subject_of(TINY, 67, ("a", "b")))


def test_figures_are_chosen_by_name_and_by_what_there_is() -> None:
    assert choose_figures(["net", "curves", "net"], have_pictures=False) == ["net", "curves"]
    assert choose_figures([], have_pictures=True) == list(FIGURES)
    assert choose_figures([], have_pictures=False) == ["net", "kernels", "curves", "maximised"]
    with pytest.raises(ValueError, match=r"no figure is called 'kernel' \(did you mean 'kernels'"):
        choose_figures(["kernel"], have_pictures=True)
    with pytest.raises(ValueError, match="the figure answers needs pictures; name them: figures"):
        choose_figures(["answers"], have_pictures=False)
