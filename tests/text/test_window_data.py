from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.text.message import TextError
from alexnet.text.resize import resize
from alexnet.text.window_data import WindowSource, cut_window, read_windows
from tests.golden.source_cases import FOLDER
from tests.text.one_source import build, layer, take

RANDOM = np.random.default_rng(6)
PICTURE = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "windows.txt"
    path.write_text(text)
    return path


def test_a_list_may_stand_on_any_lines(tmp_path: Path) -> None:
    text = "# 0\na.png 3 10 12 2\n4 0.9 2 1 15\n12\n0 .25 -1 0 5 5 # 1 b.png 3 5 6 0\n\n"
    found = read_windows(listed(tmp_path, text))
    assert found.paths == ["a.png", "b.png"]
    assert found.pictures.tolist() == [0, 0]
    assert found.labels.tolist() == [4, 0]
    assert found.boxes.tolist() == [[2, 1, 15, 12], [-1, 0, 5, 5]]
    np.testing.assert_array_equal(found.overlaps, np.array([0.9, 0.25], np.float32))


HEAD = "# 0\na.png\n3\n10\n12\n1\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"windows.txt is empty; give it windows"),
        ("0 a.png", r"windows.txt:1: a picture is '# number path channels .* not '0 a.png'"),
        ("# 0 a.png 3 10 x 1", r"windows.txt:1: a picture is"),
        (f"{HEAD}1 1 0 0 1 1\n# 2\nb.png 3 1 1 0", r":8: picture 1 has the number '2'; count"),
        ("# 0 a.png 1 10 12 0", r":1: 1 channels; pictures are read with 3 of them"),
        (f"{HEAD}1 1 0 0 1", r":1: 1 windows are promised; the list ends before that"),
        ("# 0 a.png 3 1 1 99999999999", r":1: 99999999999 windows are promised"),
        (f"{HEAD}1 1 0\nzero 1 1", r":8: 'zero' is no number of a window"),
        (f"{HEAD}1 1 0 0.5 1 1", r":7: a window is 'label overlap .* not '1 1 0 0.5 1 1'"),
        (f"{HEAD}1 nan 0 0 1 1", r":7: a window is 'label overlap"),
        (f"{HEAD}1 1 0 0 1e30 1", r":7: a window is 'label overlap"),
    ],
)
def test_a_bad_list_is_refused_by_its_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(TextError, match=why):
        read_windows(listed(tmp_path, text))


def test_a_missing_list_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    listed(tmp_path, "")
    with pytest.raises(TextError, match=r"cannot be read: No such file.*'windows.txt'"):
        read_windows(tmp_path / "window.txt")


def test_a_window_without_context_is_warped_as_it_is() -> None:
    for mirror in (False, True):
        patch = cut_window(PICTURE, (3, 2, 12, 18), side=9, context=0, square=False, mirror=mirror)
        wanted = resize(PICTURE[2:19, 3:13], 9, 9)
        np.testing.assert_array_equal(patch.pixels, wanted[:, ::-1] if mirror else wanted)
        assert (patch.top, patch.left) == (0, 0)


def test_context_shows_what_is_around_the_window() -> None:
    # Half of 10 pixels grows by 12 / (12 - 2 * 3) = 2: 10 about the centre, ends included 21.
    patch = cut_window(PICTURE, (10, 5, 19, 14), side=12, context=3, square=False, mirror=False)
    np.testing.assert_array_equal(patch.pixels, resize(PICTURE[0:20, 5:26], 11, 12))
    assert (patch.top, patch.left) == (0, 0)


def test_what_lies_outside_of_the_picture_stays_empty_on_its_side() -> None:
    box = (0, 0, 9, 9)
    patch = cut_window(PICTURE, box, side=20, context=5, square=False, mirror=False)
    assert (patch.top, patch.left) == (5, 5)
    assert patch.pixels.shape == (15, 15, 3)
    mirrored = cut_window(PICTURE, box, side=20, context=5, square=False, mirror=True)
    np.testing.assert_array_equal(mirrored.pixels, patch.pixels[:, ::-1])
    assert (mirrored.top, mirrored.left) == (5, 0)


def test_a_square_window_grows_along_its_shorter_side() -> None:
    # 4 x 16 pixels become 16 x 16 about the centre (12, 10): rows and columns of 17.
    patch = cut_window(PICTURE, (10, 2, 13, 17), side=17, context=0, square=True, mirror=False)
    np.testing.assert_array_equal(patch.pixels, PICTURE[2:19, 4:21])


