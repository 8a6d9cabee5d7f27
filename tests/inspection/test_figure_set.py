"""Every figure on nets of all families, gray and colour, of few classes and of many."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet.data.augment import Colours, Preprocessing
from alexnet.data.folder import list_folder
from alexnet.data.statistics import Statistics
from alexnet.inspection import answers_drawn, insides
from alexnet.inspection.exciting import Climb, maximise
from alexnet.inspection.figure_set import FIGURES, choose_figures
from alexnet.inspection.kernels import first_kernels, specialisation
from alexnet.inspection.subject import Subject
from alexnet.model import create
from tests.conftest import MakePictures, make_pictures
from tests.text.small_nets import conv, inner, layer

pytestmark = pytest.mark.usefixtures("tiny_net", "brief")

LONG = ", a breed of the kind that only the most extraordinary books of dogs describe in full"
TWO = ("disc", "square")
OF_CLASSES = ("answers", "neighbours", "confusion", "occlusion", "grad-cam", "maximised")
OF_LAYERS = ("net", "kernels", "activations", "grad-cam", "deconvnet", "exciting")
JOURNAL: list[dict[str, Any]] = [
    {"kind": "train", "step": 5, "loss": 1.0, "lr": 0.1, "epoch": 0.5},
    {"kind": "validation", "step": 5, "loss": 0.9, "top1_error": 0.5, "top5_error": 0.0},
]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the figures' kind, and take less of everything."""
    assert maximise.__kwdefaults__ is not None
    monkeypatch.setitem(maximise.__kwdefaults__, "climb", Climb(steps=2))
    less = {"EXPLAINED": 2, "MOST_LAYERS": 2, "MADE": 4, "PLACES": 4}
    for name, value in less.items():
        monkeypatch.setattr(insides, name, value)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("photos"), classes=TWO, per_class=5)


def names_of(count: int) -> tuple[str, ...]:
    """Return class names of which two have pictures; others are long."""
    return (*TWO, *(f"class {n}{LONG}" for n in range(count - 2)))


def subject_of(net: str, size: int, classes: Sequence[str], folder: Path | None = None) -> Subject:
    side, mean = size + 3, torch.full((3,), 128.0)
    statistics = Statistics(torch.full((side, side, 3), 128.0), mean, torch.ones(3), torch.eye(3))
    colours: Colours = "grey" if net.startswith("lenet") else "rgb"
    preprocessing = Preprocessing(statistics, side, size, "mean-value", 64.0, colours)
    model = create(net, tuple(classes), preprocessing, seed=0)
    model.net.eval()
    tested = list_folder(folder, classes=tuple(classes)) if folder else None
    return Subject("a net", Path(), model, tested, most=9, journal=JOURNAL)


def drawn(subject: Subject, names: Sequence[str]) -> dict[str, str]:
    """Draw and lay out figures; return those that are not drawn, with the reason."""
    from tests.inspection.readable import unreadable

    left_out = {}
    for name in names:
        try:
            figure = FIGURES[name].draw(subject)
        except ValueError as error:
            left_out[name] = str(error)
            continue
        assert figure.get_suptitle().startswith("a net: "), name
        assert unreadable(figure) == [], name
    return left_out


@pytest.mark.parametrize("count", [2, 10, 1000])
@pytest.mark.parametrize("gray", [False, True], ids=["colour", "gray"])
def test_every_figure_is_drawn_and_can_be_read(photos: Path, gray: bool, count: int) -> None:
    pytest.importorskip("matplotlib")
    net, size = ("lenet", 28) if gray else ("tiny", 67)
    subject = subject_of(net, size, names_of(count), photos)
    assert drawn(subject, tuple(FIGURES) if count == 10 else OF_CLASSES) == {}
    window = subject.window(subject.shown(1).pictures[0])
    assert window.shape == (size, size, 3)
    assert gray == bool(np.array_equal(window[..., 0], window[..., 2]))


@pytest.mark.parametrize(
    ("net", "size", "why"),
    [
        ("lenet-5", 32, "squash1 is a ScaledTanh"),
        ("resnet18", 32, "conv2_1 is a Residual"),
        ("googlenet", 97, "inception_3a is a Inception"),
    ],
)
def test_what_has_no_meaning_for_a_family_is_left_out_with_the_reason(
    photos: Path, net: str, size: int, why: str
) -> None:
    pytest.importorskip("matplotlib")
    subject = replace(subject_of(net, size, names_of(10), photos), most=2)
    left_out = drawn(subject, OF_LAYERS)
    assert list(left_out) == ["deconvnet"]
    assert why in left_out["deconvnet"]


