"""Kernels, activations and exciting pictures as they are drawn."""

import numpy as np
import pytest
import torch

from alexnet.inspection.learned import Excited, draw_activations, draw_excited, draw_kernels


def test_columns_of_kernels_are_named_with_their_measure() -> None:
    pytest.importorskip("matplotlib")
    kernels = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    kernels[:4] = kernels[:4].mean(1, keepdim=True)
    axes = draw_kernels(kernels, columns=2, title="a net").axes
    assert axes[0].get_title() == "column 1 of 2: 4 kernels, 5 x 5, colourfulness 0.00"
    said = axes[2].get_title().replace("\n", " ")
    assert "specialised in colour: a kernel of column 2 is more colourful than one" in said
    assert "column 1 in 100% of pairs (50%: alike, up to 92%: chance" in said


def test_gray_kernels_have_no_colourfulness() -> None:
    pytest.importorskip("matplotlib")
    (axes,) = draw_kernels(torch.randn(6, 1, 5, 5), columns=1, title="a net").axes
    assert axes.get_title() == "6 kernels, 5 x 5"


def test_the_strongest_maps_come_first() -> None:
    pytest.importorskip("matplotlib")
    maps = torch.tensor([1.0, 3.0, 2.0])[:, None, None].expand(3, 2, 2)
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    axes = draw_activations(image, [("conv1", maps)], most=2, title="a net").axes
    assert [each.get_title() for each in axes[4:]] == ["1", "2"]


def test_maps_with_negative_values_have_two_colours_about_zero() -> None:
    pytest.importorskip("matplotlib")
    image, maps = np.zeros((4, 4, 3), dtype=np.uint8), torch.tensor([[[1.0]], [[-3.0]]])
    axes = draw_activations(image, [("tanh1", maps)], most=2, title="a net").axes
    assert [each.get_title() for each in axes[4:]] == ["1", "0"]
    shown = axes[4].images[0]
    assert shown.get_clim() == (-3, 3)
    assert shown.get_cmap().name == "PuOr"
    assert axes[1].texts[0].get_text().endswith("orange: below 0; purple: above")


def test_each_unit_has_its_pictures() -> None:
    pytest.importorskip("matplotlib")
    images = tuple(np.full((2, 2, 3), value, dtype=np.uint8) for value in (1, 2))
    axes = draw_excited([Excited("7: 3.5", images)], across=2, wide=2, title="a net").axes
    assert axes[0].get_title() == "7: 3.5"
    assert np.asarray(axes[0].images[0].get_array())[0, :, 0].tolist() == [1, 1, 255, 2, 2]
