"""Models on disk: what comes back, and what is refused with its reason."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import store
from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import Statistics
from alexnet.model import (
    Model,
    architecture,
    create,
    load_weights,
    model_folder,
    open_model,
    save_model,
    text_of,
)
from alexnet.nets import NETS
from alexnet.nets.alexnet import LAYERS
from alexnet.store import StoreError

pytestmark = pytest.mark.usefixtures("tiny_net")


def preprocessing() -> Preprocessing:
    generator = torch.Generator().manual_seed(1)
    statistics = Statistics(
        mean_image=torch.rand(72, 72, 3, generator=generator) * 255,
        mean_value=torch.rand(3, generator=generator) * 255,
        deviations=torch.tensor([50.0, 20.0, 5.0]),
        eigenvectors=torch.linalg.qr(torch.rand(3, 3, generator=generator))[0],
    )
    return Preprocessing(statistics, 72, 67, "mean-value", 64.0)


@pytest.fixture
def model() -> Model:
    return create("tiny", ("cat", "dog", "\u00e9mu"), preprocessing(), seed=5)


def test_a_model_comes_back_with_all_that_its_answers_depend_on(
    model: Model, tmp_path: Path
) -> None:
    save_model(model, tmp_path / "model", record={"step": 7})
    found = open_model(tmp_path / "model")
    assert (found.name, found.classes) == ("tiny", ("cat", "dog", "\u00e9mu"))
    assert found.preprocessing.constants() == {
        "picture_size": 72,
        "crop_size": 67,
        "subtract": "mean-value",
        "divide_by": 64.0,
        "colours": "rgb",
    }
    kept = found.preprocessing.statistics.tensors()
    for name, tensor in model.preprocessing.statistics.tensors().items():
        assert torch.equal(kept[name], tensor), name
    x = torch.randn(2, 3, 67, 67, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.net(x), model.net.eval()(x))
    assert not found.net.training
    assert store.read_manifest(tmp_path / "model")["record"] == {"step": 7}


def test_a_model_from_before_colours_were_stored_opens_as_rgb(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path / "now")
    content, groups = store.read(tmp_path / "now")
    del content["preprocessing"]["colours"], content["format"], content["digest"]
    store.write(tmp_path / "before", content, groups)
    assert open_model(tmp_path / "before").preprocessing.colours == "rgb"


def test_an_opened_net_can_be_trained_on(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    net = open_model(tmp_path).net
    net(torch.ones(1, 3, 67, 67)).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_a_seed_draws_the_nets_own_initial_weights() -> None:
    nets = [create("tiny", ("a", "b"), preprocessing(), seed=seed).net for seed in (1, 1, 2)]
    weights = [net.get_parameter("conv3.weight").detach().double().numpy() for net in nets]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert abs(np.corrcoef(weights[0].ravel(), weights[2].ravel())[0, 1]) < 0.1
    # the paper's N(0, .01); five standard errors with 2,304 draws
    assert weights[0].std() == pytest.approx(0.01, abs=5 * 0.01 / np.sqrt(2 * 2304))
    biases = [net.get_parameter(f"{name}.bias").tolist() for net in nets[:1] for name in LAYERS]
    assert [set(b) for b in biases] == [{0}, {1}, {0}, {1}, {1}, {1}, {1}, {0}]


def test_a_run_folder_stands_for_the_model_in_it(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path / "run" / "model")
    assert model_folder(tmp_path / "run") == tmp_path / "run" / "model"
    assert model_folder(tmp_path / "run" / "model") == tmp_path / "run" / "model"
    assert open_model(tmp_path / "run").classes == model.classes


def test_a_missing_folder_names_the_nearest(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path / "photos-1")
    with pytest.raises(StoreError, match=r"photo-1 does not exist \(did you mean 'photos-1'\?\)"):
        open_model(tmp_path / "photo-1")
    with pytest.raises(StoreError, match=r"nowhere/run does not exist$"):
        open_model(tmp_path / "nowhere" / "run")


def test_a_folder_without_a_model_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no model \(no manifest\.json\); give the folder"):
        open_model(tmp_path)


def test_a_store_of_another_kind_is_no_model(tmp_path: Path) -> None:
    store.write(tmp_path, {"kind": "checkpoint"}, {"weights": {"x": torch.ones(1)}})
    with pytest.raises(StoreError, match="holds a checkpoint, not a model"):
        open_model(tmp_path)


def test_a_damaged_weight_is_named(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    path = next(tmp_path.glob("weights-*.safetensors"))
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    data = bytearray(path.read_bytes())
    data[8 + length + header["conv4.weight"]["data_offsets"][0] + 5] ^= 4
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"digest of tensor 'conv4\.weight' does not match"):
        open_model(tmp_path)


def test_statistics_of_another_model_are_refused(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path / "a")
    other = copy.deepcopy(model)
    other.preprocessing.statistics.mean_value.add_(1)
    save_model(other, tmp_path / "b")
    names = [next((tmp_path / n).glob("statistics-*.safetensors")) for n in "ab"]
    shutil.copy(names[1], names[0])
    with pytest.raises(StoreError, match="digest of tensor 'mean_value' does not match"):
        open_model(tmp_path / "a")


def test_weights_of_another_shape_are_named(model: Model) -> None:
    weights = dict(model.net.state_dict())
    weights["fc8.bias"] = torch.zeros(5)
    del weights["fc7.bias"]
    message = r"file does not fit the net: fc7\.bias 32, fc8\.bias 3, fc8\.bias 5 do not agree"
    with pytest.raises(StoreError, match=message):
        load_weights(model.net, weights, Path("file"))


def test_loading_keeps_the_parameters_that_an_optimizer_holds(model: Model) -> None:
    held = list(model.net.parameters())
    other = create("tiny", model.classes, preprocessing(), seed=6)
    load_weights(model.net, dict(other.net.state_dict()), Path("file"))
    assert all(a is b for a, b in zip(held, model.net.parameters(), strict=True))
    assert torch.equal(held[0], next(other.net.parameters()))


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "vgg11-bn"])
def test_nets_of_other_families_come_back_with_statistics_and_heads(
    name: str, tmp_path: Path
) -> None:
    sees = Preprocessing(preprocessing().statistics, 72, 64, "mean-value", 64.0)
    model = create(name, ("a", "b"), sees, seed=3)
    state = {key: value.clone() for key, value in model.net.state_dict().items()}
    other = create(name, ("a", "b"), sees, seed=3).net.state_dict()
    assert all(torch.equal(other[key], value) for key, value in state.items())
    for key, value in model.net.named_buffers():  # a new net's: mean 0, variance 1, no batches
        assert bool((value == ("running_var" in key)).all()), key
    model.net.train()(torch.rand(2, 3, 64, 64))
    save_model(model, tmp_path)
    found = open_model(tmp_path).net.state_dict()
    for key, value in model.net.state_dict().items():
        assert torch.equal(found[key], value), key
    moved = [key for key, value in found.items() if not torch.equal(value, state[key])]
    assert moved == [key for key, _ in model.net.named_buffers() if not key.startswith("loss")]


TEXT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 67 dim: 67 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 9 stride: 6 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "fc" type: "InnerProduct" bottom: "norm" top: "fc"
  inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.1 } } }
"""


