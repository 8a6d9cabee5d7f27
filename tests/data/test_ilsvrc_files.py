"""The archives' pictures as files to pack."""

from pathlib import Path

import pytest

from alexnet.data.folder import DataError
from alexnet.data.ilsvrc import read_devkit
from alexnet.data.ilsvrc_files import list_files
from alexnet.data.imagenet import numbered_blocks, training_blocks
from tests.data.small_ilsvrc import BIRD, CRANE, SORTED, TENCH, TRUTH, Published, jpeg


def test_files_are_listed_in_order_with_our_labels(tmp_path: Path) -> None:
    published = Published()
    published.write(tmp_path)
    devkit = read_devkit(tmp_path / "devkit.tar.gz")
    patched = {("train", f"{TENCH}_18.JPEG"): b"better", ("val", f"{TENCH}_5.JPEG"): b"other part"}
    blocks = training_blocks(tmp_path / "train.tar", devkit, left_out=[])
    files = list_files(blocks, devkit, part="train", replacements=patched)
    assert files.classes == tuple(SORTED)
    # By code point, so that 18 comes before 5.
    assert files.paths == tuple(f"{w}/{w}_{n}.JPEG" for w in SORTED for n in (18, 5))
    assert files.labels == (0, 0, 1, 1, 2, 2)
    whole = published.train[TENCH] | published.train[BIRD] | published.train[CRANE]
    for index, path in enumerate(files.paths):
        data = whole[path.partition("/")[2]]
        assert files.size(index) == len(data)
        assert files.data(index) == (b"better" if index == 0 else data)


def test_validation_files_have_the_true_labels(tmp_path: Path) -> None:
    published = Published()
    published.write(tmp_path)
    devkit = read_devkit(tmp_path / "devkit.tar.gz")
    blocks = numbered_blocks(tmp_path / "val.tar", devkit, part="val", left_out=[])
    files = list_files(blocks, devkit, part="val", replacements={})
    label_of = dict(zip(files.paths, files.labels, strict=True))
    numbers = {int(path[-13:-5]): label for path, label in label_of.items()}
    assert [numbers[number] for number in range(1, 6)] == [3 - number for number in TRUTH]


def test_a_doubled_picture_is_refused(tmp_path: Path) -> None:
    published = Published()
    published.val["again/ILSVRC2012_val_00000002.JPEG"] = jpeg(0)
    published.write(tmp_path)
    devkit = read_devkit(tmp_path / "devkit.tar.gz")
    blocks = numbered_blocks(tmp_path / "val.tar", devkit, part="val", left_out=[])
    with pytest.raises(DataError, match=r"two pictures would be n03126707/ILSVRC2012_val_00000002"):
        list_files(blocks, devkit, part="val", replacements={})
