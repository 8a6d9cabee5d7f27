"""The store: what is read back, and that no damaged byte is."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from alexnet import store
from alexnet.store import MANIFEST, StoreError


def small_groups() -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weights": {
            "conv1.weight": torch.randn(4, 3, 2, 2, generator=generator),
            "conv1.bias": torch.randn(4, generator=generator),
        },
        "velocities": {"conv1.weight": torch.randn(40, generator=generator)},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store.write(tmp_path / "store", {"kind": "model", "classes": ["a", "b"]}, small_groups())
    return tmp_path / "store"


def tensor_file(folder: Path, group: str = "weights") -> Path:
    return next(folder.glob(f"{group}-*.safetensors"))


def header_bytes(path: Path) -> int:
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def flip(path: Path, position: int, bits: int = 1) -> None:
    """Change one byte where it lies."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ bits]))


def same(first: Tensor, second: Tensor) -> bool:
    """Whether dtype, shape and every bit agree."""
    bits = [t.contiguous().reshape(-1).view(torch.uint8).numpy() for t in (first, second)]
    return (
        first.dtype == second.dtype
        and first.shape == second.shape
        and np.array_equal(bits[0], bits[1])
    )


def test_content_and_tensors_come_back_as_they_were(folder: Path) -> None:
    content, groups = store.read(folder)
    assert content["kind"] == "model"
    assert content["classes"] == ["a", "b"]
    for group, tensors in small_groups().items():
        assert sorted(groups[group]) == sorted(tensors)
        assert all(same(groups[group][name], tensor) for name, tensor in tensors.items())


