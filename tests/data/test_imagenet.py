"""From archives to a data set: its files, its records, and what happens when it is stopped."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from alexnet.data.folder import DataError, split_folder
from alexnet.data.image import ImageError, decode, resize_shorter_side
from alexnet.data.imagenet import (
    Form,
    Target,
    convert,
    read_replacements,
)
from tests.data.small_ilsvrc import (
    BIRD,
    CRANE,
    IDS,
    SORTED,
    TENCH,
    TRUTH,
    Published,
    jpeg,
    make,
    tar_of,
    tree,
)

WNID_OF = {number: wnid for wnid, number in IDS.items()}


@pytest.fixture
def published(tmp_path: Path) -> Published:
    files = Published()
    files.write(tmp_path)
    return files


@pytest.mark.parametrize("year", [2010, 2012])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_bytes_are_kept_and_training_finds_the_right_labels(
    tmp_path: Path, year: int, threads: int
) -> None:
    published = Published(year)
    published.write(tmp_path)
    root = tmp_path / "out"
    stored = make(tmp_path, Target(root, threads=threads))

    split = split_folder(root)
    assert split.rule == "train/ and val/"
    assert split.train.classes == tuple(SORTED)
    for part, listing in (("train", split.train), ("val", split.validation)):
        for path, label in zip(listing.paths, listing.labels, strict=True):
            wnid, name = path.split("/")
            assert SORTED[label] == wnid
            source = published.train[wnid] if part == "train" else published.val
            data = next(data for path, data in source.items() if path.endswith(name))
            assert (root / part / path).read_bytes() == data
            if part == "val":
                number = int(name.removesuffix(".JPEG").rpartition("_")[2])
                assert WNID_OF[TRUTH[number - 1]] == wnid
    assert len(split.train) == 6
    assert len(split.validation) == 5
    assert {each.path for each in stored} == {path for path in tree(root) if "JPEG" in path}
    assert {(each.width, each.height, each.original_width) for each in stored} == {(32, 24, 32)}


def test_extracted_folders_give_the_same_data_set(tmp_path: Path, published: Published) -> None:
    make(tmp_path, Target(tmp_path / "from_tars"))
    for file in ("train.tar", "val.tar"):
        (tmp_path / file).unlink()
    for wnid, pictures in published.train.items():
        for name, data in pictures.items():
            (tmp_path / "train.tar" / wnid).mkdir(parents=True, exist_ok=True)
            (tmp_path / "train.tar" / wnid / name).write_bytes(data)
    for index, (name, data) in enumerate(published.val.items()):
        # Some flat, as extracted, and some in the folders of their classes.
        number = int(name.removesuffix(".JPEG").rpartition("_")[2])
        folder = tmp_path / "val.tar" / (WNID_OF[TRUTH[number - 1]] if index % 2 else "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    make(tmp_path, Target(tmp_path / "from_folders"))
    first, second = ({p: d for p, d in tree(tmp_path / name).items() if "JPEG" in p}
                     for name in ("from_tars", "from_folders"))  # fmt: skip
    assert first == second


def test_pictures_are_scaled_and_stored_as_jpeg(tmp_path: Path, published: Published) -> None:
    root = tmp_path / "out"
    stored = make(tmp_path, Target(root, Form(size=18, quality=90), threads=2))
    for each in stored:
        assert (each.width, each.height) == (24, 18)
        assert (each.original_width, each.original_height) == (32, 24)
    data = published.train[TENCH][f"{TENCH}_18.JPEG"]
    wanted = resize_shorter_side(decode(data), 18)
    found = (root / "train" / TENCH / f"{TENCH}_18.JPEG").read_bytes()
    with Image.open(io.BytesIO(found)) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (24, 18)
        # Pillow's reader and encoder as the judge: as far off as its own file of quality 90 is.
        own = io.BytesIO()
        Image.fromarray(wanted).save(own, "JPEG", quality=90, subsampling="4:2:0")
        distance = np.abs(np.asarray(picture).astype(int) - wanted).mean()
    own_distance = np.abs(np.asarray(Image.open(own)).astype(int) - wanted).mean()
    assert distance <= 1.02 * own_distance


@pytest.mark.parametrize("size", [24, 30])
def test_no_picture_is_enlarged(tmp_path: Path, published: Published, size: int) -> None:
    stored = make(tmp_path, Target(tmp_path / "out", Form(size=size)))
    assert {(each.width, each.height, each.turn) for each in stored} == {(32, 24, 1)}
    data = published.train[TENCH][f"{TENCH}_18.JPEG"]
    assert (tmp_path / "out" / "train" / TENCH / f"{TENCH}_18.JPEG").read_bytes() == data


@pytest.mark.parametrize("size", [0, 16])
def test_a_scaled_picture_is_turned_upright_and_the_turn_kept(size: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24)).save(buffer, "JPEG", exif=exif)
    data, shape, _ = convert(buffer.getvalue(), Form(size=size))
    assert shape == ((16, 21, 32, 24, 6) if size else (32, 24, 32, 24, 1))
    assert decode(data).shape == ((21, 16, 3) if size else (32, 24, 3))


def odd_pictures() -> dict[str, bytes]:
    """Return pictures as ILSVRC has them: CMYK, a PNG called JPEG, damaged, gray."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
    made = {"CMYK": pixels, "RGB": pixels[..., :3], "L": pixels[..., 0]}
    files = {}
    for mode, array in made.items():
        buffer = io.BytesIO()
        Image.fromarray(array, mode).save(buffer, "PNG" if mode == "RGB" else "JPEG")
        files[mode] = buffer.getvalue()
    return files


