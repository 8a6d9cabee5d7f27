"""Models from a folder or from Hugging Face, and back: `from_pretrained` and `push`.

Of a repository only the manifest and the .safetensors files that it names are downloaded and read:
JSON and tensors, no code. Every tensor is compared with its digest in the manifest, and the
manifest with its own; a `digest` that the caller pins holds whoever sends the files.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet import store
from alexnet.data.digits import PackageMissing
from alexnet.export.hugging_face import check_names, write_folder
from alexnet.inspection.model_card import CARD, make_card, sign
from alexnet.inspection.report import Wanted, gather
from alexnet.model import Model, model_folder, open_model
from alexnet.nearest import nearest_beside
from alexnet.store import StoreError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
"""OWNER/NAME, as Hugging Face has them."""


class HubError(OSError):
    """Hugging Face, or the way there, does not do its part; the message says which, and how."""


@dataclass(frozen=True)
class Pushed:
    """What was uploaded."""

    address: str
    """Of the repository, for a browser."""
    revision: str
    """The commit; give it to `from_pretrained` as `revision`."""
    digest: str
    """The manifest's; give it to `from_pretrained` as `digest`."""


def from_pretrained(source: str | Path, *, revision: str = "main", digest: str = "") -> Model:
    """Open a model: a folder of a model or a run, or OWNER/NAME on Hugging Face.

    `revision` is a branch, a tag or, so that nothing can change, a commit. `digest` is the SHA-256
    that the model's manifest names as its own (or its beginning, of at least 8 digits).

    Raises: StoreError if there is no such model, it is damaged or has another digest; HubError if
            the server or the network fails; PackageMissing without huggingface_hub.
    """
    folder = Path(source)
    if not folder.exists():
        if not REPOSITORY.fullmatch(str(source)):
            raise StoreError(
                f"{source} does not exist{nearest_beside(folder)}; give a folder, or OWNER/NAME on "
                "Hugging Face"
            )
        folder = _download(str(source), revision)
    found = str(store.read_manifest(model_folder(folder))["digest"])
    if digest and (len(digest) < 8 or not found.startswith(digest.lower())):
        raise StoreError(
            f"{source} has the digest {found}, not {digest}; it is another model than the one that "
            "was pinned (a digest has at least 8 digits)"
        )
    return open_model(folder)


def push(run: Path | str, name: str, *, private: bool = True, message: str = "") -> Pushed:
    """Upload the model of a run to OWNER/NAME on Hugging Face, with its card.

    The repository is made if there is none, private unless told. Who you are, huggingface_hub
    knows: hf auth login, or HF_TOKEN.

    Raises: ValueError for a name that is none; StoreError if there is no model; HubError if the
            server refuses; PackageMissing without huggingface_hub.
    """
    if not REPOSITORY.fullmatch(name):
        raise ValueError(f"{name!r} is no repository; write OWNER/NAME, as in someone/my-alexnet")
    model = open_model(Path(run))
    api = _api()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        manifest = store.read_manifest(model_folder(Path(run)))
        write_folder(model, folder, card=card_of(Path(run)), record=manifest["record"])
        digest = str(store.read_manifest(folder)["digest"])
        try:
            address = api.create_repo(name, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                commit_message=message or f"Upload {model.name}",
            )
        except OSError as error:
            raise HubError(f"{name} was not uploaded: {_reason(error)}") from error
    return Pushed(str(address), str(done.oid), digest)


def card_of(run: Path) -> bytes:
    """Return the card of a run's model; without the run, the one that lies beside the model.

    Nothing is tested anew: the errors are those that the run has measured itself.
    """
    own = model_folder(run) / CARD
    if own.is_file():
        return own.read_bytes()
    for folder in (run, run.resolve().parent):
        if (folder / "recipe.toml").is_file():
            return sign(make_card(gather(folder, Wanted(answers=False))))
    return b""


def _download(name: str, revision: str) -> Path:
    """Bring a model's manifest and tensors into huggingface_hub's cache, and return the folder.

    Raises: as `from_pretrained`.
    """
    folder = _file(name, store.MANIFEST, revision).parent
    for file in check_names(folder):  # of the same commit, though a branch should move meanwhile
        _file(name, file, folder.name if len(folder.name) == 40 else revision)
    return folder


def _file(name: str, file: str, revision: str) -> Path:
    _check_package()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(hf_hub_download(name, file, revision=revision, endpoint=_endpoint()))
    except RemoteEntryNotFoundError:
        raise StoreError(
            f"{name} has no {file}; it is no model that the package alexnet has written"
        ) from None
    except RevisionNotFoundError:
        raise StoreError(f"{name} has no revision {revision!r}; leave it out for main") from None
    except RepositoryNotFoundError:
        raise StoreError(
            f"Hugging Face has no model {name}, or it is not for you to see: hf auth login"
        ) from None
    except LocalEntryNotFoundError as error:
        raise HubError(
            f"{name}: {file} cannot be had: {_reason(error.__cause__ or error)}; look after the "
            "network, or give a folder"
        ) from error
    except OSError as error:
        raise HubError(f"{name}: {file} cannot be had: {_reason(error)}") from error


def _api() -> "HfApi":
    _check_package()
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint())


def _check_package() -> None:
    if find_spec("huggingface_hub") is None:
        raise PackageMissing("huggingface_hub is not installed; pip install 'alexnet[hub]'")


def _endpoint() -> str | None:
    """Return the server, asked for now: huggingface_hub reads it when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


def _reason(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
