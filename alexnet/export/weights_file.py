"""Files of tensors by name: torch's .pth and .pt, and .safetensors; reading them runs no code.

A .pth is a zip archive: a pickle that describes the tensors and a file for each one's memory. We
let torch read it with weights_only=True, after a look at the archive: nothing in it may be
compressed, and the pickle may name only what a dictionary of tensors needs. torch allows more,
among it calls that can ask for any amount of memory.
"""

import pickletools
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

WRAPPERS = ("state_dict", "model")
"""Keys under which training programs keep the weights beside other things."""
PARALLEL = "module."
"""What torch's DataParallel puts before all names."""
MOST_DESCRIPTION = 16 * 2**20
_ALLOWED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(
        f"torch {kind}Storage"
        for kind in (
            "Float",
            "Double",
            "Half",
            "BFloat16",
            "Long",
            "Int",
            "Short",
            "Char",
            "Byte",
            "Bool",
        )
    ),
}
_AGAIN = "save it again with today's torch.save, or as .safetensors"


def load_state_dict_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .pth, .pt or .safetensors file, told apart by content.

    A dictionary with the weights under "state_dict" or "model" is opened, and "module." before
    all names is taken off.

    Raises: ValueError if the file is of another format, damaged, or holds anything but tensors by
            name; OSError if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"PK"):
        content = _read_archive(path)
    elif start[8:9] == b"{":
        content = _read_safetensors(path)
    elif start.startswith(b"\x80") or b"\0" in start:
        raise ValueError(
            f"{path} is neither a zip archive nor .safetensors; if torch before 1.6 wrote it, "
            f"{_AGAIN}"
        )
    else:
        raise ValueError(f"{path} holds no tensors; give a .pth, .pt or .safetensors file")
    return _state_dict(content, path)


def save_state_dict_file(path: Path, state_dict: Mapping[str, Tensor]) -> None:
    """Write tensors by name to a .pth, .pt or .safetensors file, told apart by suffix.

    Raises: ValueError for another suffix; OSError if the disk refuses.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    elif path.suffix in (".pth", ".pt"):
        torch.save(tensors, path)
    else:
        raise ValueError(f"{path} ends in {path.suffix!r}; use .pth, .pt or .safetensors")


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}; use another copy") from None


def _read_archive(path: Path) -> object:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged: {error}; use another copy") from None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever its parts meet
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is damaged: {reason}; use another copy") from None


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse what is compressed, stands twice, or calls for more than tensors.

    Raises: ValueError naming it.
    """
    entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{path}: {entry.filename} is compressed; {_AGAIN}")
    name, count = Counter([entry.filename for entry in entries] or [""]).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path} is damaged: {name} stands in it twice; use another copy")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > path.stat().st_size:
        raise ValueError(f"{path} is damaged: its parts exceed the whole; use another copy")
    described = [e for e in entries if e.filename.endswith("/data.pkl")]
    if len(described) != 1 or described[0].file_size > MOST_DESCRIPTION:
        raise ValueError(f"{path} is an archive without one small data.pkl; {_AGAIN}")
    for operation, argument, _ in _operations(archive.read(described[0]), path):
        named = argument if operation in ("GLOBAL", "INST") else operation
        if named not in _ALLOWED and operation in ("GLOBAL", "INST", "STACK_GLOBAL"):
            raise ValueError(
                f"{path} calls {str(named)!r}, which no dictionary of tensors needs; {_AGAIN}"
            )


def _operations(description: bytes, path: Path) -> list[tuple[str, object, int | None]]:
    try:
        return [(op.name, argument, at) for op, argument, at in pickletools.genops(description)]
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; use another copy") from None


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds no tensors by name; save net.state_dict()")
    for name, value in content.items():
        if not isinstance(name, str):
            raise ValueError(f"{path}: {name!r} is no name of a tensor; save net.state_dict()")
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{path}: {name!r} is {type(value).__name__}, not a tensor; save net.state_dict()"
            )
    prefix = PARALLEL if all(name.startswith(PARALLEL) for name in content) else ""
    return {name.removeprefix(prefix): value.detach() for name, value in content.items()}
