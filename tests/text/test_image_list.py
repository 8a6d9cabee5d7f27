import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.text.image_list import Entry, ImageSource, read_list, read_resized
from alexnet.text.message import TextError
from alexnet.text.picture_files import read_picture
from alexnet.text.resize import resize
from tests.golden.source_cases import FOLDER
from tests.text.one_source import build, layer, take


def listed(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_label_stands_behind_the_last_blank(tmp_path: Path) -> None:
    path = listed(tmp_path, "a.png 3\nb c.png -7\r\n d/e f  +12\nx 1 2 \n\n  \n")
    wanted = [Entry("a.png", 3), Entry("b c.png", -7), Entry(" d/e f ", 12), Entry("x 1", 2)]
    assert read_list(path) == wanted


def test_names_that_are_no_utf8_come_back_as_their_bytes(tmp_path: Path) -> None:
    (entry,) = read_list(listed(tmp_path, b"caf\xe9.png 1"))
    assert os.fsencode(entry.path) == b"caf\xe9.png"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a.png", r"list.txt:2: 'a.png' is not a path, a blank and a whole number"),
        ("a.png\t7", r"list.txt:2: 'a.png\\t7' is not a path"),
        ("a.png 7.5", r"list.txt:2: .* is not a path"),
        ("a.png cat", r"list.txt:2: .* is not a path"),
        ("", r"list.txt:2: '' is not a path"),
        ("a.png 3000000000", r"list.txt:2: the label 3000000000 is beyond 32 bits"),
        ("a.png -99999999999999999999999", r"list.txt:2: the label .* is beyond 32 bits"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(TextError, match=why):
        read_list(listed(tmp_path, f"first.png 1\n{line}\nlast.png 1\n"))


def test_a_missing_an_empty_and_an_unreadable_list_are_refused(tmp_path: Path) -> None:
    path = listed(tmp_path, "\n\n")
    with pytest.raises(TextError, match=r"list.txt is empty; give lines of a path"):
        read_list(path)
    with pytest.raises(TextError, match=r"does not exist \(did you mean 'list.txt'\?\)"):
        read_list(tmp_path / "lits.txt")
    with pytest.raises(TextError, match=r"cannot be read: Is a directory"):
        read_list(tmp_path)


def test_pictures_are_resized_only_when_both_sides_are_given() -> None:
    path = str(FOLDER / "pictures" / "photo.jpg")
    picture = read_picture(path)
    np.testing.assert_array_equal(read_resized(path, 0, 9), picture)
    np.testing.assert_array_equal(read_resized(path, 8, 9), resize(picture, 8, 9))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten gray pictures of one pixel; the n-th is n and has the label n."""
    for number in range(10):
        Image.fromarray(np.full((1, 1), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "list.txt").write_text("".join(f"{n}.png {n}\n" for n in range(10)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(fields: str, more: str = "") -> str:
    fields = f'source: "list.txt" is_color: false {fields}'
    return layer("ImageData", f"image_data_param {{ {fields} }} {more}")


def numbers(made: str, batches: int, seed: int) -> list[list[float]]:
    source = build(made, "TRAIN")
    assert isinstance(source, ImageSource)
    source.seed(seed)
    found = []
    for _ in range(batches):
        data, label = take(source)
        np.testing.assert_array_equal(data.flatten(), label)
        found.append(label.tolist())
    return found


def test_shuffled_lists_give_every_picture_once_in_another_order(folder: Path) -> None:
    first, second = numbers(text("batch_size: 10 shuffle: true"), 2, 5)
    for epoch in (first, second):
        assert sorted(epoch) == list(range(10))
        assert epoch != list(range(10))
    assert first != second
    assert numbers(text("batch_size: 10 shuffle: true"), 2, 5) == [first, second]
    assert numbers(text("batch_size: 10 shuffle: true"), 2, 6) != [first, second]


def test_some_first_pictures_are_left_out_at_random(folder: Path) -> None:
    starts = {numbers(text("batch_size: 12 rand_skip: 4"), 1, seed)[0][0] for seed in range(40)}
    assert starts == {0, 1, 2, 3}
    (batch,) = numbers(text("batch_size: 12 rand_skip: 4"), 1, 0)
    assert batch == [(batch[0] + n) % 10 for n in range(12)]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("new_height: 4", r"layer 'it': one of new_height and new_width is given alone"),
        ("batch_size: 0", r"batch_size is 0; give a positive one"),
        ("rand_skip: 11", r"rand_skip 11 is more than the 10 pictures"),
        ('root_folder: "no"', r"list.txt: no0.png cannot be read.*root_folder ends without '/'"),
        ('root_folder: "no/"', r"list.txt: no/0.png cannot be read: No such file or directory$"),
    ],
)
def test_contradictions_are_refused(folder: Path, fields: str, why: str) -> None:
    with pytest.raises(TextError, match=why):
        build(text(fields))


def test_a_layer_without_a_source_or_with_a_missing_one_is_refused(folder: Path) -> None:
    with pytest.raises(TextError, match=r"image_data_param has no source"):
        build(layer("ImageData", "image_data_param { batch_size: 1 }"))
    with pytest.raises(TextError, match=r"source: the list lis.txt does not exist .*'list.txt'"):
        build(layer("ImageData", 'image_data_param { source: "lis.txt" }'))


def test_a_crop_that_does_not_fit_is_refused_before_the_net_runs(folder: Path) -> None:
    with pytest.raises(TextError, match=r"layer 'it': 0.png has 1 x 1 pixels; crop_size 2"):
        build(text("", "transform_param { crop_size: 2 }"))


def test_a_picture_that_is_gone_ends_the_run_by_name(folder: Path) -> None:
    source = build(text("batch_size: 10"))
    (folder / "7.png").write_bytes(b"no picture")
    with pytest.raises(TextError, match=r"layer 'it': list.txt: 7.png: this is no known picture"):
        source()


def test_a_picture_of_another_size_ends_the_run_by_name(folder: Path) -> None:
    source = build(text("batch_size: 10"))
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(folder / "4.png")
    with pytest.raises(TextError, match=r"layer 'it': 4.png is 1 x 2 x 3 .* gave 1 x 1 x 1"):
        source()