@pytest.mark.parametrize("size", [0, 18])
@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_the_known_odd_pictures_are_named(tmp_path: Path, published: Published, size: int) -> None:
    odd = odd_pictures()
    published.train[TENCH] = {
        "n01440764_1.JPEG": odd["CMYK"],
        "n01440764_2.JPEG": odd["RGB"],
        "n01440764_3.JPEG": odd["L"],
        "n01440764_4.JPEG": gzip.compress(jpeg(4)),
        "n01440764_5.JPEG": jpeg(5)[:-200],
        "n01440764_6.JPEG": b"<html>gone</html>",
    }
    published.write(tmp_path)
    stored = make(tmp_path, Target(tmp_path / "out", Form(size=size)))
    remarks = {each.path[-6]: each.remark for each in stored if each.remark}
    assert remarks["1"] == "CMYK"
    assert remarks["2"] == "PNG by its content"
    assert "3" not in remarks
    assert remarks["4"] == "gzipped"
    assert remarks["6"].startswith("not readable, kept as it is: this is an HTML page")
    folder = tmp_path / "out" / "train" / TENCH
    assert (folder / "n01440764_6.JPEG").read_bytes() == b"<html>gone</html>"
    if size:
        assert remarks["5"].startswith("not readable, kept as it is: the JPEG is damaged")
        # What was scaled is RGB JPEG, whatever it was.
        for number, data in ((1, odd["CMYK"]), (2, odd["RGB"]), (3, odd["L"]), (4, jpeg(4))):
            file = folder / f"n01440764_{number}.JPEG"
            assert simplejpeg.decode_jpeg_header(file.read_bytes())[2] == "YCbCr"
            distance = decode(file.read_bytes()).astype(int) - resize_shorter_side(decode(data), 18)
            assert np.abs(distance).mean() < 40  # noise at half the colour's resolution
    else:
        assert (folder / "n01440764_1.JPEG").read_bytes() == odd["CMYK"]
        assert (folder / "n01440764_4.JPEG").read_bytes() == jpeg(4)
    assert (folder / "n01440764_5.JPEG").read_bytes() == jpeg(5)[:-200]


def test_a_header_that_cannot_be_read_is_an_image_error() -> None:
    with pytest.raises(ImageError, match="the JPEG is damaged: "):
        convert(b"\xff\xd8\xff", Form())


