"""Windows, mirror images and colour shifts, against numpy and against what they promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from alexnet.data.augment import (
    Colours,
    Preprocessing,
    Subtract,
    cut,
    in_colours,
    lighting,
    random_resized_cut,
    random_windows,
    same_windows,
)
from alexnet.data.statistics import Statistics, compute
from alexnet.native.stages import Windows

SIDE, CROP = 16, 11


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(count: int, seed: int = 0) -> Tensor:
    return torch.rand(5, count, generator=generator(seed))


def random_pictures(count: int, side: int = SIDE) -> Tensor:
    return torch.randint(0, 256, (count, side, side, 3), generator=generator(), dtype=torch.uint8)


def preprocessing(subtract: Subtract = "mean-image", divide_by: float = 1.0) -> Preprocessing:
    statistics = compute([random_pictures(9)])
    return Preprocessing(statistics, SIDE, CROP, subtract, divide_by)


# ---- Which window -------------------------------------------------------------------------------


def test_offsets_are_uniform_from_zero_to_the_border_on_both_axes() -> None:
    border, count = 29, 90_000
    windows = random_windows(count, border, generator())
    for offsets in (windows.top, windows.left):
        found = torch.bincount(offsets)
        assert len(found) == border + 1  # the border itself is drawn, and nothing past it
        # Five standard deviations of a count with a mean of 3,000.
        assert float((found - count / (border + 1)).abs().max()) < 5 * 3000**0.5


def test_offsets_on_the_two_axes_and_mirroring_are_independent() -> None:
    windows = random_windows(48_000, 3, generator())
    cells = (windows.top * 4 + windows.left) * 2 + windows.flip
    found = torch.bincount(cells, minlength=32)
    assert len(found) == 32
    assert float((found - 1500).abs().max()) < 5 * 1500**0.5  # five standard deviations


def test_one_picture_in_two_is_mirrored_or_none() -> None:
    flips = random_windows(40_000, 5, generator()).flip
    # Five standard deviations of a share of 40,000 draws.
    assert float(flips.double().mean()) == pytest.approx(0.5, abs=5 * 0.5 / 200)
    assert not random_windows(40_000, 5, generator(), flip=False).flip.any()


def test_windows_depend_on_the_generator_alone_and_go_on_from_its_state() -> None:
    torch.manual_seed(1)
    state, source = torch.get_rng_state(), generator(7)
    first, second = random_windows(50, 29, source), random_windows(50, 29, source)
    assert torch.get_rng_state().equal(state)
    again = random_windows(50, 29, generator(7))
    assert (again.top.equal(first.top), again.flip.equal(first.flip)) == (True, True)
    assert not second.left.equal(first.left)


def test_offsets_do_not_change_when_mirroring_is_switched_off() -> None:
    with_flip, without = (random_windows(20, 29, generator(), flip=flip) for flip in (True, False))
    assert with_flip.top.equal(without.top)
    assert with_flip.left.equal(without.left)


def test_no_border_leaves_one_window() -> None:
    windows = random_windows(10, 0, generator())
    assert windows.top.tolist() == windows.left.tolist() == [0] * 10


def test_the_same_window_is_the_same_for_all() -> None:
    windows = same_windows(3, 4, 5, flip=True)
    assert windows.top.tolist() == [4, 4, 4]
    assert windows.left.tolist() == [5, 5, 5]
    assert windows.flip.tolist() == [True, True, True]
    assert same_windows(2, 0, 0).flip.tolist() == [False, False]


# ---- Cutting ------------------------------------------------------------------------------------


def cut_by_hand(pictures: Tensor, windows: Windows, prepared: Preprocessing) -> Tensor:
    """Subtract from whole pictures first; then take the window, then mirror it."""
    statistics = prepared.statistics
    image = prepared.subtract == "mean-image"
    mean = (statistics.mean_image if image else statistics.mean_value).numpy()
    size, found = prepared.crop_size, []
    for picture, top, left, flip in zip(
        pictures.numpy(), windows.top, windows.left, windows.flip, strict=True
    ):
        window = (picture.astype(np.float64) - mean)[top : top + size, left : left + size]
        window = window[:, ::-1] if flip else window
        found.append(window.transpose(2, 0, 1) / prepared.divide_by)
    return torch.from_numpy(np.stack(found))


@pytest.mark.parametrize("divide_by", [1.0, 58.0])
@pytest.mark.parametrize("subtract", ["mean-image", "mean-value"])
def test_windows_are_cut_centred_mirrored_and_divided(subtract: Subtract, divide_by: float) -> None:
    pictures, prepared = random_pictures(12), preprocessing(subtract, divide_by)
    windows = random_windows(12, prepared.border, generator(3))
    assert windows.flip.any()
    assert not windows.flip.all()
    before = pictures.clone()
    x = cut(pictures, windows, prepared)
    expected = cut_by_hand(pictures, windows, prepared)
    # one float32 rounding of differences of at most 255
    torch.testing.assert_close(x.double(), expected, rtol=1e-6, atol=3e-5)
    assert pictures.equal(before)


def test_the_mean_image_is_mirrored_with_the_picture() -> None:
    mean_image = torch.arange(SIDE * SIDE * 3.0).view(SIDE, SIDE, 3) / 4
    statistics = Statistics(mean_image, mean_image.mean((0, 1)), torch.ones(3), torch.eye(3))
    prepared = Preprocessing(statistics, SIDE, CROP)
    pictures = mean_image.floor().to(torch.uint8)[None]
    x = cut(pictures, same_windows(1, 2, 5, flip=True), prepared)
    assert float(x.abs().max()) < 1  # a picture that is the mean leaves what was rounded off


def test_every_corner_of_the_picture_can_be_cut() -> None:
    pictures, prepared = random_pictures(1), preprocessing()
    for top in (0, prepared.border):
        for left in (0, prepared.border):
            windows = same_windows(1, top, left)
            x = cut(pictures, windows, prepared).double()
            expected = cut_by_hand(pictures, windows, prepared)
            torch.testing.assert_close(x, expected, rtol=1e-6, atol=3e-5)


def test_the_colours_are_channels_and_last_in_memory() -> None:
    x = cut(random_pictures(2), same_windows(2, 0, 0), preprocessing())
    assert x.shape == (2, 3, CROP, CROP)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("subtract", ["mean-image", "mean-value"])
def test_a_shift_is_added_to_every_pixel_of_its_picture_alone(subtract: Subtract) -> None:
    pictures, prepared = random_pictures(4), preprocessing(subtract, 2.0)
    windows = random_windows(4, prepared.border, generator())
    shift = torch.tensor([[1.0, 2, 3], [0, 0, 0], [-50, 4, 0.5], [7, 7, 7]])
    difference = cut(pictures, windows, prepared, shift=shift) - cut(pictures, windows, prepared)
    expected = (shift / 2)[:, :, None, None].expand_as(difference)
    torch.testing.assert_close(difference, expected, rtol=0, atol=1e-4)  # grey levels of float32


def test_a_crop_larger_than_the_pictures_is_refused() -> None:
    statistics = preprocessing().statistics
    message = (
        "crop size 227 does not fit into pictures of 226 pixels; raise picture_size to at least 227"
    )
    with pytest.raises(ValueError, match=message):
        Preprocessing(statistics, picture_size=226)
    assert Preprocessing(statistics, picture_size=227).border == 0


def test_the_constants_rebuild_the_preprocessing() -> None:
    prepared = preprocessing("mean-value", 58.0)
    assert prepared.constants() == {
        "picture_size": SIDE,
        "crop_size": CROP,
        "subtract": "mean-value",
        "divide_by": 58.0,
        "colours": "rgb",
    }
    assert prepared.border == SIDE - CROP


# ---- Colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtract", ["mean-image", "mean-value", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grey_is_the_weighted_sum_of_the_colours_as_they_are_cut(
    subtract: Subtract, dtype: torch.dtype
) -> None:
    pictures, prepared = random_pictures(5), preprocessing(subtract, 2.0)
    windows = random_windows(5, prepared.border, generator())
    shift = torch.randn(5, 3, generator=generator())
    rgb = cut(pictures, windows, prepared, shift=shift).double().numpy()
    grey = cut(pictures, windows, replace(prepared, colours="grey"), shift=shift, dtype=dtype)
    expected = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
    assert grey.dtype == dtype
    assert grey.is_contiguous(memory_format=torch.channels_last)
    # rounded once: half of the last of 8 bits, or float32's three products and two sums
    bits = 2**-8 if dtype == torch.bfloat16 else 3e-7
    np.testing.assert_allclose(grey.double().numpy(), expected, rtol=bits, atol=1e-4)


def test_pictures_that_are_grey_keep_their_levels() -> None:
    levels = random_pictures(2)[..., :1].expand(-1, -1, -1, 3).contiguous()
    prepared = replace(preprocessing("none"), colours="grey")
    x = cut(levels, same_windows(2, 1, 2), prepared)
    expected = levels[:, 1 : 1 + CROP, 2 : 2 + CROP, 0].float()
    torch.testing.assert_close(x[:, 0], expected, rtol=0, atol=1e-4)


def test_bgr_is_the_same_with_blue_first() -> None:
    pictures, prepared = random_pictures(3), preprocessing("mean-value", 2.0)
    windows = random_windows(3, prepared.border, generator())
    rgb = cut(pictures, windows, prepared)
    bgr = cut(pictures, windows, replace(prepared, colours="bgr"))
    np.testing.assert_array_equal(bgr.numpy(), rgb.numpy()[:, [2, 1, 0]])
    assert bgr.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("colours", ["grey", "bgr"])
def test_resized_windows_have_the_colours_too(colours: Colours) -> None:
    pictures, prepared = random_pictures(3), preprocessing("none", 2.0)
    wanted = replace(prepared, colours=colours)
    rgb = random_resized_cut(pictures, prepared, draws(len(pictures)), smallest_area=0.5)
    found = random_resized_cut(pictures, wanted, draws(len(pictures)), smallest_area=0.5)
    assert torch.equal(found, in_colours(rgb, colours))
    assert found.shape[1] == (1 if colours == "grey" else 3)


# ---- Lighting -----------------------------------------------------------------------------------

# Deviations, largest first, and principal colours of ILSVRC 2012, from the author's batches.
DEVIATIONS = torch.tensor([121.7801, 37.0939, 19.7208])
COLOURS = torch.tensor(
    [[0.3973, -0.8170, 0.4180], [0.7012, -0.0235, -0.7126], [-0.5920, -0.5762, -0.5635]]
)


def test_shifts_have_the_covariance_of_the_colours_times_the_strength_squared() -> None:
    pictures = random_pictures(20).double()
    pictures[..., 1] = 0.7 * pictures[..., 0] + 0.3 * pictures[..., 1]  # colours that go together
    statistics = compute([pictures.to(torch.uint8)])
    sample = pictures.to(torch.uint8)[:, ::4, ::4].reshape(-1, 3).double().numpy()
    expected = 0.1**2 * np.cov(sample.T, bias=True)
    shifts = lighting(200_000, statistics, strength=0.1, generator=generator())
    found = np.cov(shifts.double().numpy().T)
    # An entry of a covariance of n normal draws deviates by at most sqrt(2 / n) of the variances.
    np.testing.assert_allclose(found, expected, atol=5 * (2 / 200_000) ** 0.5 * expected.max())
    assert float(shifts.mean(0).abs().max()) < 5 * (expected.max() / 200_000) ** 0.5


def test_shifts_along_the_first_colour_are_12_grey_levels_wide_for_imagenet() -> None:
    statistics = Statistics(torch.zeros(1, 1, 3), torch.zeros(3), DEVIATIONS, COLOURS)
    shifts = lighting(100_000, statistics, strength=0.1, generator=generator())
    along = (shifts @ COLOURS).std(0)
    # Five standard errors of a deviation, and the four digits of the colours.
    torch.testing.assert_close(along, 0.1 * DEVIATIONS, rtol=5 / 200_000**0.5 + 2e-3, atol=0)


def test_each_picture_has_its_own_shift_from_the_generator() -> None:
    statistics = Statistics(torch.zeros(1, 1, 3), torch.zeros(3), DEVIATIONS, COLOURS)
    shifts = lighting(5, statistics, strength=0.1, generator=generator(4))
    assert len({tuple(shift) for shift in shifts.tolist()}) == 5
    assert lighting(5, statistics, strength=0.1, generator=generator(4)).equal(shifts)
    double = lighting(5, statistics, strength=0.2, generator=generator(4))
    torch.testing.assert_close(double, 2 * shifts)
    assert not lighting(5, statistics, strength=0.0, generator=generator(4)).any()


# ---- Windows of random area and shape -----------------------------------------------------------


@pytest.fixture
def resized(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Keep each window, (1, 3, H, W), before it is resized."""
    kept: list[Tensor] = []
    original = functional.interpolate

    def interpolate(window: Tensor, *, size: tuple[int, int], mode: str, antialias: bool) -> Tensor:
        kept.append(window.clone())
        return original(window, size=size, mode=mode, antialias=antialias)

    monkeypatch.setattr(functional, "interpolate", interpolate)
    return kept


