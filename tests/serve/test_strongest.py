"""The strongest pictures of units beside those of a search over all at once."""

from pathlib import Path

import pytest
import torch

from alexnet.inspection.exciting import strongest
from alexnet.inspection.subject import Subject
from alexnet.nets import NETS
from alexnet.serve.models import Shelf
from alexnet.serve.strongest import (
    Peaks,
    Strongest,
    peaks_of,
    ranked_layers,
    reach_of,
    seen_window,
)


def test_pictures_that_go_by_are_ranked_as_all_at_once() -> None:
    net = NETS["lenet"].build(classes=2, input_size=20)
    net.init_weights(torch.Generator().manual_seed(0))
    x = torch.randn(12, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    kept = Strongest()
    for first in range(0, 12, 5):
        some = x[first : first + 5]
        outputs = net.eval().activations(some, ["conv1"])
        peaks = {name: peaks_of(y.detach()) for name, y in outputs.items()}
        kept.add(peaks, list(range(100 + first, 100 + first + len(some))))
    values, order = strongest(net, [x], layer="conv1", count=9)
    maps = net.activations(x, ["conv1"])["conv1"].detach()
    for unit in range(len(values)):
        found = kept.of("conv1", unit)
        assert [each["picture"] - 100 for each in found] == order[unit].tolist()
        assert [each["value"] for each in found] == pytest.approx(values[unit].tolist())
        for each in found:
            row, column = each["place"]
            at = float(maps[each["picture"] - 100, unit, row, column])
            assert at == pytest.approx(each["value"])


def test_units_without_maps_have_no_place() -> None:
    kept = Strongest()
    kept.add({"fc": peaks_of(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))}, [4, 7])
    assert kept.of("fc", 0) == [
        {"picture": 7, "value": 3.0, "place": (0, 0)},
        {"picture": 4, "value": 1.0, "place": (0, 0)},
    ]


def test_what_is_not_ranked_is_refused() -> None:
    kept = Strongest()
    with pytest.raises(ValueError, match="not ranked by layer 'a'; they are by none yet"):
        kept.of("a", 0)
    kept.add({"conv1": Peaks(torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.int64), 3)}, [0])
    with pytest.raises(ValueError, match=r"not ranked by layer 'cnov1'.*; they are by conv1"):
        kept.of("cnov1", 0)
    with pytest.raises(ValueError, match="unit 2 is not in conv1, whose units are 0 to 1"):
        kept.of("conv1", 2)


def test_layers_of_figure_2_are_ranked() -> None:
    found = ranked_layers(NETS["lenet"].build(classes=2, input_size=20))
    assert "flatten" not in found
    assert "conv1" in found


def test_windows_are_shares_of_the_centre_square(runs_folder: Path) -> None:
    shelf = Shelf(runs_folder, device=torch.device("cpu"))
    opened = shelf.open(shelf.find_model(""))
    subject = Subject("", Path(), opened.model)  # crops of 67 from pictures of 72: a border of 2
    reach = reach_of(subject, "relu1")
    found = seen_window(subject, reach, (1, 3))
    assert found == pytest.approx([each / 72 for each in (2 + 4, 2 + 12, 2 + 15, 2 + 23)])
    whole = seen_window(subject, reach_of(subject, "fc8"), (0, 0))
    assert whole == pytest.approx([2 / 72, 2 / 72, 69 / 72, 69 / 72])
    with pytest.raises(ValueError, match="no layer is called 'cnov1'"):
        reach_of(subject, "cnov1")