def test_a_net_from_a_text_is_stored_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TEXT)
    models = [create(str(path), ("a", "b"), preprocessing(), seed=seed) for seed in (1, 1, 2)]
    model = models[0]
    weights = [each.net.state_dict() for each in models]
    assert list(weights[0])[-2:] == ["fc.weight", "fc.bias"]
    assert torch.equal(weights[0]["fc.weight"], weights[1]["fc.weight"])
    assert not torch.equal(weights[0]["fc.weight"], weights[2]["fc.weight"])
    model.net.train()(torch.rand(2, 3, 67, 67))
    save_model(model, tmp_path / "model")
    path.unlink()
    found = open_model(tmp_path / "model")
    assert (found.name, found.text) == (str(path), model.text)
    x = torch.randn(2, 3, 67, 67, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.net(x), model.net.eval()(x))
    for key, value in model.net.state_dict().items():
        assert torch.equal(found.net.state_dict()[key], value), key


def test_a_net_of_ours_has_no_text_and_one_from_a_file_has_it_all(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TEXT)
    assert text_of(NETS["alexnet"]) == ""
    assert "num_output: 7" in text_of(architecture(str(path)))
    with pytest.raises(ValueError, match=r"net.prototx: |no net is called '.*net.prototx'"):
        architecture(str(path)[:-1])
    with pytest.raises(ValueError, match=r"nut.prototxt: no such file .*'net.prototxt'"):
        architecture(str(tmp_path / "nut.prototxt"))


def test_an_unknown_net_and_a_wrong_crop_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no net is called 'tinny' \(did you mean 'tiny'\?\)"):
        create("tinny", ("a", "b"), preprocessing(), seed=0)
    small = Preprocessing(preprocessing().statistics, 72, 60)
    with pytest.raises(ValueError, match="input size 60 leaves no pixel at pool5"):
        create("tiny", ("a", "b"), small, seed=0)
