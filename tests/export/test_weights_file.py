"""Files of tensors by name: round trips, damaged files, and files that ask for more."""

import io
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from alexnet.export.weights_file import load_state_dict_file, save_state_dict_file


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2).half())


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    equal = [torch.equal(found[key], expected[key]) for key in expected]
    return all(equal) and list(found) == list(expected)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def repacked(
    path: Path, change: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED
) -> None:
    """Write torch's archive once more with other content in some of its files."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {f"{next(iter(content)).partition('/')[0]}/{name}": b for name, b in change.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def described(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("/data.pkl")))


# ---- What is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    state = small_net().state_dict()
    file = tmp_path / f"weights{suffix}"
    save_state_dict_file(file, state)
    found = load_state_dict_file(file)
    assert same({key: found[key] for key in state}, state)


def test_a_state_dict_as_torch_saves_it_is_read(path: Path) -> None:
    net = small_net()
    torch.save(net.state_dict(), path)
    assert same(load_state_dict_file(path), net.state_dict())


def test_parameters_and_views_are_read_as_plain_tensors(path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    torch.save({"a": nn.Parameter(whole.clone()), "b": whole.T, "c": whole[1:]}, path)
    found = load_state_dict_file(path)
    assert same(found, {"a": whole, "b": whole.T, "c": whole[1:]})
    assert not found["a"].requires_grad


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_the_weights_in_a_programs_checkpoint_are_found(path: Path, key: str) -> None:
    state = {f"module.{name}": tensor for name, tensor in small_net().state_dict().items()}
    torch.save({"epoch": 3, key: OrderedDict(state), "optimizer": {"state": [1, 2.5]}}, path)
    assert same(load_state_dict_file(path), small_net().state_dict())


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    state = small_net().state_dict()
    save_file(state, tmp_path / "weights.pth")
    assert set(load_state_dict_file(tmp_path / "weights.pth")) == set(state)


# ---- What is refused ----------------------------------------------------------------------------


def test_torchs_format_before_1_6_is_refused_with_the_way_out(path: Path) -> None:
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"neither a zip archive nor .safetensors") as caught:
        load_state_dict_file(path)
    assert str(caught.value).endswith(
        "if torch before 1.6 wrote it, save it again with today's torch.save, or as .safetensors"
    )


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_other_files_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"holds no tensors; give a .pth, .pt or .safetensors"):
        load_state_dict_file(path)


def test_a_missing_file_is_the_systems_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_state_dict_file(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    file = tmp_path / f"weights{suffix}"
    save_state_dict_file(file, small_net().state_dict())
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"weights\.\w+ is damaged: .*; use another copy"):
        load_state_dict_file(file)


def test_a_compressed_archive_is_refused(path: Path) -> None:
    torch.save({"a": torch.zeros(10**6)}, path)
    repacked(path, {}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**5  # four megabytes would come out of it
    with pytest.raises(ValueError, match=r"weights/data.pkl is compressed; save it again"):
        load_state_dict_file(path)


def test_entries_that_share_bytes_are_refused(path: Path) -> None:
    """Two entries of the directory may point at the same megabyte of the file."""
    torch.save({"a": torch.zeros(10**5)}, path)
    repacked(path, {"data/1": bytes(4 * 10**5)})
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        target = next(e for e in archive.infolist() if e.filename.endswith("/data/0"))
        other = next(e for e in archive.infolist() if e.filename.endswith("/data/1"))
    start = content.rindex(b"PK\1\2", 0, content.rindex(other.filename.encode()))
    content[start + 42 : start + 46] = struct.pack("<I", target.header_offset)
    gone = slice(other.header_offset, other.header_offset + 30 + len(other.filename) + 4 * 10**5)
    shift = gone.stop - gone.start
    end = content.rindex(b"PK\5\6")
    directory = struct.unpack("<I", content[end + 16 : end + 20])[0]
    content[end + 16 : end + 20] = struct.pack("<I", directory - shift)
    del content[gone]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its parts exceed the whole; use another"):
        load_state_dict_file(path)


def test_a_name_that_stands_twice_is_refused(path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, path)
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("weights/data.pkl", b"another description")
    with pytest.raises(ValueError, match=r"is damaged: \S+/data.pkl stands in it twice; use"):
        load_state_dict_file(path)


@pytest.mark.parametrize("named", [True, False])
def test_an_archive_that_is_none_of_torchs_is_refused(path: Path, named: bool) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        if named:
            archive.writestr("readme.txt", "nothing here")
    with pytest.raises(ValueError, match=r"is an archive without one small data.pkl; save it"):
        load_state_dict_file(path)


@pytest.mark.parametrize(
    ("description", "called"),
    [
        (b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.", "posix system"),
        (b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\0\0\0\0\0\x40\x85R.", "__builtin__ bytearray"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.", "STACK_GLOBAL"),
        (b"\x80\x02(X\x04\0\0\0trueiposix\nsystem\n.", "posix system"),
    ],
)
def test_a_description_that_calls_for_more_is_refused(
    path: Path, description: bytes, called: str
) -> None:
    torch.save({"a": torch.zeros(3)}, path)
    repacked(path, {"data.pkl": description})
    with pytest.raises(ValueError, match="which no dictionary of tensors needs") as caught:
        load_state_dict_file(path)
    assert f"calls {called!r}, which" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x06tq\x07QK\x00K\x02K\x03", b"K\xc8tq\x07QK\x00K\x02K\x64"),  # more than is stored
        (b"K\x00K\x02K\x03\x86", b"K\x00K\x02K\x64\x86"),  # a shape past the end
        (b"q\x00X", b"q\x00\xff"),  # an operation that does not exist
        (b"X\x01\0\0\0a", b"X\x01\0\0\xffa"),  # a string of four thousand million letters
    ],
)
def test_a_damaged_description_is_refused(path: Path, old: bytes, new: bytes) -> None:
    torch.save({"a": torch.arange(6.0).reshape(2, 3)}, path)
    description = described(path)
    assert old in description
    repacked(path, {"data.pkl": description.replace(old, new)})
    with pytest.raises(ValueError, match=r"weights.pth is damaged: .*; use another copy"):
        load_state_dict_file(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([torch.ones(2)], r"holds no tensors by name; save net.state_dict\(\)"),
        ({}, r"holds no tensors by name; save net.state_dict\(\)"),
        ({"a": torch.ones(2), "epoch": 3}, r"'epoch' is int, not a tensor; save net.state_dict"),
        ({3: torch.ones(2)}, "3 is no name of a tensor; save net"),
    ],
)
def test_content_that_is_no_state_dict_is_refused(path: Path, content: object, why: str) -> None:
    torch.save(content, path)
    with pytest.raises(ValueError, match=why):
        load_state_dict_file(path)


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in '.bin'; use .pth, .pt or .safetensors"):
        save_state_dict_file(tmp_path / "weights.bin", {"a": torch.ones(2)})
