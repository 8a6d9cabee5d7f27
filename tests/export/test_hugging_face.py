"""A model as a folder in the form of Hugging Face."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alexnet import store
from alexnet.export.hugging_face import check_names, config_of, write_folder
from alexnet.model import Model, open_model
from alexnet.store import StoreError


def test_the_folder_is_a_model_as_it_is(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    write_folder(model, folder, card=b"the card", record={"step": 3})
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["README.md", "config.json", "manifest.json", "model.safetensors", "statistics.safetensors"]
    )
    opened = open_model(folder)
    assert opened.classes == model.classes
    wanted = model.net.state_dict()
    assert all(torch.equal(tensor, wanted[n]) for n, tensor in opened.net.state_dict().items())
    plain = load_file(folder / "model.safetensors")
    assert plain.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[n]) for n, tensor in plain.items())
    assert store.read_manifest(folder)["record"] == {"step": 3}
    assert (folder / "README.md").read_bytes() == b"the card"
    assert check_names(folder) == ["model.safetensors", "statistics.safetensors"]


def test_config_says_classes_in_both_directions(model: Model, tmp_path: Path) -> None:
    write_folder(model, tmp_path / "published")
    config = json.loads((tmp_path / "published" / "config.json").read_text())
    assert config == config_of(model)
    assert [config["id2label"][str(n)] for n in range(3)] == list(model.classes)
    assert all(config["id2label"][str(n)] == name for name, n in config["label2id"].items())
    assert (config["model_type"], config["net"]) == ("alexnet", model.name)
    assert config["preprocessing"]["crop_size"] == 67
    means = [float(value) for value in model.preprocessing.statistics.mean_value]
    assert config["mean_value"] == pytest.approx(means, abs=1e-4)


def test_without_a_card_there_is_a_short_one(model: Model, tmp_path: Path) -> None:
    write_folder(model, tmp_path / "published")
    card = (tmp_path / "published" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: alexnet\n")
    assert "alexnet.from_pretrained(FOLDER)" in card


def test_what_is_there_is_not_overwritten(model: Model, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty; give a folder that is new, or remove it"):
        write_folder(model, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    store.write(tmp_path / "other", {"kind": "data"}, {})
    with pytest.raises(StoreError, match=r"names no file of weights; it is no model of the pack"):
        check_names(tmp_path / "other")
