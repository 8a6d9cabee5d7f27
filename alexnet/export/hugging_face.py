"""A model as a folder in the form of Hugging Face's model repositories.

    config.json               what others look for: the net's name, its classes, its preprocessing
    model.safetensors         the weights by our names, alone
    statistics.safetensors    means and principal colours
    manifest.json             a digest of every tensor: the folder is a model of ours as it is
    README.md                 the card

Source:  huggingface.co/docs: model repositories, model cards; transformers' PretrainedConfig for
         the names id2label, label2id, model_type and architectures.
Differs: transformers knows no model_type "alexnet"; the folder opens with alexnet.from_pretrained
         and with every command that takes a model. config.json is for others: we read the manifest.
"""

import json
from pathlib import Path
from typing import Any

from alexnet import __version__, store
from alexnet.model import Model, save_model
from alexnet.store import StoreError

CONFIG = "config.json"
CARD = "README.md"
FILES = {"weights": "model.safetensors", "statistics": "statistics.safetensors"}
"""What the store's groups of tensors are called here."""
EMPTY_CARD = """\
---
library_name: alexnet
pipeline_tag: image-classification
---

# A net of the package alexnet

Open it with `alexnet.from_pretrained(FOLDER)`, or `alexnet predict FOLDER PICTURES`.
"""


def write_folder(
    model: Model, folder: Path, *, card: bytes = b"", record: dict[str, Any] | None = None
) -> None:
    """Write a model as a folder for Hugging Face; `record` is the manifest's, such as its errors.

    Raises: ValueError if the folder is there and not empty; OSError if the disk refuses.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; give a folder that is new, or remove it first")
    save_model(model, folder, record=record)
    store.rename_files(folder, FILES)
    config = json.dumps(config_of(model), indent=2, ensure_ascii=False) + "\n"
    store.write_atomically(folder / CONFIG, config.encode())
    store.write_atomically(folder / CARD, card or EMPTY_CARD.encode())


def config_of(model: Model) -> dict[str, Any]:
    """Return what config.json says of a model."""
    return {
        "architectures": [type(model.net).__name__],
        "model_type": "alexnet",
        "alexnet_version": __version__,
        "net": model.name,
        "num_labels": len(model.classes),
        "id2label": {str(number): name for number, name in enumerate(model.classes)},
        "label2id": {name: number for number, name in enumerate(model.classes)},
        "preprocessing": model.preprocessing.constants(),
        "mean_value": [round(float(v), 4) for v in model.preprocessing.statistics.mean_value],
        "torch_dtype": "float32",
    }


def check_names(folder: Path) -> list[str]:
    """Return the names of the files of tensors that a folder's manifest asks for.

    Raises: StoreError if the manifest is damaged, or names anything but a .safetensors file that
            lies beside it: it may come from anybody.
    """
    manifest = store.read_manifest(folder)
    names = []
    for group in ("weights", "statistics"):
        name = _file_of(manifest, group)
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise StoreError(
                f"{folder / store.MANIFEST} names {name!r}, which is no .safetensors file beside "
                "it; it was not read"
            )
        names.append(name)
    return names


def _file_of(manifest: dict[str, Any], group: str) -> str:
    try:
        return str(manifest["files"][group]["file"])
    except (KeyError, TypeError):
        raise StoreError(
            f"the manifest names no file of {group}; it is no model of the package alexnet"
        ) from None
