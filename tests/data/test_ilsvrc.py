"""The development kit, and the orders of labels, in which names repeat and WNIDs do not."""

import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from alexnet.data.folder import DataError
from alexnet.data.ilsvrc import (
    Devkit,
    Synset,
    read_classes,
    read_devkit,
    to_cuda_convnet,
    to_devkit,
    write_classes,
)
from tests.data.small_ilsvrc import (
    BIRD,
    CRANE,
    IDS,
    SORTED,
    TENCH,
    TRUTH,
    devkit_files,
    meta_mat,
    tar_of,
)


def kit(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "devkit.tar.gz"
    path.write_bytes(tar_of(files, gzipped=True))
    return path


def with_meta(tmp_path: Path, meta: bytes) -> Path:
    return kit(tmp_path, devkit_files() | {"ILSVRC2012_devkit_t12/data/meta.mat": meta})


def changed(tmp_path: Path, **row: object) -> Path:
    """Write a kit whose first class says something else."""
    rows: list[dict[str, object]] = [
        {"WNID": wnid, "ILSVRC2012_ID": number, "num_train_images": 2}
        for wnid, number in IDS.items()
    ]
    rows[0] |= row
    return with_meta(tmp_path, meta_mat(rows=rows))


@pytest.mark.parametrize("year", [2010, 2012])
def test_a_kit_is_read_as_published_and_extracted(tmp_path: Path, year: int) -> None:
    files = devkit_files(year=year)
    for name, data in files.items():
        path = tmp_path / "extracted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for source in (kit(tmp_path, files), tmp_path / "extracted"):
        devkit = read_devkit(source)
        assert devkit.year == year
        assert [synset.wnid for synset in devkit.classes] == SORTED == [TENCH, BIRD, CRANE]
        assert devkit.classes[0] == Synset(TENCH, "tench, Tinca tinca", 3, 2, "that which is")
        assert devkit.validation == TRUTH
        assert devkit.test == ()


def test_labels_of_the_test_pictures_lie_in_the_kit_or_beside_it(tmp_path: Path) -> None:
    inside = {"devkit-1.0/data/ILSVRC2010_test_ground_truth.txt": b"1\n2\n"}
    source = kit(tmp_path, devkit_files(year=2010) | inside)
    beside = tmp_path / "ILSVRC2010_test_ground_truth.txt"
    beside.write_bytes(b"3\r\n1\r\n")
    assert read_devkit(source).test == (1, 2)
    assert read_devkit(source, test_labels=beside).test == (3, 1)


def test_the_orders_of_labels_are_kept_apart(tmp_path: Path) -> None:
    classes = read_devkit(kit(tmp_path, devkit_files())).classes
    assert to_devkit(classes).tolist() == [3, 2, 1]
    assert to_cuda_convnet(classes).tolist() == [2, 1, 0]
    # Two classes are called crane: only the WNID says whose score is whose.
    assert [synset.words for synset in classes] == ["tench, Tinca tinca", "crane", "crane"]
    scores_of = {CRANE: 0.1, BIRD: 0.2, TENCH: 0.7}
    theirs = np.array([[scores_of[wnid] for wnid in sorted(IDS, key=lambda w: IDS[w])]])
    ours = theirs[:, to_cuda_convnet(classes)]
    assert ours.tolist() == [[scores_of[wnid] for wnid in SORTED]]


def test_two_kinds_of_maillot_keep_their_places() -> None:
    classes = (Synset("n03710637", "maillot", 700, 1), Synset("n03710721", "maillot", 5, 1))
    assert to_devkit(classes).tolist() == [700, 5]
    assert to_cuda_convnet(classes).tolist() == [699, 4]


def test_classes_are_written_with_both_orders_and_read_again(tmp_path: Path) -> None:
    devkit = read_devkit(kit(tmp_path, devkit_files()))
    path = tmp_path / "classes.json"
    path.write_bytes(write_classes(devkit))
    content = json.loads(path.read_bytes())
    assert content["year"] == 2012
    assert [(row["label"], row["wnid"]) for row in content["classes"]] == list(enumerate(SORTED))
    assert content["to_devkit"] == [3, 2, 1]
    assert content["to_cuda_convnet"] == [2, 1, 0]
    assert read_classes(path) == devkit.classes


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"classes": [{"wnid": "n01440764"}]}'])
def test_another_file_is_no_classes_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(DataError, match=r"is no classes.json \(.*\); alexnet data imagenet writes"):
        read_classes(tmp_path / "classes.json")


