"""from_pretrained and push: folders, and a server on 127.0.0.1 in place of Hugging Face."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from alexnet import hub, store
from alexnet.data.digits import PackageMissing
from alexnet.hub import HubError, card_of, from_pretrained, push
from alexnet.inspection.model_card import is_ours
from alexnet.model import Model, open_model, save_model
from alexnet.store import StoreError
from tests.export.conftest import make_model
from tests.hub_server import COMMIT, Hub, serving

NAME = "someone/digits"


@pytest.fixture
def saved(tmp_path: Path, tiny_net: str) -> Path:
    """Save a model as a run has it."""
    save_model(make_model(tiny_net), tmp_path / "run" / "model", record={"step": 7})
    return tmp_path / "run"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    with serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", "hf_none")
        yield running


@pytest.fixture
def pushed(saved: Path, server: Hub) -> str:
    """Push the model, forget the requests, and return its digest."""
    digest = push(saved, NAME).digest
    server.asked.clear()
    return digest


def same(a: Model, b: Model) -> bool:
    ours, theirs = a.net.state_dict(), b.net.state_dict()
    return a.classes == b.classes and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_a_run_and_its_model_open_by_their_folders(saved: Path) -> None:
    wanted = open_model(saved)
    assert same(from_pretrained(saved), wanted)
    digest = str(store.read_manifest(saved / "model")["digest"])
    assert same(from_pretrained(str(saved / "model"), digest=digest[:8].upper()), wanted)


@pytest.mark.parametrize("digest", ["0123456789abcdef", "0123"])
def test_a_digest_that_is_pinned_must_be_the_models(saved: Path, digest: str) -> None:
    with pytest.raises(StoreError, match=rf"run has the digest [0-9a-f]{{64}}, not {digest}; it"):
        from_pretrained(saved, digest=digest)


def test_a_folder_that_is_not_there_names_the_nearest(saved: Path) -> None:
    missing = saved.parent / "rum"
    message = r"rum does not exist \(did you mean 'run'\?\); give a folder, or OWNER/NAME"
    with pytest.raises(StoreError, match=message):
        from_pretrained(missing)


def test_what_is_pushed_comes_back_the_same(saved: Path, server: Hub) -> None:
    done = push(saved, NAME, message="The first")
    assert (done.address, done.revision) == (f"{server.url}/{NAME}", COMMIT)
    assert server.created["name"] == "digits"
    assert "private" in json.dumps(server.created)
    assert server.message == "The first"
    assert sorted(server.files) == sorted(
        ["README.md", "config.json", "manifest.json", "model.safetensors", "statistics.safetensors"]
    )
    assert json.loads(server.files["manifest.json"])["record"] == {"step": 7}
    opened = from_pretrained(NAME, revision=done.revision, digest=done.digest)
    assert same(opened, open_model(saved))


def test_only_the_manifest_and_tensors_are_asked_for_of_one_commit(
    pushed: str, server: Hub
) -> None:
    from_pretrained(NAME, digest=pushed)
    asked = [line.partition("/resolve/")[2] for line in server.asked if line.startswith("GET")]
    names = ("model.safetensors", "statistics.safetensors")
    assert asked == ["main/manifest.json", *(f"{COMMIT}/{name}" for name in names)]
    server.asked.clear()
    from_pretrained(NAME, revision=COMMIT)  # all of it is here already
    assert [line for line in server.asked if line.startswith("GET")] == []


def test_a_byte_that_changed_on_the_way_is_found(pushed: str, server: Hub) -> None:
    weights = bytearray(server.files["model.safetensors"])
    weights[-5] ^= 1
    server.files["model.safetensors"] = bytes(weights)
    with pytest.raises(StoreError, match=r"model.safetensors is damaged: the digest of tensor"):
        from_pretrained(NAME)


@pytest.mark.parametrize("name", ["../../w.safetensors", "weights.pth", "/etc/x.safetensors"])
def test_a_manifest_may_name_nothing_but_tensors_beside_it(
    pushed: str, server: Hub, name: str
) -> None:
    manifest = json.loads(server.files["manifest.json"])
    manifest["files"]["weights"]["file"] = name
    manifest["digest"] = store._digest_of_manifest(manifest)
    server.files["manifest.json"] = store._manifest_bytes(manifest)
    with pytest.raises(StoreError, match=rf"names '{name}', which is no .safetensors file beside"):
        from_pretrained(NAME)
    assert all("manifest.json" in line for line in server.asked if "resolve" in line)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("someone/nothing", "main", "Hugging Face has no model someone/nothing, or it is not for"),
        (NAME, "v9", "someone/digits has no revision 'v9'; leave it out for main"),
    ],
)
def test_what_the_server_does_not_have_is_named(
    pushed: str, name: str, revision: str, message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        from_pretrained(name, revision=revision)


def test_a_repository_of_other_programs_is_told_apart(pushed: str, server: Hub) -> None:
    del server.files["manifest.json"]
    with pytest.raises(StoreError, match=r"has no manifest.json; it is no model that the package"):
        from_pretrained(NAME)


def test_a_server_that_refuses_is_named(pushed: str, saved: Path, server: Hub) -> None:
    server.refuses = 403
    with pytest.raises(HubError, match=r"someone/digits was not uploaded: .*403"):
        push(saved, NAME)
    with pytest.raises(HubError, match=r"someone/digits: manifest.json cannot be had: .*403"):
        from_pretrained(NAME)


def test_a_name_that_is_none_and_a_missing_package_are_said_at_once(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"'digits' is no repository; write OWNER/NAME"):
        push(saved, "digits")
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    for call in (lambda: push(saved, NAME), lambda: from_pretrained(NAME)):
        with pytest.raises(PackageMissing, match=r"pip install 'alexnet\[hub\]'"):
            call()


def test_the_card_is_the_one_beside_the_model_or_that_of_its_run(
    saved: Path, tmp_path: Path, tiny_net: str
) -> None:
    assert card_of(saved) == b""
    (saved / "recipe.toml").write_text(f'net = "{tiny_net}"\ndata = "photos"\n')
    card = card_of(saved)
    assert is_ours(card)
    assert card_of(saved / "model") == card
    assert b"trained on photos" in card
    (saved / "model" / "README.md").write_text("mine")
    assert card_of(saved) == b"mine"
