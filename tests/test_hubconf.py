"""torch.hub's entry points, loaded by torch.hub."""

from pathlib import Path

import pytest
import torch

from alexnet.model import Model, save_model
from alexnet.nets import find
from tests.export.conftest import make_model

ROOT = Path(__file__).parents[1]


def load(entry: str, *, pretrained: str = "", net: str = "alexnet") -> object:
    given: dict[str, object] = {"pretrained": pretrained} if pretrained else {"net": net, "seed": 3}
    if not pretrained:
        given["classes"] = 10
    loaded: object = torch.hub.load(str(ROOT), entry, source="local", **given)
    return loaded


def test_a_model_is_loaded_by_its_folder_and_answers_alike(tmp_path: Path, tiny_net: str) -> None:
    wanted = make_model(tiny_net)
    save_model(wanted, tmp_path / "model")
    x = torch.randn(2, 3, 67, 67, generator=torch.Generator().manual_seed(0))
    net = load("alexnet", pretrained=str(tmp_path / "model"))
    assert isinstance(net, torch.nn.Module)
    with torch.no_grad():
        assert torch.equal(net(x), wanted.net.eval()(x))
    opened = load("model", pretrained=str(tmp_path / "model"))
    assert isinstance(opened, Model)
    assert opened.classes == wanted.classes


def test_a_new_net_has_the_weights_of_its_seed() -> None:
    net = load("alexnet", net="lenet")
    wanted = find("lenet").build(classes=10)
    wanted.init_weights(torch.Generator().manual_seed(3))
    assert isinstance(net, torch.nn.Module)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, wanted.state_dict()[name])


def test_a_net_that_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="no net is called 'alexnt'"):
        load("alexnet", net="alexnt")