def test_a_single_class_is_read(tmp_path: Path) -> None:
    rows = [{"WNID": TENCH, "ILSVRC2012_ID": 1, "num_train_images": 2}]
    files = devkit_files(truth=[1]) | {"ILSVRC2012_devkit_t12/data/meta.mat": meta_mat(rows=rows)}
    assert read_devkit(kit(tmp_path, files)) == Devkit(
        2012, (Synset(TENCH, "tench, Tinca tinca", 1, 2, "that which is"),), (1,)
    )


def test_what_a_kit_lacks_is_named(tmp_path: Path) -> None:
    files = devkit_files()
    meta = next(name for name in files if name.endswith("meta.mat"))
    truth = next(name for name in files if name.endswith("truth.txt"))
    without = {name: data for name, data in files.items() if name != meta}
    with pytest.raises(DataError, match=r"has no meta.mat; give ILSVRC2012_devkit_t12.tar.gz as"):
        read_devkit(kit(tmp_path, without))
    without = {name: data for name, data in files.items() if name != truth}
    with pytest.raises(DataError, match=r"has no ILSVRC2012_validation_ground_truth.txt; give"):
        read_devkit(kit(tmp_path, without))
    with pytest.raises(DataError, match=r"has two files meta.mat; give one development kit"):
        read_devkit(kit(tmp_path, files | {"again/meta.mat": files[meta]}))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (b"1\n4\n", r"truth.txt:2: '4' is no class; each line is a number from 1 to 3"),
        (b"1\n2\n0\n", r"truth.txt:3: '0' is no class"),
        (b"1\n\n2\n", r"truth.txt:2: '' is no class"),
        (b"n01440764\n", r"truth.txt:1: 'n01440764' is no class"),
        (b"\xff\n", r"truth.txt:1: .* is no class"),
        (b"", r"truth.txt is empty; it has a line for each picture"),
    ],
)
def test_a_wrong_line_of_the_ground_truth_is_named(
    tmp_path: Path, truth: bytes, message: str
) -> None:
    files = devkit_files() | {
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": truth
    }
    with pytest.raises(DataError, match=message):
        read_devkit(kit(tmp_path, files))


def test_classes_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the WNID 'tench'; one is n and eight digits"):
        read_devkit(changed(tmp_path, WNID="tench"))
    with pytest.raises(DataError, match=r"has a WNID twice; take another copy"):
        read_devkit(changed(tmp_path, WNID=BIRD))
    with pytest.raises(DataError, match=r"has 3 classes whose IDs are not 1 to 3; take another"):
        read_devkit(changed(tmp_path, ILSVRC2012_ID=7))


def test_another_years_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fields ILSVRC2014_ID, WNID, .*; those of 2010 and 2012"):
        read_devkit(with_meta(tmp_path, meta_mat(year=2014, rows=[])))
    with pytest.raises(DataError, match=r"2012 have ILSVRC2012_ID, WNID, words, num_children and"):
        read_devkit(with_meta(tmp_path, meta_mat(lacking="num_train_images")))


def test_a_damaged_meta_mat_is_refused(tmp_path: Path) -> None:
    whole = meta_mat()
    other = io.BytesIO()
    scipy.io.savemat(other, {"something": np.zeros(3)})
    cuts = [whole[:length] for length in (0, 1, 127, 128, 140, len(whole) // 2, len(whole) - 1)]
    for meta in [*cuts, other.getvalue(), b"<html>" * 100]:
        with pytest.raises(DataError, match=r"devkit.tar.gz: meta.mat .*; take another copy"):
            read_devkit(with_meta(tmp_path, meta))


def test_a_meta_mat_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    element = zlib.compress(bytes(70_000_000))
    head = meta_mat()[:128]
    bomb = head + struct.pack("<II", 15, len(element)) + element
    source = tmp_path / "kit"
    source.mkdir()
    (source / "meta.mat").write_bytes(bomb)
    with pytest.raises(DataError, match=r"meta.mat unpacks to more than 64,000,000 bytes; refused"):
        read_devkit(source)


def test_without_scipy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = kit(tmp_path, devkit_files())
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(OSError, match=r"scipy, .*, is not installed; pip install alexnet\[data\]"):
        read_devkit(source)