@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, 0, 30, 4), (5, 5, 4, 9), (0, 0, 4, 20)])
def test_a_window_outside_of_its_picture_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(TextError, match=r"is not in a picture of 30 x 20 pixels"):
        cut_window(PICTURE, box, side=9, context=0, square=False, mirror=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a picture of objects 5 and 6, two windows of background and one of neither."""
    Image.fromarray(PICTURE[:, :, ::-1]).save(tmp_path / "a.png")
    listed(
        tmp_path,
        "# 0 a.png 3 20 30 5 5 0.5 0 0 8 8 6 1 10 0 18 8 9 .1 20 0 28 8 0 0 0 10 8 18 7 .4 0 0 2 2",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(fields: str = "", transform: str = "crop_size: 9", thresholds: str = "0.5") -> str:
    fields = f'source: "windows.txt" batch_size: 40 bg_threshold: 0.3 {fields}'
    fields += f" fg_threshold: {thresholds}"
    more = f"window_data_param {{ {fields} }} transform_param {{ {transform} }}"
    return layer("WindowData", more)


def test_batches_have_their_share_of_objects_behind_the_background(folder: Path) -> None:
    source = build(text("fg_fraction: 0.3"), "TRAIN")
    assert isinstance(source, WindowSource)
    source.seed(1)
    data, label = take(source)
    assert source.shapes == ((40, 3, 9, 9), (40,))
    assert label[:28].tolist() == [0] * 28
    assert set(label[28:].tolist()) == {5, 6}
    planes = PICTURE.transpose(2, 0, 1).astype(np.float32)
    background = {planes[:, :9, 20:29].tobytes(), planes[:, 10:19, :9].tobytes()}
    assert {row.tobytes() for row in data[:28].numpy()} == background
    for row, number in zip(data[28:].numpy(), label[28:].tolist(), strict=True):
        left = 0 if number == 5 else 10
        np.testing.assert_array_equal(row, planes[:, :9, left : left + 9])
    source.close()


def test_one_seed_gives_one_batch_and_mirrors_one_half(folder: Path) -> None:
    batches = []
    for seed in (1, 1, 2):
        source = build(text("fg_fraction: 1.0", "crop_size: 9 mirror: true"))
        assert isinstance(source, WindowSource)
        source.seed(seed)
        batches.append(take(source)[0].numpy())
    np.testing.assert_array_equal(batches[0], batches[1])
    assert (batches[0] != batches[2]).any()
    assert len({row.tobytes() for row in batches[0]}) == 4  # two objects, each both ways


@pytest.mark.parametrize(
    ("fields", "transform", "why"),
    [
        ("", "", r"WindowData needs window_data_param's source and batch_size, and"),
        ("context_pad: 5", "crop_size: 9", r"context_pad 5 leaves nothing of crop_size 9"),
        ('crop_mode: "sqare"', "crop_size: 9", r"crop_mode is 'sqare' \(did you mean 'square'"),
        ("", "crop_size: 9 mean_value: 1 mean_value: 2", r"mean_value is given 2 times"),
        (
            "",
            f'crop_size: 11 mean_file: "{FOLDER / "mean.binaryproto"}"',
            r"mean_file is 3 x 10 x 12; a square of crop_size 11 must lie in it",
        ),
    ],
)
def test_contradictions_are_refused(folder: Path, fields: str, transform: str, why: str) -> None:
    with pytest.raises(TextError, match=r"layer 'it': " + why):
        build(text(fields, transform))


def test_lists_without_objects_or_with_objects_of_label_0_are_refused(folder: Path) -> None:
    with pytest.raises(TextError, match=r"has 0 windows of objects and 2 of background; both"):
        build(text(thresholds="1.5"))
    windows = folder / "windows.txt"
    windows.write_text(windows.read_text().replace("7 .4", "0 .4"))
    with pytest.raises(TextError, match=r"has an object of label 0; labels of objects begin at 1"):
        build(text(thresholds="0.35"))
    with pytest.raises(TextError, match=r"layer 'it': source: the list gone.txt cannot be read"):
        build(text().replace("windows.txt", "gone.txt"))


def test_a_scale_that_is_not_read_is_a_warning(folder: Path) -> None:
    with pytest.warns(UserWarning, match=r"does not read transform_param's scale.* 0.5 is left"):
        build(text(transform="crop_size: 9 scale: 0.5"))


def test_a_picture_that_is_gone_ends_the_run(folder: Path) -> None:
    (folder / "a.png").unlink()
    source = build(text())
    with pytest.raises(TextError, match=r"layer 'it': windows.txt: a.png: a.png cannot be read"):
        source()


def test_cached_files_are_read_once(folder: Path) -> None:
    source = build(text("cache_images: true fg_fraction: 0.5"))
    assert isinstance(source, WindowSource)
    take(source)
    (folder / "a.png").unlink()
    for _ in range(6):
        take(source)