UNUSUAL = {
    "bfloat16": torch.tensor([1.5, -2.25, float("nan"), float("inf")], dtype=torch.bfloat16),
    "float16": torch.tensor([[6e-8, 65504.0]], dtype=torch.float16),
    "float64": torch.tensor([1 / 3, 5e-324], dtype=torch.float64),
    "int64": torch.tensor([-(2**63), 2**63 - 1]),
    "uint8": torch.arange(256, dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "empty": torch.empty(0, 3),
    "scalar": torch.tensor(7.25),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "strided": torch.arange(20.0)[::3],
    "expanded": torch.tensor([2.5]).expand(4),
    "channels last": torch.arange(48.0).reshape(1, 3, 4, 4).to(memory_format=torch.channels_last),
    "needs grad": torch.ones(2, requires_grad=True),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_every_kind_of_tensor_comes_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    tensor = UNUSUAL[name]
    store.write(tmp_path, {}, {"group": {"x": tensor}})
    assert same(store.read(tmp_path)[1]["group"]["x"], tensor.detach())


def refused(folder: Path, *, naming: str = "damaged") -> None:
    with pytest.raises(StoreError, match=naming):
        store.read(folder)


def test_every_flipped_byte_of_the_manifest_is_noticed(folder: Path) -> None:
    path = folder / MANIFEST
    for position in range(path.stat().st_size):
        for bits in (1, 0x20, 0x80):
            flip(path, position, bits)
            refused(folder)
            flip(path, position, bits)
    store.read(folder)


def test_every_flipped_byte_of_a_header_is_noticed(folder: Path) -> None:
    path = tensor_file(folder)
    for position in range(header_bytes(path)):
        for bits in (1, 0x80):
            flip(path, position, bits)
            refused(folder)
            flip(path, position, bits)
    store.read(folder)


def test_every_flipped_byte_of_the_tensors_is_noticed_and_the_tensor_named(folder: Path) -> None:
    path = tensor_file(folder)
    data, size = header_bytes(path), path.stat().st_size
    assert size - data == 4 * (4 * 3 * 2 * 2 + 4)
    header = json.loads(path.read_bytes()[8:data])
    for name in ("conv1.weight", "conv1.bias"):
        begin, end = header[name]["data_offsets"]
        for position in range(data + begin, data + end):
            flip(path, position, 1 << position % 8)
            refused(folder, naming=f"tensor '{name}' does not match; use another copy")
            flip(path, position, 1 << position % 8)
    store.read(folder)


@pytest.mark.parametrize("part", [MANIFEST, "weights", "velocities"])
def test_a_file_cut_anywhere_is_refused(folder: Path, part: str) -> None:
    path = folder / part if part == MANIFEST else tensor_file(folder, part)
    whole = path.read_bytes()
    for sixty_fourth in range(64):
        path.write_bytes(whole[: len(whole) * sixty_fourth // 64])
        refused(folder)
    path.write_bytes(whole[:-1])
    refused(folder)
    path.write_bytes(whole)
    store.read(folder)


@pytest.mark.parametrize("part", [MANIFEST, "weights"])
def test_a_byte_too_many_is_refused(folder: Path, part: str) -> None:
    path = folder / part if part == MANIFEST else tensor_file(folder, part)
    with path.open("ab") as file:
        file.write(b"\0")
    refused(folder)


def test_a_missing_tensor_file_is_named(folder: Path) -> None:
    path = tensor_file(folder, "velocities")
    path.unlink()
    refused(folder, naming=f"{path.name} is missing, though the manifest names it")


def test_a_folder_without_a_manifest_is_no_store(tmp_path: Path) -> None:
    refused(tmp_path, naming="has no manifest.json; it is not a model or checkpoint")


def test_files_swapped_between_stores_are_refused(folder: Path, tmp_path: Path) -> None:
    groups = small_groups()
    groups["weights"]["conv1.bias"] += 1
    store.write(tmp_path / "other", {}, groups)
    shutil.copy(tensor_file(tmp_path / "other"), tensor_file(folder))
    refused(folder, naming=r"tensor 'conv1\.bias' does not match")


def test_another_format_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FORMAT", 2)
    refused(folder, naming="has format 1; this version reads format 2")


def test_a_second_write_replaces_the_first_and_leaves_no_file_behind(folder: Path) -> None:
    store.write(folder, {"kind": "second"}, {"weights": {"x": torch.ones(3)}})
    content, groups = store.read(folder)
    assert content["kind"] == "second"
    assert groups["weights"]["x"].tolist() == [1, 1, 1]
    assert sorted(p.name for p in folder.iterdir()) == sorted([MANIFEST, tensor_file(folder).name])


class Killed(BaseException):
    """Stands for a power cut: nothing in the package catches it."""


@pytest.mark.parametrize("survives", range(4))
def test_a_write_cut_off_before_any_rename_leaves_the_old_content_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    renamed: list[Any] = []
    replace = Path.replace

    def cut_off(self: Path, target: Path) -> Path:
        if len(renamed) == survives:
            raise Killed
        renamed.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", cut_off)
    new = {group: {"x": torch.full((5,), 3.0)} for group in ("weights", "velocities")}
    if survives < 3:  # two files of tensors and the manifest
        with pytest.raises(Killed):
            store.write(folder, {"kind": "new"}, new)
    else:
        store.write(folder, {"kind": "new"}, new)
    monkeypatch.undo()
    content, groups = store.read(folder)
    if survives < 3:
        assert content["kind"] == "model"
        assert same(groups["weights"]["conv1.bias"], small_groups()["weights"]["conv1.bias"])
    else:
        assert content["kind"] == "new"
    store.write(folder, {"kind": "again"}, new)  # the leftovers are in nobody's way
    assert store.read(folder)[0]["kind"] == "again"
    assert len(list(folder.iterdir())) == 3


def test_a_full_disk_leaves_the_old_content_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(folder, {"kind": "new"}, small_groups())
    monkeypatch.undo()
    assert store.read(folder)[0]["kind"] == "model"


def test_a_file_is_byte_for_byte_what_safetensors_writes(tmp_path: Path) -> None:
    tensors = {
        name: torch.ones(3, 2).to(kind) for name, kind in zip("mbxacd", store.TYPES, strict=False)
    }
    tensors |= {
        'a "quoted" \u00e9': torch.ones(1),
        "scalar": torch.tensor(3),
        "none": torch.ones(0, 2),
    }
    tensors |= {str(kind): torch.ones(5).to(kind) for kind in store.TYPES}
    store.write(tmp_path, {}, {"group": tensors})
    assert tensor_file(tmp_path, "group").read_bytes() == safetensors.torch.save(tensors)


def test_an_appended_line_stands_at_the_end(tmp_path: Path) -> None:
    for line in (b"one\n", b"two\n"):
        store.append(tmp_path / "file", line)
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\n"


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    for _ in range(2):
        store.make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_failed_write_leaves_no_folder_that_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        store.write(tmp_path / "new", {}, small_groups())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Input/output error"):
        store.write_atomically(tmp_path / "file", b"bytes")
    assert list(tmp_path.iterdir()) == []


def test_beside_a_damaged_manifest_a_failed_write_removes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(folder / MANIFEST, 5)
    before = {path.name for path in folder.iterdir()}
    monkeypatch.setattr(store, "write_atomically", lambda *_: (_ for _ in ()).throw(OSError(5)))
    with pytest.raises(OSError, match="5"):
        store.write(folder, {}, small_groups())
    assert before <= {path.name for path in folder.iterdir()}


def test_files_are_renamed_and_still_read(tmp_path: Path) -> None:
    store.write(tmp_path / "a", {"kind": "x"}, {"weights": {"w": torch.arange(3)}})
    store.rename_files(tmp_path / "a", {"weights": "model.safetensors"})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "manifest.json",
        "model.safetensors",
    ]
    content, groups = store.read(tmp_path / "a")
    assert content["kind"] == "x"
    assert torch.equal(groups["weights"]["w"], torch.arange(3))
