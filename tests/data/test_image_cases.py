"""The 48 bad or strange pictures that a folder may hold, each with the answer it gets.

Refused means an ImageError that names the reason, and at training an entry among the skipped; read
means the pixels of the rule that stands in `alexnet.data.image`. Where the standard allows what a
case calls bad (a table given twice, fill bytes before a marker, the standard Huffman tables left
out, as in motion JPEG), it is read.
"""

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
from PIL import Image

from alexnet.data import loader
from alexnet.data.folder import Listing
from alexnet.data.image import ImageError, decode, decode_file
from alexnet.data.loader import Loader
from tests.data.test_image import (
    JPEG,
    PHOTO,
    PNG,
    PROGRESSIVE,
    chunk,
    encode,
    exif,
    make_socket,
    make_sparse,
    pillow,
    png,
    smooth,
)
from tests.data.test_image_refused import DHT, DQT, RESTARTS, SOF, SOS, frame, patched

Array = npt.NDArray[np.uint8]
Make = bytes | Callable[[Path], object]
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Case:
    """A file and its answer: a pattern that the refusal matches, or the pixels that are read."""

    make: Make
    answer: str | Array
    levels: float = 0
    """Most that the pixels may differ by, in the mean: two builds of a decoder round their ways."""

    def write(self, path: Path) -> None:
        if isinstance(self.make, bytes):
            path.write_bytes(self.make)
        else:
            self.make(path)


def read(data: bytes, *, levels: float = 0) -> Case:
    """Return the case of a file that is read as Pillow reads it."""
    return Case(data, pillow(data).astype(np.uint8), levels)


def inked(*, adobe: bool = True) -> bytes:
    data = encode(Image.fromarray(smooth(48, 64, 4), "CMYK"), "JPEG", {"quality": 95})
    start = data.index(b"\xff\xee")
    return data if adobe else data[:start] + data[start + 16 :]


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    return encode(
        frames[0], kind, {"save_all": True, "append_images": frames[1:], "lossless": True}
    )


def grey_with_alpha() -> bytes:
    return encode(np.array([[[7, 255], [7, 0]]], np.uint8), "PNG")


def tagged(block: bytes) -> bytes:
    return encode(PHOTO, "JPEG", {"quality": 95, "exif": block})


def flipped() -> bytes:
    """Return JPEG with the first flip of bit 4 that its decoder can notice: it has no checksum."""
    for at in range(SOS.stop, len(JPEG)):
        data = patched(JPEG, at, bytes([JPEG[at] ^ 16]))
        try:
            simplejpeg.decode_jpeg(data, strict=True)
        except ValueError:
            return data
    raise AssertionError("no flip is noticed")


def palette() -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    return encode(image, "PNG", {"transparency": 1})


def interlaced() -> bytes:
    """Return one grey picture of 2 x 2 pixels, 1 2 / 3 4, in its three passes."""
    return png(2, 2, bits=8, color=0, rows=b"\0\1\0\2\0\3\4", interlace=1)


