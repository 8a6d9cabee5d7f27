"""Tensors on disk that cannot be damaged unnoticed: models and checkpoints.

A folder holds one `manifest.json` and a safetensors file for each group of tensors. The manifest
has a SHA-256 of itself, of each file's header and of each tensor, so that every byte is covered.
A file's name carries its digest and the manifest is replaced last, in one rename: a reader finds
the old content or the new, never a mixture. No file holds code; nothing is unpickled.

Nothing is put in the place of the old before it has been read back from the disk and compared, and
each step is on the disk before the next begins (Pillai et al. 2014, "All File Systems Are Not
Created Equal": what a file and what its folder say reach the disk in any order unless told).
"""

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

MANIFEST = "manifest.json"
FORMAT = 1
TYPES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What safetensors calls the types of tensors, in the order in which its files have them."""


class StoreError(ValueError):
    """A folder of tensors is missing, damaged, or of another format."""


def write(
    folder: Path, content: Mapping[str, Any], groups: Mapping[str, dict[str, Tensor]]
) -> None:
    """Write tensors and the plain values that belong to them, all or nothing.

    Raises: OSError if the disk refuses, or does not give back what was written; what the folder
            held before is then still whole, and nothing else is left in it.
    """
    try:
        make_folder(folder)
        files = {group: _write_group(folder, group, tensors) for group, tensors in groups.items()}
        _sync_folder(folder)
        manifest = {"format": FORMAT, **content, "files": files}
        manifest["digest"] = _digest_of_manifest(manifest)
        write_atomically(folder / MANIFEST, _manifest_bytes(manifest))
    except OSError:
        _take_back(folder)
        raise
    with suppress(OSError):  # what is stale is in nobody's way, and the next write tries again
        _remove_all_but({record["file"] for record in files.values()}, folder)


def read(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read what `write` wrote: the manifest's content and the groups of tensors.

    Raises: StoreError naming the file or tensor that is missing or damaged.
    """
    manifest = read_manifest(folder)
    groups = {}
    for group, record in manifest.pop("files").items():
        groups[group] = _read_group(folder / record["file"], record)
    return manifest, groups


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and verify the manifest alone.

    Raises: StoreError if it is missing, damaged or of another format.
    """
    path = folder / MANIFEST
    try:
        written = path.read_bytes()
        manifest: dict[str, Any] = json.loads(written)
    except FileNotFoundError:
        raise StoreError(f"{folder} has no {MANIFEST}; it is not a model or checkpoint") from None
    except ValueError:
        raise StoreError(f"{path} is damaged: it is not JSON; use another copy") from None
    whole = isinstance(manifest, dict) and written == _manifest_bytes(manifest)
    if not whole or manifest.get("digest") != _digest_of_manifest(manifest):
        raise StoreError(f"{path} is damaged: its digest does not match; use another copy")
    if manifest["format"] != FORMAT:
        raise StoreError(
            f"{path} has format {manifest['format']}; this version reads format {FORMAT}"
        )
    return manifest


def rename_files(folder: Path, names: Mapping[str, str]) -> None:
    """Give the files of groups of tensors names of the caller's, by which others look for them.

    A power cut in between leaves a folder that `read` refuses: write it under another name first.

    Raises: StoreError as `read_manifest`, OSError if the disk refuses.
    """
    manifest = read_manifest(folder)
    for group, name in names.items():
        (folder / manifest["files"][group]["file"]).replace(folder / name)
        manifest["files"][group]["file"] = name
    manifest["digest"] = _digest_of_manifest(manifest)
    write_atomically(folder / MANIFEST, _manifest_bytes(manifest))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step that survives a power cut: temporary file, fsync, rename.

    Raises: OSError if the disk refuses; the file is then what it was.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        _write_file(temporary, [data])
        rename_durably(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def rename_durably(temporary: Path, path: Path) -> None:
    """Rename a file whose content is on the disk, and wait until the new name is there too.

    Raises: OSError if the disk refuses.
    """
    temporary.replace(path)
    _sync_folder(path.parent)


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file; all of it has reached the disk when this returns.

    Raises: OSError if the disk refuses; what was added is then taken back.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        length = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, length)
            raise
    finally:
        os.close(descriptor)
    if is_new:
        _sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder that a power cut does not take away with all that is in it.

    Raises: OSError if the disk refuses.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        if each != folder:
            _sync_folder(each.parent)
    _sync_folder(folder.parent)  # also where it is there: whoever made it may have been cut off


def _take_back(folder: Path) -> None:
    """Remove what a write has left that could not be ended; at worst it stays, unread."""
    with suppress(OSError, StoreError):
        try:
            files = read_manifest(folder)["files"]
        except StoreError:
            if (folder / MANIFEST).exists():  # damaged: what belongs to it cannot be told
                return
            files = {}
        _remove_all_but({record["file"] for record in files.values()}, folder)
        if not files:
            folder.rmdir()  # if nothing else is in it


def _remove_all_but(current: set[str], folder: Path) -> None:
    for stale in folder.glob("*.safetensors*"):
        if stale.name not in current:
            stale.unlink()


def _write_group(folder: Path, group: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Write a safetensors file and return what the manifest says of it.

    Raises: OSError if the disk refuses, or the file does not read as it was written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: (list(TYPES).index(tensors[name].dtype), name))
    header = _header({name: tensors[name] for name in order})
    digests = {"header": hashlib.sha256(header).hexdigest(), "tensors": _digests(tensors)}
    temporary = folder / f"{group}.safetensors.tmp"
    _write_file(temporary, [header, *(_bytes_of(tensors[name]) for name in order)])
    try:
        _read_group(temporary, digests)
    except StoreError as error:
        raise OSError(
            f"the disk gives back other bytes than were written ({error}); "
            "look at the disk and at the memory of this machine, then try again"
        ) from None
    name = f"{group}-{_digest_of_json(digests)[:12]}.safetensors"
    temporary.replace(folder / name)
    return {"file": name, **digests}


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    """Return what a safetensors file begins with: the header's length and where each tensor is."""
    entries, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + math.prod(tensor.shape) * tensor.element_size()
        entries[name] = {
            "dtype": TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_file(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file; all of it has reached the disk, and left the memory, when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for part in parts:
            _write_all(descriptor, part)
        os.fsync(descriptor)
        if sys.platform == "linux":  # so that reading it back asks the disk
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _read_group(path: Path, record: dict[str, Any]) -> dict[str, Tensor]:
    if not path.is_file():
        raise StoreError(f"{path} is missing, though the manifest names it; use another copy")
    header_is_whole = _digest_of_header(path) == record["header"]
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path} is damaged ({error}); use another copy") from None
    if not header_is_whole:
        raise StoreError(f"{path} is damaged: the header's digest does not match; use another copy")
    for name, digest in _digests(tensors).items():
        if digest != record["tensors"][name]:
            raise StoreError(
                f"{path} is damaged: the digest of tensor {name!r} does not match; use another copy"
            )
    return tensors


def _digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Hash every tensor's bytes, several at once: hashlib lets go of the interpreter."""

    def digest(tensor: Tensor) -> str:
        return hashlib.sha256(_bytes_of(tensor)).hexdigest()

    with ThreadPoolExecutor() as pool:
        return dict(zip(tensors, pool.map(digest, tensors.values()), strict=True))


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _digest_of_header(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(8)
        length = min(int.from_bytes(start, "little"), 100_000_000)
        return hashlib.sha256(start + file.read(length)).hexdigest()


def _manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1).encode()


def _digest_of_manifest(manifest: Mapping[str, Any]) -> str:
    return _digest_of_json({key: value for key, value in manifest.items() if key != "digest"})


def _digest_of_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
