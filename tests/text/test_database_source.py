import threading
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.databases import create_database
from alexnet.text import wire
from alexnet.text.database_source import DatabaseSource, DatumReader
from alexnet.text.datum import make_datum, make_encoded_datum
from alexnet.text.message import Message, TextError
from alexnet.text.transform import Picture
from tests.golden.source_cases import FOLDER
from tests.text.one_source import build, layer, take

RANDOM = np.random.default_rng(9)


def database(path: Path, values: list[bytes]) -> Path:
    with create_database(path, "LMDB") as writer:
        for number, value in enumerate(values):
            writer.put(f"{number:08d}".encode(), value)
    return path


def pixels(number: int, *shape: int) -> bytes:
    return make_datum(np.full(shape or (1, 2, 2), number, np.uint8), number)


def text(path: Path, fields: str = "batch_size: 3", more: str = "", tops: int = 2) -> str:
    return layer("Data", f'data_param {{ source: "{path}" backend: LMDB {fields} }} {more}', tops)


def labels(source: DatabaseSource, batches: int) -> list[float]:
    found: list[float] = []
    for _ in range(batches):
        data, label = take(source)
        np.testing.assert_array_equal(data[:, 0, 0, 0], label)
        found += label.tolist()
    return found


def made(text: str) -> DatabaseSource:
    source = build(text, "TRAIN")
    assert isinstance(source, DatabaseSource)
    return source


def test_batches_follow_the_keys_and_begin_again_after_the_last(tmp_path: Path) -> None:
    path = database(tmp_path / "db", [pixels(n) for n in range(5)])
    source = made(text(path))
    assert source.shapes == ((3, 1, 2, 2), (3,))
    assert labels(source, 4) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_one_top_gets_pictures_alone(tmp_path: Path) -> None:
    source = made(text(database(tmp_path / "db", [pixels(7)]), tops=1))
    (data,) = take(source)
    np.testing.assert_array_equal(data, np.full((3, 1, 2, 2), 7, np.float32))
    assert source.shapes == ((3, 1, 2, 2),)


def test_some_first_pictures_are_left_out_at_random(tmp_path: Path) -> None:
    path = database(tmp_path / "db", [pixels(n) for n in range(6)])
    starts = set()
    for seed in range(40):
        source = made(text(path, "batch_size: 6 rand_skip: 3"))
        source.seed(seed)
        found = labels(source, 1)
        starts.add(found[0])
        assert found == [(found[0] + n) % 6 for n in range(6)]
        source.close()
    assert starts == {0, 1, 2}


def test_one_seed_gives_the_same_crops(tmp_path: Path) -> None:
    value = make_datum(RANDOM.integers(0, 256, (3, 9, 9), dtype=np.uint8), 1)
    path = database(tmp_path / "db", [value])
    more = "transform_param { crop_size: 4 mirror: true }"
    batches = []
    for seed in (3, 3, 4):
        source = made(text(path, "batch_size: 20", more))
        source.seed(seed)
        batches.append(take(source)[0].numpy())
    np.testing.assert_array_equal(batches[0], batches[1])
    assert (batches[0] != batches[2]).any()


def test_a_closed_source_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    source = made(text(database(tmp_path / "db", [pixels(7)])))
    take(source)
    source.close()
    assert set(threading.enumerate()) <= before


def test_the_quick_way_reads_what_the_slow_way_reads() -> None:
    reader = DatumReader("db")
    pictures = [RANDOM.integers(0, 256, (3, 4, 5), dtype=np.uint8) for _ in range(6)]
    values = [make_datum(p, 300 * n - 2) for n, p in enumerate(pictures)]
    small = RANDOM.integers(0, 256, (1, 4, 5), dtype=np.uint8)
    floats = RANDOM.standard_normal((3, 4, 5)).astype(np.float32)
    others = [make_datum(small, 1), make_datum(floats, 2)]
    wanted: list[Picture] = [*pictures, small, floats]
    for _ in range(3):
        for number, (value, picture) in enumerate(zip([*values, *others], wanted, strict=True)):
            found, label = reader.read(b"key", value)
            np.testing.assert_array_equal(found, picture)
            assert label == [*(300 * n - 2 for n in range(6)), 1, 2][number]
            assert found.dtype == picture.dtype


