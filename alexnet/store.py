"""Tensors on disk that cannot be damaged unnoticed: models and checkpoints.

A folder holds one `manifest.json` and a safetensors file for each group of tensors. The manifest
has a SHA-256 of itself, of each file's header and of each tensor, so that every byte is covered.
A file's name carries its digest and the manifest is replaced last, in one rename: a reader finds
the old content or the new, never a mixture. No file holds code; nothing is unpickled.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

MANIFEST = "manifest.json"
FORMAT = 1


class StoreError(ValueError):
    """A folder of tensors is missing, damaged, or of another format."""


def write(
    folder: Path, content: Mapping[str, Any], groups: Mapping[str, dict[str, Tensor]]
) -> None:
    """Write tensors and the plain values that belong to them, all or nothing.

    Raises: OSError if the disk refuses; what the folder held before is then still whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {group: _write_group(folder, group, tensors) for group, tensors in groups.items()}
    manifest = {"format": FORMAT, **content, "files": files}
    manifest["digest"] = _digest_of_manifest(manifest)
    write_atomically(folder / MANIFEST, _manifest_bytes(manifest))
    current = {record["file"] for record in files.values()}
    for stale in folder.glob("*.safetensors*"):
        if stale.name not in current:
            stale.unlink()


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


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step that survives a power cut: temporary file, fsync, rename."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _write_group(folder: Path, group: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary = folder / f"{group}.safetensors.tmp"
    save_file(tensors, temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    record = {"header": _digest_of_header(temporary), "tensors": _digests(tensors)}
    name = f"{group}-{_digest_of_json(record)[:12]}.safetensors"
    temporary.replace(folder / name)
    _sync_folder(folder)
    return {"file": name, **record}


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
        return hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().data).hexdigest()

    with ThreadPoolExecutor() as pool:
        return dict(zip(tensors, pool.map(digest, tensors.values()), strict=True))


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
