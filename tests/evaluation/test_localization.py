"""Boxes from pictures to windows and back, and a localizer whose answers are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.data.augment import Preprocessing
from alexnet.data.boxed import Boxed
from alexnet.data.folder import list_folder
from alexnet.data.image import fit_square
from alexnet.data.statistics import Statistics
from alexnet.evaluation.localization import (
    BoxHead,
    Localizer,
    from_window,
    guesses_of,
    locate,
    seen_share,
    to_window,
)
from alexnet.evaluation.localization_rule import Guess
from tests.conftest import MakePictures


def preprocessing(size: int = 32, crop: int = 24) -> Preprocessing:
    zeros = torch.zeros(size, size, 3)
    return Preprocessing(Statistics(zeros, zeros[0, 0], torch.ones(3), torch.eye(3)), size, crop)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 64), (64, 128)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_box_lies_in_the_window_where_its_pixels_do(
    width: int, height: int, mirrored: bool
) -> None:
    box = np.array([26, 22, 44, 46])  # white on black, inside the central square
    if height > width:
        box += [0, 32, 0, 32]
    if width > height:
        box += [16, 0, 16, 0]
    picture = np.zeros((height, width, 3), np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = 255
    seen = fit_square(picture, 32)[3:27, 5:29, 0]
    seen = seen[:, ::-1] if mirrored else seen
    rows, columns = (np.where((seen > 127).any(axis))[0] for axis in (1, 0))
    expected = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 24
    shares = torch.tensor(box / np.array([width, height] * 2), dtype=torch.float32)[None]
    windows = torch.tensor([3]), torch.tensor([5]), torch.tensor([mirrored])
    sides = torch.tensor([[width, height]], dtype=torch.float32)
    found = to_window(shares, sides, windows, preprocessing())
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    back = from_window(found[:, None], sides, (3, 5, mirrored), preprocessing())
    np.testing.assert_allclose(back[0, 0], box, atol=1e-4)


def test_the_share_of_a_box_in_its_window() -> None:
    boxes = torch.tensor([[0.2, 0.2, 0.4, 0.9], [-0.5, 0, 0.5, 1], [1.5, 0, 2, 1], [-1, -1, 1, 1]])
    torch.testing.assert_close(seen_share(boxes), torch.tensor([1, 0.5, 0, 0.25]))


def test_a_head_gives_each_class_its_own_box_from_scaled_features() -> None:
    head = BoxHead(8, 3, (5,))
    head.init_weights(torch.Generator().manual_seed(0))
    head.mean_box.copy_(torch.tensor([0.1, 0.2, 0.8, 0.9]))
    head.feature_scale.fill_(0.5)
    x = torch.randn(2, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    w = {name: p.detach().numpy() for name, p in head.named_parameters()}
    hidden = np.maximum(x.numpy().reshape(2, 8) * 0.5 @ w["layers.0.weight"].T, 0)
    expected = (hidden @ w["layers.2.weight"].T).reshape(2, 3, 4) + head.mean_box.numpy()
    np.testing.assert_allclose(head(x).detach(), expected, rtol=1e-5)


def test_guesses_are_the_five_likeliest_classes_with_their_boxes() -> None:
    p = torch.tensor([[0.1, 0.3, 0.05, 0.3, 0.15, 0.1]])
    boxes = torch.arange(24.0).view(1, 6, 4)
    wanted = [(1, (4, 5, 6, 7)), (3, (12, 13, 14, 15)), (4, (16, 17, 18, 19))]
    wanted += [(0, (0, 1, 2, 3)), (5, (20, 21, 22, 23))]
    assert guesses_of(p, boxes) == [[Guess(*each) for each in wanted]]


class Always(nn.Module):
    """Answers the same logits for every picture."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([[0.0, 3.0, 1.0]]).expand(len(x), -1)


@pytest.mark.parametrize("views", [1, 10])
def test_pictures_are_answered_in_their_own_pixels_and_counted(
    pictures: MakePictures, views: int, tmp_path: Path
) -> None:
    listing = list_folder(pictures(per_class=2))
    sides = [listing.pixels(i, at_least=1).shape[1::-1] for i in range(6)]
    boxes = (((0.3, 0.3, 0.7, 0.7),),) * 5 + (((0.0, 0.0, 0.1, 0.1),),)
    boxed = Boxed(listing, boxes, tuple((w, h) for w, h in sides))
    head = BoxHead(3 * 24 * 24, 3, ())
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    # the middle of every window: with one view of a square picture pixels 12 to 20 of its 32
    head.mean_box.copy_(torch.tensor([1 / 3, 1 / 3, 2 / 3, 2 / 3]))
    localizer = Localizer([("", nn.Identity())], [("", Always())], head, preprocessing())
    found = locate(localizer, boxed, views=views)
    assert found.paths == listing.paths
    for (width, height), guesses in zip(sides, found.guesses, strict=True):
        assert [guess.label for guess in guesses] == [1, 2, 0]
        half = min(width, height) / 8  # a third of 24 of 32 pixels, half of it
        box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
        assert guesses[0].box == pytest.approx(box, rel=1e-5)
    counts = found.counts
    assert (counts.pictures, counts.class_errors, counts.top1_class_errors) == (6, 0, 4)
    overlaps = [(min(s) / 4) ** 2 / (s[0] * s[1] * 0.16) for s in sides[:5]]
    expected = sum(o < 0.5 for o in overlaps) + 1
    assert (counts.box_errors, counts.localization_errors) == (expected, expected)
    assert counts.overlap_sum == pytest.approx(sum(overlaps), rel=1e-4)
