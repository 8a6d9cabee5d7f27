"""torchvision's published weights: fetched once, checked by the digest that their names carry.

Source:  torchvision.models: the address of each file ends in the first eight digits of its SHA-256,
         which is all that is published of it, and what torch.hub checks too. The file lies where
         torch.hub would lay it, so that neither fetches what the other has.
Differs: torch.hub unpickles the file; `weights_file` reads tensors alone, so that eight digits are
         enough: they tell damage, and nothing in a file of ill will is run.
"""

import hashlib
import re
import shutil
from pathlib import Path

import torch

from alexnet.data.folder import DataError
from alexnet.data.sources import Source
from alexnet.data.transfer import FetchError, Show, download
from alexnet.export.torchvision import ARCHITECTURES
from alexnet.nearest import nearest

PREFIX = "torchvision:"
ADDRESS = "https://download.pytorch.org/models"
FILES = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "vgg11": "vgg11-8a719046.pth",
    "vgg13": "vgg13-19584684.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "vgg11_bn": "vgg11_bn-6002323d.pth",
    "vgg13_bn": "vgg13_bn-abd245e5.pth",
    "vgg16_bn": "vgg16_bn-6c64b313.pth",
    "vgg19_bn": "vgg19_bn-c79401a0.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet152": "resnet152-394f9c45.pth",
}
"""torchvision's names, and the files of its first weights for ImageNet's thousand classes."""
_DIGEST = re.compile(r"-([0-9a-f]{8})\.pth$")


def net_of(name: str) -> str:
    """Return our name of the net that `torchvision:NAME` means.

    Raises: ValueError, naming the nearest, if no weights of that name are known.
    """
    theirs = name.removeprefix(PREFIX)
    if theirs not in FILES:
        raise ValueError(
            f"no weights of torchvision's are known as {theirs!r}{nearest(theirs, FILES)}; there "
            f"are {', '.join(FILES)}"
        )
    return next(ours for ours, known in ARCHITECTURES.items() if known == theirs)


def fetch(name: str, *, mirror: str = "", show: Show = lambda *_: None) -> Path:
    """Return the file of `torchvision:NAME`, which is fetched unless it is here.

    `mirror` is the address of another server or a folder here, with files of the same names.

    Raises: ValueError for an unknown name; DataError for a file with another digest; FetchError,
            an OSError, when a server or the disk does not do its part; PackageMissing without
            pooch.
    """
    net_of(name)
    file = FILES[name.removeprefix(PREFIX)]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path, part = folder / file, folder / f"{file}.part"
    if path.is_file() and _digest(path).startswith(_wanted(file)):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    address = mirror.rstrip("/") or ADDRESS
    if "://" in address:
        download(Source(file, address), f"{address}/{file}", part, show)
    elif (Path(address) / file).is_file():
        shutil.copyfile(Path(address) / file, part)
    else:
        raise FetchError(
            f"{Path(address) / file} does not exist; a mirror is the address of a server, "
            "http://..., or a folder with the published files"
        )
    found = _digest(part)
    if not found.startswith(_wanted(file)):
        part.unlink()
        raise DataError(
            f"{file} from {address} has the SHA-256 {found}, which should begin with "
            f"{_wanted(file)}; it was removed; try again or another --mirror"
        )
    return part.replace(path)


def _wanted(file: str) -> str:
    found = _DIGEST.search(file)
    assert found is not None, file
    return found[1]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
