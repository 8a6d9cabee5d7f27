import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.caffe.convert_imageset import Converted, convert_imageset, encode_picture
from alexnet.caffe.imageset_options import Options
from alexnet.data.databases import DatabaseError, open_database
from alexnet.text.datum import decode_datum
from alexnet.text.message import TextError
from alexnet.text.picture_files import decode_picture
from tests.golden.source_cases import CONVERSIONS, FOLDER

OPTIONS = {
    "raw": Options(),
    "gray": Options(gray=True),
    "resized": Options(resize_width=7, resize_height=9),
    "resized_gray": Options(gray=True, resize_width=20, resize_height=5),
    "encoded": Options(encoded=True),
    "encoded_gray": Options(encoded=True, gray=True),
    "jpeg": Options(encode_type="jpg"),
}
PICTURE = np.random.default_rng(8).integers(0, 256, (9, 11, 3), dtype=np.uint8)
CAFFE = os.environ.get("ALEXNET_CAFFE", "")


def convert(
    database: Path,
    options: Options,
    *,
    root: Path = FOLDER / "pictures",
    listed: Path = FOLDER / "all.txt",
    seed: int = 0,
) -> Converted:
    random = np.random.default_rng(seed)
    return convert_imageset(f"{root}/", listed, database, options=options, random=random)


@pytest.mark.parametrize("case", OPTIONS)
def test_keys_and_values_are_caffes_bytes(tmp_path: Path, case: str) -> None:
    done = convert(tmp_path / "db", OPTIONS[case])
    with np.load(FOLDER / "conversions.npz") as golden:
        wanted = {
            key.split("/", 1)[1].encode(): golden[key].tobytes()
            for key in golden
            if key.startswith(f"{case}/")
        }
    assert dict(open_database(tmp_path / "db")) == wanted
    assert done == Converted(len(wanted), ())


def test_leveldb_gets_the_same_keys_and_values(tmp_path: Path) -> None:
    convert(tmp_path / "lmdb", Options())
    convert(tmp_path / "leveldb", Options(backend="leveldb"))
    assert list(open_database(tmp_path / "leveldb", "LEVELDB")) == list(
        open_database(tmp_path / "lmdb", "LMDB")
    )


@pytest.mark.skipif(not CAFFE, reason="ALEXNET_CAFFE names no program")
@pytest.mark.parametrize("case", CONVERSIONS)
def test_caffe_itself_writes_the_same(tmp_path: Path, case: str) -> None:
    program = str(Path(CAFFE).with_name("convert_imageset"))
    words = [*CONVERSIONS[case], f"{FOLDER}/pictures/", f"{FOLDER}/all.txt", f"{tmp_path}/caffe"]
    subprocess.run([program, *words], check=True, capture_output=True)
    convert(tmp_path / "ours", OPTIONS[case])
    assert list(open_database(tmp_path / "ours")) == list(open_database(tmp_path / "caffe"))


def folder(tmp_path: Path, names: list[str]) -> Path:
    """Write a picture of each name, and a list of them numbered from 0."""
    for name in names:
        Image.fromarray(PICTURE).save(tmp_path / name)
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{name} {number}\n" for number, name in enumerate(names)))
    return path


def test_shuffling_gives_the_new_order_in_the_keys(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(30)]
    listed = folder(tmp_path, names)
    orders = []
    for number, seed in enumerate((1, 1, 2)):
        database = tmp_path / f"db{number}"
        convert(database, Options(shuffle=True), root=tmp_path, listed=listed, seed=seed)
        found = list(open_database(database))
        assert [int(key[:8]) for key, _ in found] == list(range(30))
        for key, value in found:
            assert decode_datum(value)[1] == int(key[9:].removesuffix(b".png"))
        orders.append([key[9:].decode() for key, _ in found])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == sorted(names)


def test_more_pictures_than_are_read_at_once_keep_their_order(tmp_path: Path) -> None:
    folder(tmp_path, ["a.png"])
    listed = tmp_path / "many.txt"
    listed.write_text("".join(f"a.png {number}\n" for number in range(1100)))
    assert convert(tmp_path / "db", Options(), root=tmp_path, listed=listed).written == 1100
    labels = [decode_datum(value)[1] for _, value in open_database(tmp_path / "db")]
    assert labels == list(range(1100))