@pytest.mark.parametrize("branches", [False, True], ids=["chain", "branches"])
def test_a_net_from_a_text_has_its_figures(photos: Path, tmp_path: Path, branches: bool) -> None:
    pytest.importorskip("matplotlib")
    text = (
        'layer { name: "data" type: "Input" top: "data" '
        "input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }\n"
        + conv("conv1", "data")
        + layer("relu1", "ReLU", "conv1", "conv1")
        + conv("conv2", "conv1")
        + (conv("other2", "conv1") if branches else "")
        + (layer("join", "Eltwise", "conv2 other2") if branches else "")
        + inner("fc3", "join" if branches else "conv2", outputs=2)
    )
    file = tmp_path / "net.prototxt"
    file.write_text(text)
    subject = replace(subject_of(str(file), 20, TWO, photos), most=3)
    names = [name for name in FIGURES if name not in ("curves", "confusion")]
    left_out = drawn(subject, names)
    assert list(left_out) == ["deconvnet"] * branches
    assert all("the net branches; it is made for chains" in each for each in left_out.values())
    assert drawn(replace(subject, layer="conv1"), ["exciting", "grad-cam", "maximised"]) == {}
    title = FIGURES["net"].draw(subject).get_suptitle().replace("\n", " ")
    assert title.endswith("stand in the order of the text") == branches


def test_answers_show_as_many_classes_as_there_are(pictures: MakePictures) -> None:
    pytest.importorskip("matplotlib")
    folder = pictures(classes=TWO, per_class=2)
    for count in (2, 3, 1000):
        figure = FIGURES["answers"].draw(subject_of("tiny", 67, names_of(count), folder))
        assert len([text for axes in figure.axes for text in axes.texts]) == 4 * min(count, 5)


def test_neighbours_are_those_of_plain_distances_and_never_the_picture_itself(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_of("tiny", 67, TWO, photos)
    rows: list[Any] = []
    monkeypatch.setattr(answers_drawn, "draw_neighbours", lambda found, *_: rows.extend(found))
    FIGURES["neighbours"].draw(subject)
    sample = subject.looked_through

    def of(pictures: torch.Tensor) -> NDArray[np.float64]:
        x = subject.inputs(pictures)
        found = subject.model.net.activations(x, ["relu7"])["relu7"].detach().double().numpy()
        return np.asarray(found)

    f = of(sample.pictures)
    queries = subject.shown(5)
    assert len(rows) == 5
    asked = of(queries.pictures)
    for place, q, (_, near) in zip(queries.places, asked, rows, strict=True):
        away = np.sqrt(((f - q) ** 2).sum(1))
        others = np.sort(away[[place != each for each in sample.places]])[:6]
        np.testing.assert_allclose([each for _, each in near], others, rtol=1e-4, atol=1e-7)


def test_columns_of_an_untrained_net_have_not_specialised_and_it_is_said() -> None:
    subject = subject_of("alexnet", 67, TWO)
    _, kernels, columns = first_kernels(subject.model.net)
    found = specialisation(kernels, columns)
    assert found.difference < 0.05
    assert not found.specialised
    says = FIGURES["kernels"].says
    assert says is not None
    assert says(subject).startswith("the columns are not specialised in colour: a kernel of colu")
    kernels[:48] = kernels[:48].mean(1, keepdim=True)
    with torch.no_grad():
        subject.model.net.get_submodule("conv1").get_parameter("weight").copy_(kernels)
    assert says(subject).startswith("the columns are specialised in colour: a kernel of column 2")
    assert "in 100% of pairs" in says(subject)
    for net, size in (("lenet", 28), ("resnet18", 32)):  # gray, and of one column
        assert says(subject_of(net, size, TWO)) == ""


def test_a_model_that_is_no_runs_has_no_curves() -> None:
    with pytest.raises(ValueError, match=r"has no journal.jsonl, and so no curves; give"):
        FIGURES["curves"].draw(replace(subject_of("tiny", 67, ("a", "b")), journal=[]))


def test_figures_are_chosen_by_name_and_by_what_there_is() -> None:
    assert choose_figures(["net", "curves", "net"], have_pictures=False) == ["net", "curves"]
    assert choose_figures([], have_pictures=True) == list(FIGURES)
    assert choose_figures([], have_pictures=False) == ["net", "kernels", "curves", "maximised"]
    with pytest.raises(ValueError, match=r"no figure is called 'kernel' \(did you mean 'kernels'"):
        choose_figures(["kernel"], have_pictures=True)
    with pytest.raises(ValueError, match="the figure answers needs pictures; name them: figures"):
        choose_figures(["answers"], have_pictures=False)
