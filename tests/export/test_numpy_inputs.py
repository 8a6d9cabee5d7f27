"""Preprocessing by numpy beside the one that the net was trained with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alexnet.data.augment import Colours, Preprocessing, Subtract, cut, same_windows
from alexnet.data.folder import DataError
from alexnet.data.statistics import compute
from alexnet.export.numpy_inputs import inputs_of, packed_mean, probabilities_of
from alexnet.export.onnx_file import OnnxHead

SIDE, CROP = 12, 9


def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, SIDE, SIDE, 3), generator=generator).to(torch.uint8)


def head(given: Preprocessing) -> OnnxHead:
    mean = [float(each) for each in given.statistics.mean_value]
    return OnnxHead(
        net="",
        classes=(),
        preprocessing={**given.constants(), "mean_value": mean},
        inside=False,
        weights="same",
        version="",
        model="",
        mean_image=packed_mean(given.statistics.mean_image.numpy()),
    )


@pytest.mark.parametrize("subtract", ["mean-image", "mean-value", "none"])
@pytest.mark.parametrize("colours", ["rgb", "bgr", "grey"])
def test_inputs_are_those_of_training(subtract: Subtract, colours: Colours) -> None:
    batch = pictures()
    given = Preprocessing(compute([batch]), SIDE, CROP, subtract, 57.3, colours)
    wanted = cut(batch, same_windows(3, 1, 1), given).numpy()
    found = inputs_of(batch.numpy(), head(given))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert found.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("mean", ["", "!!", packed_mean(np.zeros((2, 2, 3), np.float32))])
def test_a_mean_picture_that_is_not_there_is_said(mean: str) -> None:
    given = Preprocessing(compute([pictures()]), SIDE, CROP)
    with pytest.raises(DataError, match=r"mean picture has .* numbers instead of 12 x 12 x 3"):
        inputs_of(pictures().numpy(), replace(head(given), mean_image=mean))


def test_probabilities_add_up_to_one_also_for_large_logits() -> None:
    logits = np.array([[1000.0, 1001.0], [-3.0, 2.0]], np.float32)
    wanted = [[1 / (1 + np.e), np.e / (1 + np.e)], [1 / (1 + np.e**5), 1 / (1 + np.e**-5)]]
    np.testing.assert_allclose(probabilities_of(logits), wanted, rtol=1e-6)