def test_pictures_that_cannot_be_read_are_left_out_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = folder(tmp_path, ["a.png", "b.png", "c.png", "d.png"])
    (tmp_path / "b.png").unlink()
    (tmp_path / "c.png").write_bytes(b"no picture")
    done = convert(tmp_path / "db", Options(), root=tmp_path, listed=listed)
    keys = [key for key, _ in open_database(tmp_path / "db")]
    assert keys == [b"00000000_a.png", b"00000003_d.png"]
    assert done.written == 2
    assert "b.png cannot be read: No such file or directory" in done.skipped[0]
    assert "c.png: this is no known picture" in done.skipped[1]
    assert [f"Left out: {why}" for why in done.skipped] == [
        record.getMessage() for record in caplog.records if record.levelname == "ERROR"
    ]


def test_no_picture_at_all_makes_no_database(tmp_path: Path) -> None:
    listed = folder(tmp_path, ["a.png"])
    (tmp_path / "a.png").unlink()
    with pytest.raises(TextError, match=r"none of the 1 pictures could be read; .*a.png cannot"):
        convert(tmp_path / "db", Options(), root=tmp_path, listed=listed)
    assert not list(tmp_path.glob("db*"))


@pytest.mark.parametrize("options", [Options(check_size=True), Options(True, check_size=True)])
def test_a_picture_of_another_size_stops_the_run_when_asked(
    tmp_path: Path, options: Options
) -> None:
    listed = folder(tmp_path, ["a.png", "b.png"])
    assert convert(tmp_path / "equal", options, root=tmp_path, listed=listed).written == 2
    Image.fromarray(PICTURE.transpose(1, 0, 2)).save(tmp_path / "b.png")
    with pytest.raises(TextError, match=r"b.png is \d x 11 x 9 .* the first picture \d x 9 x 11"):
        convert(tmp_path / "db", options, root=tmp_path, listed=listed)
    assert not list(tmp_path.glob("db*"))


def test_sizes_of_encoded_pictures_are_checked_too(tmp_path: Path) -> None:
    listed = folder(tmp_path, ["a.png", "b.png"])
    options = Options(check_size=True, encoded=True)
    assert convert(tmp_path / "db", options, root=tmp_path, listed=listed).written == 2


def test_a_database_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with pytest.raises(DatabaseError, match=r"db exists; a database is made anew"):
        convert(tmp_path / "db", Options())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (Options(backend="lmbd"), r"backend 'lmbd' is not known"),
        (Options(encode_type="pgn"), r"encoding 'pgn' is not known \(did you mean 'png'\?\)"),
        (Options(encode_type="tiff"), r"encoding 'tiff' is not known; one of png, jpg"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_made(
    tmp_path: Path, options: Options, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        convert(tmp_path / "db", options)
    assert not list(tmp_path.iterdir())


def test_a_bad_list_is_refused_by_its_line(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.png 0\nb.png\n")
    with pytest.raises(TextError, match=r"list.txt:2: 'b.png' is not a path, a blank and a whole"):
        convert(tmp_path / "db", Options(), listed=listed)


@pytest.mark.parametrize("encoding", ["png", "bmp", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_encodings_without_loss_give_the_pixels_back(encoding: str, channels: int) -> None:
    picture = PICTURE[:, :, :channels]
    data = encode_picture(picture, encoding)
    np.testing.assert_array_equal(decode_picture(data, color=channels == 3), picture)


def test_a_file_is_stored_as_it_is_only_if_its_name_says_its_encoding(tmp_path: Path) -> None:
    listed = folder(tmp_path, ["a.PNG", "b.jpeg", "c.bmp"])
    convert(tmp_path / "db", Options(encode_type="jpg"), root=tmp_path, listed=listed)
    values = dict(open_database(tmp_path / "db"))
    assert (tmp_path / "b.jpeg").read_bytes() in values[b"00000001_b.jpeg"]
    for name in ("00000000_a.PNG", "00000002_c.bmp"):
        stream = io.BytesIO()
        Image.fromarray(PICTURE).save(stream, "JPEG", quality=95, subsampling="4:2:0")
        assert stream.getvalue() in values[name.encode()]