def test_patched_pictures_take_the_place_of_those_in_2010(tmp_path: Path) -> None:
    published = Published(2010)
    published.write(tmp_path)
    better = {
        f"patch_images/train/{TENCH}_18.JPEG": jpeg(71),
        "patch_images/val/ILSVRC2010_val_00000003.JPEG": jpeg(72),
        "patch_images/readme.txt": b"",
    }
    (tmp_path / "patch.tar").write_bytes(tar_of(better))
    stored = make(tmp_path, Target(tmp_path / "out"), patch=tmp_path / "patch.tar")
    files = tree(tmp_path / "out")
    assert files[f"train/{TENCH}/{TENCH}_18.JPEG"] == jpeg(71)
    assert files[f"val/{CRANE}/ILSVRC2010_val_00000003.JPEG"] == jpeg(72)
    remarked = [each for each in stored if each.remark]
    assert [each.remark for each in remarked] == ["replaced by patch_images.tar"] * 2
    (tmp_path / "patch.tar").write_bytes(tar_of({"x.JPEG": b""}))
    with pytest.raises(DataError, match=r"x.JPEG is in none of train/, val/ and test/; give"):
        read_replacements(tmp_path / "patch.tar")


def test_files_that_are_no_pictures_are_listed(tmp_path: Path, published: Published) -> None:
    published.val["valprep.sh"] = b"mkdir"
    published.write(tmp_path)
    left_out: list[str] = []
    make(tmp_path, Target(tmp_path / "out"), left_out=left_out)
    assert left_out == [f"{tmp_path}/val.tar: valprep.sh"]


# ---- What is refused ----------------------------------------------------------------------------


def test_a_class_of_another_kit_is_refused(tmp_path: Path, published: Published) -> None:
    published.train["n01440765"] = {}
    published.write(tmp_path)
    message = rf"has the class n01440765, which the .* of 2012 lacks \(did you mean '{TENCH}'\?\)"
    with pytest.raises(DataError, match=message):
        make(tmp_path, Target(tmp_path / "out"))


def test_a_picture_in_another_class_is_refused(tmp_path: Path, published: Published) -> None:
    published.train[TENCH][f"{BIRD}_7.JPEG"] = jpeg(0)
    published.write(tmp_path)
    with pytest.raises(DataError, match=f"{BIRD}_7.JPEG is in the class {TENCH} by its place"):
        make(tmp_path, Target(tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ILSVRC2012_val_00000006.JPEG", "has no line in the ground truth, which has 5; take"),
        ("ILSVRC2012_val_00000000.JPEG", "has no line in the ground truth, which has 5; take"),
        ("ILSVRC2010_val_00000001.JPEG", "is no picture of the part val, as ILSVRC2012_val_"),
        ("ILSVRC2012_test_00000001.JPEG", "is no picture of the part val, as ILSVRC2012_val_"),
        (f"{TENCH}_1.JPEG", "is no picture of the part val"),
        (f"{TENCH}/ILSVRC2012_val_00000002.JPEG", f"shows {CRANE} by the ground truth; give the"),
        ("again/ILSVRC2012_val_00000002.JPEG", r"two pictures would be val/.*00002.JPEG; give a"),
    ],
)
def test_a_validation_picture_that_cannot_be_is_refused(
    tmp_path: Path, published: Published, name: str, message: str
) -> None:
    published.val[name] = jpeg(0)
    published.write(tmp_path)
    with pytest.raises(DataError, match=message):
        make(tmp_path, Target(tmp_path / "out"))


@pytest.mark.parametrize(
    ("size", "quality", "message"),
    [
        (15, 95, "size 15 is not 16 to 4096 pixels; 256 is the paper's"),
        (-1, 95, "size -1 is not"),
        (256, 0, "quality 0 is not 1 to 100; 95 is usual"),
        (256, 101, "quality 101 is not"),
    ],
)
def test_impossible_forms_are_refused(size: int, quality: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Form(size, quality)
