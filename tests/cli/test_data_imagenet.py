"""`alexnet data imagenet` as a person calls it."""

import gzip
import hashlib
import json
import signal
from pathlib import Path

import numpy as np
import pytest

import alexnet.data.ilsvrc_archives
from alexnet.cli import run
from alexnet.data.door import open_split
from alexnet.data.ilsvrc import read_classes, to_devkit
from alexnet.data.image import decode
from tests.cli.conftest import Capture, refused
from tests.data.small_ilsvrc import BIRD, CRANE, TENCH, Published, jpeg, lines, tar_of, voc_xml


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Write the archives of 2012 and return the command for them."""
    archives = Published().write(tmp_path / "published")
    return ["data", "imagenet", *archives, str(tmp_path / "out")]


def test_archives_become_a_data_set(tmp_path: Path, words: list[str], capsys: Capture) -> None:
    xml = {f"{TENCH}/{TENCH}_5.xml": voc_xml(f"{TENCH}_5", [(9, 4, 3, 12)])}
    val_xml = {"val/ILSVRC2012_val_00000001.xml": voc_xml("%s", [(1, 1, 9, 9)])}
    for option, files in (("--boxes", xml), ("--val-boxes", val_xml)):
        archive = tmp_path / f"{option[2:]}.tar.gz"
        archive.write_bytes(tar_of(files, gzipped=True))
        words += [option, str(archive)]
    assert run([*words, "--complete", "--threads", "2"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[:3] for line in printed.out.splitlines()[2:4]] == [
        ["train/", "6", "3"],
        ["val/", "5", "3"],
    ]
    assert "labels go by WNID; classes.json has ILSVRC's and cuda-convnet's" in printed.out
    assert "boxes.jsonl.gz: 2 bounding boxes\n  1 times edges had to" in printed.out
    assert printed.err == ""
    classes = read_classes(tmp_path / "out" / "classes.json")
    assert [synset.wnid for synset in classes] == [TENCH, BIRD, CRANE]
    assert to_devkit(classes).tolist() == [3, 2, 1]
    assert json.loads((tmp_path / "out" / "imagenet.json").read_bytes())["finished"] is True


def test_what_is_odd_and_missing_is_noted(tmp_path: Path, capsys: Capture) -> None:
    published = Published()
    published.train[TENCH] = {f"{TENCH}_{n}.JPEG": jpeg(n)[:50] for n in range(7)}
    published.val["readme.txt"] = b""
    del published.val["ILSVRC2012_val_00000004.JPEG"]
    archives = published.write(tmp_path)
    command = ["data", "imagenet", *archives, str(tmp_path / "out")]
    assert run([*command, "--json"]) == 0
    printed = capsys.readouterr()
    content = json.loads(printed.out)
    train, val = content["parts"]["train"], content["parts"]["val"]
    assert train["classes"] == {TENCH: 7, BIRD: 2, CRANE: 2}
    assert list(map(len, train["remarks"].values())) == [7]
    assert list(train["remarks"]) == ["not readable, kept as it is"]
    assert val["remarks"] == {
        "left out, no pictures by their names": [f"{tmp_path}/val.tar: readme.txt"]
    }
    assert train["other_numbers"] == [f"{TENCH} has 7 of 2"]
    assert val["other_numbers"] == [f"{BIRD} has 0 of 1"]
    assert run(command) == 0
    errors = capsys.readouterr().err
    assert "7 not readable, kept as it is: train/n01440764/n01440764_0.JPEG (" in errors
    assert " and 2 more (all in imagenet.json)\n" in errors
    wanted = "val/ has other numbers of pictures than the development kit in 1 classes: n02012849 "
    assert wanted in errors
    for shards in ([], ["--shards"]):
        code = run([*command[:-1], str(tmp_path / f"out{len(shards)}"), "--complete", *shards])
        refused(code, capsys, expected=3, message=r"n01440764 has 7 of 2; leave out --complete to")


def test_2010_has_a_scored_test_set_and_patches(tmp_path: Path, capsys: Capture) -> None:
    archives = Published(2010).write(tmp_path)
    test = {f"test/ILSVRC2010_test_{n:08d}.JPEG": jpeg(n) for n in (2, 1)}
    (tmp_path / "test.tar").write_bytes(tar_of(test))
    (tmp_path / "patch.tar").write_bytes(
        tar_of({"patch_images/test/ILSVRC2010_test_00000001.JPEG": jpeg(9)})
    )
    out = tmp_path / "out"
    words = ["data", "imagenet", *archives, "--test", str(tmp_path / "test.tar")]
    words += ["--patch", str(tmp_path / "patch.tar"), str(out)]
    code = run(words)
    refused(code, capsys, expected=3, message=r"no labels of the test pictures; give --test-labels")
    (tmp_path / "truth.txt").write_bytes(lines([1, 3]))
    assert run([*words, "--test-labels", str(tmp_path / "truth.txt"), "--complete"]) == 0
    assert (out / "test" / CRANE / "ILSVRC2010_test_00000001.JPEG").read_bytes() == jpeg(9)
    assert (out / "test" / TENCH / "ILSVRC2010_test_00000002.JPEG").read_bytes() == jpeg(2)
    assert "1 replaced by patch_images.tar: test/" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "18"])
def test_archives_become_shards(
    tmp_path: Path, words: list[str], capsys: Capture, size: str
) -> None:
    out = tmp_path / "out"
    assert run([*words, "--shards", "--size", size]) == 0
    printed = capsys.readouterr().out
    assert f"{out}: 11 pictures in 2 shards; 'alexnet data verify {out}' compares" in printed
    split = open_split(out, fraction=0.1)
    assert split.train.classes == (TENCH, BIRD, CRANE)
    published = Published()
    assert len(split.train) == 6
    for index, (path, label) in enumerate(zip(split.train.paths, split.train.labels, strict=True)):
        wnid = split.train.classes[label]
        data = next(d for name, d in published.train[wnid].items() if Path(name).stem in path)
        wanted = decode(data)
        found = split.train.pixels(index, at_least=24)
        if size == "0":
            np.testing.assert_array_equal(found, wanted)
        else:
            assert found.shape == (18, 24, 3)
    labels = dict(zip(split.validation.paths, split.validation.labels, strict=True))
    by_number = [label for _, label in sorted(labels.items(), key=lambda item: item[0][-13:])]
    assert by_number == [0, 2, 2, 1, 0]
    assert len(read_classes(out / "classes.json")) == 3
    code = run([*words, "--shards", "--boxes", "x.tar"])
    refused(code, capsys, expected=2, message="boxes are kept beside a folder; leave out --shards")


def test_files_left_out_of_shards_are_noted(tmp_path: Path, capsys: Capture) -> None:
    published = Published()
    published.val["valprep.sh"] = b""
    del published.val["ILSVRC2012_val_00000004.JPEG"]
    words = ["data", "imagenet", *published.write(tmp_path), str(tmp_path / "out"), "--shards"]
    assert run(words) == 0
    errors = capsys.readouterr().err
    assert "1 left out, no pictures by their names: " in errors
    assert f"val: {BIRD} has 0 of 1\n" in errors


def test_md5s_are_checked_first(
    tmp_path: Path, words: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = run([*words, "--check-md5"])
    refused(code, capsys, expected=3, message=r"devkit.tar.gz has the MD5 .* as published; downl")
    assert not (tmp_path / "out").exists()
    right = {
        name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in (tmp_path / "published").iterdir()
        for name in [path.name.partition(".")[0]]
    }
    monkeypatch.setattr(alexnet.data.ilsvrc_archives, "PUBLISHED_MD5", right)
    assert run([*words, "--check-md5"]) == 0
    right["val"] = "0" * 32
    capsys.readouterr()
    code = run([*words, "--check-md5"])
    refused(code, capsys, expected=3, message=r"val.tar has the MD5 [0-9a-f]{32}, not 0{32}")


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--year", "2013"], 2, "year 2013 is not read; it must be 2010 or 2012"),
        (["--year", "2010"], 3, "devkit.tar.gz is of 2012, not 2010; say --year 2012"),
        (["--year", "2010", "--check-md5"], 2, "no MD5 of 2010's archives is known; leave out"),
        (["--test", "x.tar"], 2, "--test, --test-labels and --patch are for --year 2010 only"),
        (["--threads", "-1"], 2, "threads is -1; it must be at least 1, or 0"),
        (["--size", "5"], 2, "size 5 is not 16 to 4096 pixels"),
        (["--train", "missing.tar"], 3, "missing.tar does not exist"),
    ],
)
def test_what_does_not_go_together_is_refused(
    words: list[str], capsys: Capture, extra: list[str], code: int, message: str
) -> None:
    given = {extra[i]: extra[i + 1] for i in range(len(extra) - 1) if extra[i].startswith("--")}
    for option in given:
        if option in words:
            place = words.index(option)
            del words[place : place + 2]
    refused(run([*words, *extra]), capsys, expected=code, message=message)


def test_pictures_are_needed(tmp_path: Path, words: list[str], capsys: Capture) -> None:
    devkit = words[words.index("--devkit") + 1]
    code = run(["data", "imagenet", "--devkit", devkit, str(tmp_path / "out")])
    refused(code, capsys, expected=2, message="no pictures given; name --train, --val or both")


def test_a_signal_stops_the_work_and_the_same_command_goes_on(
    tmp_path: Path, words: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def interrupted(path: Path, data: bytes) -> int:
        if path.name.startswith(f"{BIRD}_5"):  # once: a second signal would end the tests
            signal.raise_signal(signal.SIGTERM)
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupted)
        code = run([*words, "--threads", "1"])
    refused(code, capsys, expected=75, message="out: stopped in train-.*; the same command goes on")
    assert run(words) == 0
    assert len(list((tmp_path / "out").rglob("*.JPEG"))) == 11


def test_a_damaged_archive_is_refused(words: list[str], capsys: Capture) -> None:
    train = Path(words[words.index("--train") + 1])
    whole = train.read_bytes()
    train.write_bytes(whole[: len(whole) // 2])
    refused(run(words), capsys, expected=3, message=r"train.tar is cut")
    train.write_bytes(gzip.compress(bytes(20_000_000)))
    refused(run(words), capsys, expected=3, message="unpacks to more than 200 times its size")
