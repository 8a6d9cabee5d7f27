"""Maps beside their pictures, on the scale that they are given."""

import numpy as np
import pytest
import torch

from alexnet.inspection.explained import Explained, draw_explained


def test_a_map_is_shown_beside_its_picture_and_over_it() -> None:
    pytest.importorskip("matplotlib")
    image, map_ = np.full((3, 3, 3), 51, dtype=np.uint8), torch.arange(9.0).view(3, 3)
    item = Explained(image, map_, "a cat", "least 3 %", (0.0, 8.0))
    axes = draw_explained([item], "a net", legend="probability").axes
    pictures = [each.images for each in axes[:3]]
    assert np.array_equal(np.asarray(pictures[0][0].get_array()), image)
    for shown in (pictures[1][0], pictures[2][1]):
        assert np.array_equal(np.asarray(shown.get_array()), map_.numpy())
        assert shown.get_clim() == (0.0, 8.0)
    assert axes[1].get_xlabel() == "least 3 %"
