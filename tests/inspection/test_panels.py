"""What figures share: tiles, colours, and files that are the same each time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import Statistics
from alexnet.inspection import panels

STATISTICS = Statistics(
    torch.zeros(4, 4, 3), torch.tensor([10.0, 20.0, 30.0]), torch.ones(3), torch.eye(3)
)


def test_tiles_stand_beside_and_below_each_other() -> None:
    images = [np.full((2, 2, 3), value, dtype=np.uint8) for value in (1, 2, 3)]
    sheet = panels.tile(images, 2, gap=1)
    wanted = [[1, 1, 255, 2, 2], [1, 1, 255, 2, 2], [255] * 5]
    wanted += [[3, 3, 255, 255, 255], [3, 3, 255, 255, 255]]
    assert sheet[..., 0].tolist() == wanted


def test_values_about_zero_are_gray_in_the_middle() -> None:
    shown = panels.signed(torch.tensor([[[-2.0, 0.0, 2.0]]]))
    assert shown[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]


def test_an_input_becomes_the_picture_that_it_was() -> None:
    x = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    rgb = Preprocessing(STATISTICS, 4, 4, subtract="mean-value", divide_by=10.0)
    assert panels.as_picture(x, rgb).tolist() == [[[20, 40, 60]]]
    bgr = Preprocessing(STATISTICS, 4, 4, divide_by=10.0, colours="bgr")
    assert panels.as_picture(x, bgr).tolist() == [[[40, 40, 40]]]
    grey = Preprocessing(STATISTICS, 4, 4, colours="grey", subtract="none")
    assert panels.as_picture(x[:1], grey).tolist() == [[[1, 1, 1]]]
    assert panels.in_rgb(x, bgr).flatten().tolist() == [3, 2, 1]


def test_long_and_odd_names_fit_their_place() -> None:
    assert panels.shorten("a$b\n" + "c" * 30, 9) == r"a\$b?cc.."


def test_figures_are_drawn_to_the_same_bytes_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = []
    for _ in range(2):
        figure = panels.new_figure(2, 2, "a title")
        panels.show(figure.subplots(), np.zeros((3, 3, 3), dtype=np.uint8), "above", below="below")
        files = panels.save_figure(figure, tmp_path, "square")
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]
    assert found[0][0].startswith(b"\x89PNG")
    assert b"<svg" in found[0][1]


def test_without_matplotlib_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "find_spec", lambda name: None)
    with pytest.raises(OSError, match=r"need matplotlib; .* pip install 'alexnet\[figures\]'"):
        panels.new_figure(1, 1)


def test_small_shares_have_a_digit_more() -> None:
    shares = (1, 0.976, 0.1, 0.0995, 0.0994, 0.0012, 0)
    found = [panels.percent(share) for share in shares]
    assert found == ["100%", "98%", "10%", "10%", "9.9%", "0.1%", "0.0%"]