def test_a_resized_window_equals_pillows_bilinear_one_to_a_grey_level(
    resized: list[Tensor],
) -> None:
    side = 40
    smooth = (random_pictures(6, 10).repeat_interleave(4, 1).repeat_interleave(4, 2)).contiguous()
    prepared = Preprocessing(compute([smooth]), side, CROP, "mean-value", 2.0)
    x = random_resized_cut(smooth, prepared, draws(len(smooth)), smallest_area=0.1)
    mirrored = 0
    for window, found in zip(resized, x, strict=True):
        array = window[0].permute(1, 2, 0).contiguous().numpy()
        image = Image.fromarray(array).resize((CROP, CROP), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).float()
        errors = []
        for expected in (pixels, pixels.flip(1)):
            centred = (expected - prepared.statistics.mean_value) / 2
            errors.append(float((found - centred.permute(2, 0, 1)).abs().max()))
        mirrored += errors[1] < errors[0]
        assert min(errors) <= 0.501  # one grey level, divided by two
    assert 0 < mirrored < 6


def test_a_window_of_the_whole_picture_at_its_own_size_is_the_picture() -> None:
    pictures = random_pictures(1)
    prepared = Preprocessing(preprocessing().statistics, SIDE, SIDE, "mean-value")
    whole = cut(pictures, same_windows(1, 0, 0), prepared)
    found = [
        random_resized_cut(
            pictures, prepared, draws(len(pictures), seed), smallest_area=0.999, flip=False
        )
        for seed in range(400)
    ]
    assert any(x.equal(whole) for x in found)  # a ratio near one is drawn once in a few