def test_fields_in_another_order_are_read_too() -> None:
    picture = RANDOM.integers(0, 256, (1, 4, 5), dtype=np.uint8)
    fields = {"channels": 1, "height": 4, "width": 5}
    parts = [wire.encode(Message("Datum", {name: v})) for name, v in fields.items()]
    data = wire.encode(Message("Datum", {"data": picture.tobytes(), "label": 9}))
    reader = DatumReader("db")
    for _ in range(2):
        found, label = reader.read(b"key", b"".join([data, *reversed(parts)]))
        np.testing.assert_array_equal(found, picture)
        assert label == 9


def test_a_later_field_has_the_last_word_behind_equal_pixels() -> None:
    picture = RANDOM.integers(0, 256, (2, 3, 5), dtype=np.uint8)
    value = make_datum(picture, 4)
    turned = value + wire.encode(Message("Datum", {"height": 5, "width": 3}))
    reader = DatumReader("db")
    for _ in range(2):
        assert reader.read(b"key", value)[0].shape == (2, 3, 5)
        assert reader.read(b"key", turned)[0].shape == (2, 5, 3)


def test_encoded_pictures_keep_their_channels_unless_they_are_forced() -> None:
    data = (FOLDER / "pictures" / "gray.png").read_bytes()
    value = make_encoded_datum(data, 6)
    assert DatumReader("db").read(b"key", value)[0].shape == (1, 13, 9)
    picture, label = DatumReader("db", color=True).read(b"key", value)
    assert picture.shape == (3, 13, 9)
    assert label == 6


def test_a_damaged_datum_is_refused_by_its_key() -> None:
    with pytest.raises(TextError, match=r"db: '0007'"):
        DatumReader("db").read(b"0007", b"\xff\xff\xff")
    value = make_encoded_datum(b"no picture", 1)
    with pytest.raises(TextError, match=r"db: '0007': this is no known picture"):
        DatumReader("db").read(b"0007", value)


@pytest.mark.parametrize(
    ("fields", "more", "why"),
    [
        ("", "", r"layer 'it': data_param has no positive batch_size"),
        (
            "batch_size: 1",
            "transform_param { force_color: true force_gray: true }",
            r"force_color and force_gray are both set",
        ),
        (
            "batch_size: 1",
            "transform_param { crop_size: 3 }",
            r"layer 'it': .*00000000.* has 2 x 2 pixels; crop_size 3 does not fit",
        ),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, fields: str, more: str, why: str) -> None:
    path = database(tmp_path / "db", [pixels(1)])
    with pytest.raises(TextError, match=why):
        build(text(path, fields, more))


def test_a_missing_database_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    database(tmp_path / "train_lmdb", [pixels(1)])
    with pytest.raises(TextError, match=r"layer 'it': source: .*does not exist.*'train_lmdb'"):
        build(text(tmp_path / "trian_lmdb"))
    with pytest.raises(TextError, match=r"layer 'it': data_param has no source"):
        build(layer("Data", "data_param { batch_size: 1 backend: LMDB }"))


def test_the_wrong_backend_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "db", [pixels(1)])
    with pytest.raises(TextError, match=r"layer 'it': source: .* is a LMDB database, not LEVELDB"):
        build(layer("Data", f'data_param {{ source: "{path}" batch_size: 1 }}'))


def test_an_empty_database_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "db", [])
    with pytest.raises(TextError, match=r"layer 'it': source: .* is an empty database"):
        build(text(path))


def test_colour_that_is_forced_on_raw_pictures_is_a_warning(tmp_path: Path) -> None:
    path = database(tmp_path / "db", [pixels(1)])
    with pytest.warns(UserWarning, match=r"layer 'it': force_color and force_gray are for encoded"):
        build(text(path, more="transform_param { force_gray: true }"))


def test_a_picture_of_another_size_ends_the_run_by_its_key(tmp_path: Path) -> None:
    path = database(tmp_path / "db", [pixels(1), pixels(2, 1, 3, 2)])
    source = made(text(path))
    with pytest.raises(TextError, match=r"layer 'it': .*00000001.* is 1 x 3 x 2 .* 1 x 2 x 2"):
        take(source)
