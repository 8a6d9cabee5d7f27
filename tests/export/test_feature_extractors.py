"""What thingsvision and Brain-Score do with a net, by the same calls, beside our own features."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from alexnet.data.folder import DataError
from alexnet.export.feature_extractors import for_brain_score, for_thingsvision, inputs_of
from alexnet.model import Model
from alexnet.predict import predict
from tests.conftest import make_pictures

LAYERS = ("conv1", "conv5", "fc7", "fc8")


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    folder = make_pictures(tmp_path / "photos", per_class=1)
    return sorted(str(path) for path in folder.rglob("*.jpg"))


def extract(net: torch.nn.Module, x: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    """Hold outputs as Brain-Score does: by forward hooks, in the output's own memory."""
    held: dict[str, Any] = OrderedDict()

    def hold(name: str, output: Tensor) -> None:
        held[name] = output.cpu().data.numpy()

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: hold(name, output))
        for name, module in net.named_modules()
        if name in names
    ]
    with torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    return held


def test_brain_score_gets_each_layers_own_output(
    saved: Path, model: Model, paths: list[str]
) -> None:
    given = for_brain_score(saved)
    x = given["preprocessing"](paths)
    assert (x.dtype, x.shape) == (np.dtype("float32"), (3, 3, 67, 67))
    found = extract(given["model"], torch.from_numpy(x), LAYERS)
    with torch.no_grad():
        wanted = model.net.activations(torch.from_numpy(x), LAYERS)
    assert list(found) == list(LAYERS)
    for name in LAYERS:  # conv1 before its ReLU: nothing may write into what is held
        np.testing.assert_allclose(found[name], wanted[name].numpy(), rtol=1e-5, atol=1e-5)
    assert (found["conv1"] < 0).any()


def test_the_logits_are_those_of_predict(saved: Path, model: Model, paths: list[str]) -> None:
    given = for_brain_score(saved)
    with torch.no_grad():
        logits = given["model"](torch.from_numpy(given["preprocessing"](paths)))
    p = torch.softmax(logits, 1)
    for row, answer in zip(p, predict(model, paths, top=3), strict=True):
        for name, probability in answer.labels:
            assert float(row[model.classes.index(name)]) == pytest.approx(probability, abs=1e-5)


def test_thingsvision_gives_pil_pictures_and_gets_inputs(
    saved: Path, model: Model, paths: list[str]
) -> None:
    given = for_thingsvision(saved, device="cpu")
    assert (given["backend"], given["device"]) == ("pt", "cpu")
    picture = Image.open(paths[0])
    x = torch.stack([given["preprocess"](picture), given["preprocess"](picture.convert("L"))])
    pixels = np.array(picture)
    assert torch.equal(x[0], inputs_of(model, [pixels])[0])
    found = extract(given["model"], x, ("fc7",))["fc7"]
    with torch.no_grad():
        wanted = model.net.activations(x, ("fc7",))["fc7"]
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_the_identifier_changes_with_the_weights(saved: Path, model: Model) -> None:
    first = for_brain_score(saved)["identifier"]
    assert first.startswith(f"alexnet-{model.name}-")
    assert for_brain_score(saved / "model")["identifier"] == first
    assert for_brain_score(saved, identifier="mine")["identifier"] == "mine"


def test_a_picture_that_cannot_be_read_is_named(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError, match=r"broken.jpg: the JPEG is damaged.*; leave it out, or rep"):
        for_brain_score(saved)["preprocessing"]([str(tmp_path / "broken.jpg")])