def test_areas_and_shapes_are_in_range_and_windows_lie_everywhere(resized: list[Tensor]) -> None:
    side, count, smallest = 240, 3000, 0.1
    place = torch.arange(side, dtype=torch.uint8)
    picture = torch.stack([place[:, None].expand(side, side), place.expand(side, side)], -1)
    pictures = torch.cat([picture, picture[..., :1]], -1)[None].expand(count, -1, -1, -1)
    prepared = Preprocessing(preprocessing().statistics, side, 3, "mean-value")
    random_resized_cut(pictures, prepared, draws(len(pictures)), smallest_area=smallest)
    boxes = torch.tensor([[int(w[0, 0, 0, 0]), int(w[0, 1, 0, 0]), *w.shape[2:]] for w in resized])
    top, left, height, width = boxes.double().T
    area, ratio = height * width / side**2, width / height
    # Rounding moves a side of at least 65 pixels by half a pixel.
    assert smallest * 0.985 < float(area.min()) < smallest * 1.05
    assert 0.95 < float(area.max()) <= 1
    assert 0.75 * 0.98 < float(ratio.min()) < 0.77
    assert 1.3 < float(ratio.max()) < 4 / 3 * 1.02
    for start, length in ((top, height), (left, width)):
        free = length < side / 2
        assert float(start[free].min()) == 0
        assert float((start + length)[free].max()) == side
        share = start[free] / (side - length[free])  # uniform in 0 ... 1
        # Five standard errors of a mean and of a deviation of about 1,000 uniform draws.
        assert float(share.mean()) == pytest.approx(0.5, abs=0.05)
        assert float(share.std()) == pytest.approx(12**-0.5, abs=0.03)
    small = ratio[area < 0.7]  # no side is cut to the picture's there
    assert float(small.log().mean()) == pytest.approx(0, abs=5 * np.log(4 / 3) / 3**0.5 / 40)
    # Five standard errors of a share of 3,000.
    assert float((area < 0.4).double().mean()) == pytest.approx(1 / 3, abs=5 * 0.47 / 3000**0.5)


def test_resized_windows_depend_on_the_generator_alone() -> None:
    pictures, prepared = random_pictures(6), preprocessing("mean-value")
    first, again, other = (
        random_resized_cut(pictures, prepared, draws(len(pictures), seed), smallest_area=0.3)
        for seed in (1, 1, 2)
    )
    assert first.equal(again)
    assert not first.equal(other)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_a_shift_reaches_resized_windows_too() -> None:
    pictures, prepared = random_pictures(2), preprocessing("mean-value", 4.0)
    shift = torch.tensor([[4.0, 8, 0], [0, -4, 1]])
    plain, shifted = (
        random_resized_cut(pictures, prepared, draws(len(pictures)), smallest_area=0.5, shift=value)
        for value in (None, shift)
    )
    expected = (shift / 4)[:, :, None, None].expand_as(plain)
    torch.testing.assert_close(shifted - plain, expected, rtol=0, atol=1e-4)


def test_a_mean_image_is_refused_for_resized_windows() -> None:
    with pytest.raises(AssertionError, match="a mean image has no meaning in a resized window"):
        random_resized_cut(random_pictures(1), preprocessing(), draws(1), smallest_area=0.5)