DAMAGED = "the JPEG is damaged: "
EARLY = "the JPEG is damaged: it ends before the picture"
MARKERS = [found.start() for found in re.finditer(rb"\xff[\x01-\xfe]", JPEG[: SOS.stop])][1:]
RED = np.full((8, 8, 3), [255, 0, 0], np.uint8)
GREY1 = np.array([[[7] * 3, [255] * 3]], np.uint8)
GREY2 = np.array([[[1] * 3, [2] * 3], [[3] * 3, [4] * 3]], np.uint8)
PLAIN = decode(JPEG)
FTYP = b"\0\0\0\x18ftyp"
TWO = Image.new("RGB", (64, 48), "red")
MPO = encode(PHOTO, "MPO", {"save_all": True, "append_images": [TWO]})
IRREGULAR = "not a regular file but a pipe or a device; give a picture file"
CASES: dict[str, dict[str, Case]] = {
    "I1": {"no byte": Case(b"", "the file is empty")},
    "I2": {"one byte": Case(b"\xff", "this is no known picture .it starts with b'.xff'")},
    "I3": {"SOI only": Case(JPEG[:2], EARLY)},
    "I4": {
        "text": Case(b"Not found\n", "this is no known picture .it starts with b'Not foun"),
        "HTML": Case(b"<!DOCTYPE html><title>404</title>", "this is an HTML page .perhaps a fail"),
    },
    "I5": {"no EOI": Case(JPEG[:-2], DAMAGED + "Premature end of JPEG file")},
    "I6": {f"cut at byte {at}": Case(JPEG[:at], EARLY) for at in MARKERS},
    "I7": {"cut in the scan": Case(JPEG[: len(JPEG) * 3 // 4], DAMAGED + "Premature end")},
    "I8": {"cut in a progressive scan": Case(PROGRESSIVE[: len(PROGRESSIVE) // 2], DAMAGED)},
    "I9": {"cut in EXIF": Case(encode(PHOTO, "JPEG", {"exif": exif(1)})[:30], EARLY)},
    "I10": {
        "SOF lost": Case(JPEG[: SOF.start] + JPEG[SOF.stop :], "no frame header comes before"),
        "DHT lost": Case(JPEG.replace(b"\xff\xc4", b"\xff\xfe"), PLAIN),
        "DHT of a progressive lost": Case(PROGRESSIVE.replace(b"\xff\xc4", b"\xff\xfe"), DAMAGED),
        "DQT lost": Case(JPEG.replace(b"\xff\xdb", b"\xff\xfe"), DAMAGED),
        "SOS lost": Case(JPEG[: SOS.start] + JPEG[SOS.stop :], DAMAGED),
    },
    "I11": {
        "SOF doubled": Case(JPEG[: SOF.stop] + JPEG[SOF] + JPEG[SOF.stop :], DAMAGED),
        "DHT doubled": Case(JPEG[: DHT.stop] + JPEG[DHT] + JPEG[DHT.stop :], PLAIN),
        "DQT doubled": Case(JPEG[: DQT.stop] + JPEG[DQT] + JPEG[DQT.stop :], PLAIN),
        "SOS doubled": Case(JPEG[: SOS.stop] + JPEG[SOS.start :], DAMAGED),
    },
    "I12": {
        "length 1": Case(patched(JPEG, DQT.start + 2, b"\0\1"), EARLY),
        "length too large": Case(patched(JPEG, DHT.start + 2, b"\xff\xff"), EARLY),
        "length too small": Case(patched(JPEG, DQT.start + 2, b"\0\x20"), DAMAGED),
    },
    "I13": {
        "0xFF in the scan": Case(patched(JPEG, SOS.stop + 200, b"\xff" * 60), DAMAGED),
        "fill before a marker": Case(JPEG[: DQT.start] + b"\xff" * 9 + JPEG[DQT.start :], PLAIN),
    },
    "I14": {"restarts lost": Case(re.sub(rb"\xff[\xd0-\xd7]", b"", RESTARTS), DAMAGED)},
    "I15": {"a bit flipped": Case(flipped(), DAMAGED)},
    "I16": {"garbage after EOI": Case(JPEG + b"garbage" * 99, PLAIN)},
    "I17": {
        "0 wide": Case(frame(sides=(48, 0)), "the header says 0 x 48 pixels; there is no picture"),
        "0 high": Case(frame(sides=(0, 64)), "the header says 64 x 0 pixels; there is no picture"),
    },
    "I18": {"1 x 1": Case(encode(PHOTO[:1, :1], "PNG"), PHOTO[:1, :1])},
    "I19": {"1 x 65500": Case(frame(sides=(65500, 1)), "1 x 65500 pixels; the limit is 20000 a")},
    "I20": {"4.3 gigapixels": Case(frame(sides=(65500, 65500)), "65500 x 65500 pixels; the limit")},
    "I21": {"12 bits": Case(frame(bits=12), "12-bit JPEG is not read; save it as 8-")},
    "I22": {"arithmetic": Case(frame(0xC9), "arithmetic-coded JPEG is not read; save it as 8-bit")},
    "I23": {"lossless": Case(frame(0xC3), "lossless JPEG is not read; save it as 8-bit baseline")},
    "I24": {"2 components": Case(patched(JPEG, SOF.start + 9, b"\2"), "2-component JPEG is not")},
    "I25": {"hierarchical": Case(frame(0xC5), "hierarchical JPEG is not read; save it as 8-bit")},
    "I26": {"CMYK without Adobe's mark": read(inked(adobe=False), levels=1)},
    "I27": {
        "YCCK": read(simplejpeg.encode_jpeg(smooth(48, 64, 4), 95, "CMYK"), levels=1),
    },
    "I28": {"CMYK inverted as by Adobe": read(inked(), levels=1)},
    "I29": {
        "CMYK with a profile": read(
            encode(Image.fromarray(smooth(48, 64, 4), "CMYK"), "JPEG", {"icc_profile": bytes(999)}),
            levels=1,
        )
    },
    "I30": {"grey": read(encode(PHOTO[..., 0], "JPEG"), levels=1)},
    "I31": {"grey with alpha": Case(grey_with_alpha(), GREY1)},
    "I32": {
        f"orientation {turn}": Case(tagged(exif(turn)), turned)
        for turn, turned in (
            (1, PLAIN), (2, PLAIN[:, ::-1]), (3, PLAIN[::-1, ::-1]), (4, PLAIN[::-1]),
            (5, PLAIN.transpose(1, 0, 2)), (6, np.rot90(PLAIN, -1)),
            (7, np.rot90(PLAIN, 2).transpose(1, 0, 2)), (8, np.rot90(PLAIN)),
        )
    },
    "I33": {
        "EXIF with 65,535 entries": Case(
            tagged(exif(0, count=65_535)), PLAIN
        ),
        "EXIF beyond its end": Case(
            tagged(exif(6, at=2**32 - 1)), PLAIN
        ),
    },
    "I34": {
        "EXIF that points at itself": Case(
            tagged(exif(1)[:-4] + struct.pack("<I", 8)), PLAIN
        )
    },
    "I35": {
        "255 chunks of profile": Case(
            encode(PHOTO, "JPEG", {"quality": 95, "icc_profile": bytes(65519 * 255)}), PLAIN
        )
    },
    "I36": {"PNG": Case(PNG, PHOTO)},
    "I37": {"GIF": read(encode(PHOTO, "GIF"))},
    "I38": {"WebP": read(encode(PHOTO, "WebP"))},
    "I39": {"BMP": Case(encode(PHOTO, "BMP"), PHOTO)},
    "I40": {
        "TIFF": Case(encode(PHOTO, "TIFF"), "this is a TIFF picture; JPEG, PNG, BMP, WebP and GIF"),
        "HEIC": Case(FTYP + b"heic" + bytes(9), "this is a HEIC picture; JPEG, PNG"),
        "AVIF": Case(FTYP + b"avif" + bytes(9), "this is an AVIF picture; JPEG, PNG"),
        "SVG": Case(b"<?xml version='1.0'?>\n<svg/>", "this is an SVG drawing; JPEG, PNG"),
    },
    "I41": {
        "PDF": Case(b"%PDF-1.7\n", "this is a PDF document; JPEG, PNG"),
        "EPS": Case(b"%!PS-Adobe-3.0 EPSF-3.0", "this is an EPS drawing; JPEG, PNG"),
        "FPX": Case(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an OLE file .perhaps FlashPix"),
        # phones write their photos so, with a preview or a map of light behind the picture
        "MPO, of which the first is taken": Case(MPO, decode(encode(PHOTO, "JPEG"))),
    },
    "I42": {
        "16-bit PNG": Case(
            png(2, 1, bits=16, color=0, rows=b"\0\x12\xff\xab\0"),
            np.array([[[0x12] * 3, [0xAB] * 3]], np.uint8),
        )
    },
    "I43": {"palette": Case(palette(), np.array([[[10, 20, 30], [255] * 3]], np.uint8))},
    "I44": {"interlaced": Case(interlaced(), GREY2)},
    "I45": {
        "zlib bomb": Case(
            lambda path: path.write_bytes(png(2, 1, bits=8, color=0, rows=bytes(80_000_000))),
            "unpacks to more than the 3 bytes of a picture of 2 x 1 pixels; save it anew",
        ),
        "bad sum": Case(patched(PNG, 60, bytes([PNG[60] ^ 1])), "the checksum of its chunk b'IDAT"),
        "100 MB of text": Case(
            lambda path: path.write_bytes(PNG[:33] + chunk(b"tEXt", bytes(99_000_000)) + PNG[33:]),
            "a chunk b'tEXt' of 99000000 bytes; remove it",
        ),
    },
    "I46": {kind: Case(animated(kind), RED) for kind in ("GIF", "WebP", "PNG")},
    "I47": {
        "10 GB of holes": Case(make_sparse, "10000000000 bytes are too many; the limit is 100000")
    },
    "I48": {
        "pipe": Case(os.mkfifo, IRREGULAR),
        "folder": Case(Path.mkdir, "cannot be read: Is a directory"),
        "socket": Case(make_socket, "cannot be read: No such device or address"),
        "device": Case(lambda path: path.symlink_to("/dev/zero"), IRREGULAR),
        "dangling link": Case(lambda path: path.symlink_to("nowhere"), "cannot be read: No such"),
        "link loop": Case(lambda path: path.symlink_to(path), "cannot be read: Too many levels of"),
    },
}  # fmt: skip
ALL = {
    f"{name} {variant}": case for name, cases in CASES.items() for variant, case in cases.items()
}
REFUSED = {name: case for name, case in ALL.items() if isinstance(case.answer, str)}


def test_there_are_48_cases() -> None:
    assert list(CASES) == [f"I{number}" for number in range(1, 49)]


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_a_picture_gets_its_answer(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    case.write(path)
    if isinstance(case.answer, str):
        with pytest.raises(ImageError, match=case.answer):
            decode_file(path)
    else:
        picture = decode_file(path)
        assert picture.shape == case.answer.shape
        assert np.abs(picture.astype(int) - case.answer).mean() <= case.levels


def test_training_enters_each_refused_picture_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "MOST_BAD_SHARE", 1.0)
    names = [f"{number}.jpg" for number in range(len(REFUSED))]
    for name, case in zip(names, REFUSED.values(), strict=True):
        case.write(tmp_path / name)
    (tmp_path / "good.jpg").write_bytes(JPEG)
    paths = (*names, "good.jpg")
    listing = Listing(tmp_path, ("one",), paths, (0,) * len(paths))
    reader = Loader(listing, batch_size=16, picture_size=32, workers=2)
    used = [index for batch in reader.epoch(0, seed=None) for index in batch.indices.tolist()]
    assert used == [len(names)]
    assert sorted(reader.bad) == sorted(names)
    for name, case in zip(names, REFUSED.values(), strict=True):
        assert re.search(str(case.answer), reader.bad[name])


def memory(line: str) -> int:
    """Return a figure of this process in bytes: VmRSS now, VmHWM the most since it was reset."""
    found = re.search(rf"^{line}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's /proc")
def test_refusing_a_picture_takes_less_than_256_mebibytes(tmp_path: Path) -> None:
    for number, case in enumerate(REFUSED.values()):
        path = tmp_path / f"{number}.jpg"
        case.write(path)
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        with pytest.raises(ImageError):
            decode_file(path)
        assert memory("VmHWM") - before < 256 * MEBIBYTE


# ---- I47 and I48, where the case is not the file alone ------------------------------------------


def test_a_file_that_is_written_again_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    look = os.fstat
    looks: list[int] = []

    def look_and_write(handle: int) -> os.stat_result:
        status = look(handle)
        if not looks:
            path.write_bytes(PNG[:-20] + bytes(20))
            os.utime(path, (1, 1))
        looks.append(handle)
        return status

    monkeypatch.setattr(os, "fstat", look_and_write)
    with pytest.raises(ImageError, match="changed while it was read: it was written again"):
        decode_file(path)


def test_a_file_that_another_takes_the_place_of_is_read_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(PNG)
    other.write_bytes(encode(PHOTO[::-1], "PNG"))
    look = os.fstat

    def look_and_replace(handle: int) -> os.stat_result:
        if other.exists():
            other.rename(path)
        return look(handle)

    monkeypatch.setattr(os, "fstat", look_and_replace)
    assert np.array_equal(decode_file(path), PHOTO)
    assert np.array_equal(decode_file(path), PHOTO[::-1])


def test_a_link_out_of_the_folder_is_refused_where_it_may_not_lead_out(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside.png"
    root.mkdir()
    outside.write_bytes(PNG)
    (root / "in.png").write_bytes(PNG)
    (root / "out.png").symlink_to(outside)
    (root / "link.png").symlink_to("in.png")
    (root / "loop.png").symlink_to("loop.png")
    for path in (root / "out.png", root / ".." / "outside.png"):
        with pytest.raises(ImageError, match=r"a link leads out of .*root; put the picture its"):
            decode_file(path, within=root)
    for name in ("in.png", "link.png"):
        assert np.array_equal(decode_file(root / name, within=root), PHOTO)
    with pytest.raises(ImageError, match="cannot be read: Too many levels"):
        decode_file(root / "loop.png", within=root)
    assert np.array_equal(decode_file(root / "out.png"), PHOTO)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # who may read everything
            os.seteuid(65_534)
        with pytest.raises(ImageError, match="cannot be read: Permission denied"):
            decode_file(path)
    finally:
        os.seteuid(user)
