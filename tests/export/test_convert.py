"""Weights of Caffe's and torchvision's become models that answer the same, and back again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from alexnet.data.augment import cut, same_windows
from alexnet.export import torchvision
from alexnet.export.caffe_names import to_caffe
from alexnet.export.convert import ILSVRC_MEAN, Pictures, read, write
from alexnet.export.weights_file import save_state_dict_file
from alexnet.model import Model, open_model
from alexnet.nets import find
from alexnet.store import StoreError
from alexnet.text.blobs import make_blob, save_mean
from alexnet.text.graph import TextNet
from alexnet.text.message import Message
from alexnet.text.prototxt import parse
from alexnet.text.weights import load_weights, save_weights

LENET = """
name: "grey"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 28 dim: 28 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 50 kernel_size: 5 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 500 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""
COLOUR = """
name: "colour"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 5 stride: 3
    weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


def random_weights(net: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(tensor.shape, generator=generator) * 0.05
        if tensor.is_floating_point()
        else tensor
        for name, tensor in net.state_dict().items()
    }


def answers(model: Model, picture: Tensor) -> Tensor:
    """Return the logits of one picture, (1, H, W, 3) uint8, cut in its middle."""
    border = model.preprocessing.border // 2
    with torch.inference_mode():
        x = cut(picture, same_windows(1, border, border), model.preprocessing)
        logits: Tensor = model.net.eval()(x)
    return logits


def draw_picture(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (1, size, size, 3), generator=generator, dtype=torch.uint8)


def test_weights_of_caffes_lenet_go_through_all_forms(tmp_path: Path) -> None:
    net = find("lenet").build(classes=10)
    net.load_state_dict(random_weights(net))
    mine = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    save_file(mine, tmp_path / "mine.safetensors")
    first = read(tmp_path / "mine.safetensors", net="lenet")
    write(first.model, tmp_path / "lenet.caffemodel")
    again = read(tmp_path / "lenet.caffemodel", net="lenet")
    write(again.model, tmp_path / "model")
    write(open_model(tmp_path / "model"), tmp_path / "back.safetensors")
    back = load_file(tmp_path / "back.safetensors")
    assert back.keys() == mine.keys()
    assert all(torch.equal(back[name], mine[name]) for name in mine)


def test_a_prototxt_and_its_named_twin_answer_alike(tmp_path: Path) -> None:
    net = find("lenet").build(classes=10)
    net.load_state_dict(random_weights(net))
    text = tmp_path / "lenet.prototxt"
    text.write_text(LENET)
    save_file(dict(net.state_dict()), tmp_path / "mine.safetensors")
    write(read(tmp_path / "mine.safetensors", net="lenet").model, tmp_path / "w.caffemodel")
    twin = read(tmp_path / "w.caffemodel", net="lenet").model
    own = read(tmp_path / "w.caffemodel", net=str(text)).model
    assert own.preprocessing.constants() == twin.preprocessing.constants()
    picture = draw_picture(28)
    torch.testing.assert_close(answers(own, picture), answers(twin, picture), rtol=1e-5, atol=1e-4)
    write(own, tmp_path / "model")
    text.unlink()  # a model holds its text
    opened = open_model(tmp_path / "model")
    assert torch.equal(answers(opened, picture), answers(own, picture))
    write(opened, tmp_path / "again.caffemodel")
    for name, blobs in load_weights(tmp_path / "again.caffemodel").items():
        before = load_weights(tmp_path / "w.caffemodel").get(name, [])
        for blob, wanted in zip(blobs, before, strict=True):
            np.testing.assert_array_equal(blob, wanted)


def test_a_net_of_caffes_sees_blue_green_red_without_the_mean(tmp_path: Path) -> None:
    text = tmp_path / "colour.prototxt"
    text.write_text(COLOUR)
    original = TextNet(parse(COLOUR, "NetParameter"), generator=torch.Generator().manual_seed(1))
    blobs = {name: [b.detach().numpy() for b in each] for name, each in original.blobs().items()}
    save_weights(tmp_path / "w.caffemodel", original.to_message())
    assert blobs.keys() == {"conv", "ip"}
    mean = np.random.default_rng(0).uniform(90, 130, (3, 16, 16)).astype(np.float32)
    save_mean(tmp_path / "mean.binaryproto", mean)
    pictures = Pictures(mean=tmp_path / "mean.binaryproto", scale=0.25)
    model = read(tmp_path / "w.caffemodel", net=str(text), pictures=pictures).model
    picture = draw_picture(16)
    bgr = picture[0].flip(2).permute(2, 0, 1).float() - torch.from_numpy(mean)
    x = (0.25 * bgr[:, 2:14, 2:14])[None]
    wanted = original.run({"data": x}, keep=["ip"]).blobs["ip"]
    torch.testing.assert_close(answers(model, picture), wanted, rtol=1e-4, atol=1e-4)


def test_one_value_a_channel_is_taken_as_blue_green_red(tmp_path: Path) -> None:
    text = tmp_path / "colour.prototxt"
    text.write_text(COLOUR)
    original = TextNet(parse(COLOUR, "NetParameter"), generator=torch.Generator().manual_seed(1))
    save_weights(tmp_path / "w.caffemodel", original.to_message())
    pictures = Pictures(picture_size=16, mean_value=(10.0, 20.0, 30.0))
    model = read(tmp_path / "w.caffemodel", net=str(text), pictures=pictures).model
    picture = draw_picture(16)
    bgr = (
        picture[0].flip(2).permute(2, 0, 1).float()
        - torch.tensor([10.0, 20.0, 30.0])[:, None, None]
    )
    wanted = original.run({"data": bgr[None, :, 2:14, 2:14]}, keep=["ip"]).blobs["ip"]
    torch.testing.assert_close(answers(model, picture), wanted, rtol=1e-4, atol=1e-3)


def test_without_a_mean_ilsvrcs_is_taken_and_said(tmp_path: Path) -> None:
    text = tmp_path / "colour.prototxt"
    text.write_text(COLOUR)
    original = TextNet(parse(COLOUR, "NetParameter"))
    save_weights(tmp_path / "w.caffemodel", original.to_message())
    converted = read(tmp_path / "w.caffemodel", net=str(text))
    assert "no mean given" in converted.notes[0]
    statistics = converted.model.preprocessing.statistics
    torch.testing.assert_close(statistics.mean_value, torch.tensor(ILSVRC_MEAN).flip(0))


@pytest.mark.parametrize("name", ["torchvision", "resnet18-torchvision"])
def test_torchvisions_weights_answer_as_with_its_own_preprocessing(
    tmp_path: Path, name: str
) -> None:
    net = find(name).build(classes=3)
    generator = torch.Generator().manual_seed(0)
    net.init_weights(generator)
    theirs = torchvision.to_torchvision(name, net.state_dict())
    save_state_dict_file(tmp_path / "weights.pth", theirs)
    model = read(tmp_path / "weights.pth", net=name).model
    picture = draw_picture(256)
    share = picture[0, 16:240, 16:240].float() / 255
    x = (share - torch.tensor(torchvision.MEAN)) / torch.tensor(torchvision.DEVIATION)
    with torch.inference_mode():
        wanted = net.eval()(x.permute(2, 0, 1)[None])
    difference = (answers(model, picture) - wanted).abs().max() / wanted.abs().max()
    assert difference < 1e-4  # kernels are rounded once more


def test_labels_name_the_classes(tmp_path: Path) -> None:
    net = find("lenet").build(classes=10)
    save_file(dict(net.state_dict()), tmp_path / "mine.safetensors")
    unnamed = read(tmp_path / "mine.safetensors", net="lenet").model
    assert unnamed.classes[0] == "class 0"
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"digit {n}" for n in range(10)) + "\n")
    pictures = Pictures(labels=labels)
    named = read(tmp_path / "mine.safetensors", net="lenet", pictures=pictures).model
    assert named.classes == tuple(f"digit {n}" for n in range(10))
    labels.write_text("one\ntwo\n")
    with pytest.raises(ValueError, match=r"labels.txt names 2 classes; the net has 10 outputs"):
        read(tmp_path / "mine.safetensors", net="lenet", pictures=pictures)


def test_auxiliary_classifiers_that_a_file_lacks_are_drawn_anew(tmp_path: Path) -> None:
    net = find("googlenet").build(classes=5)
    net.init_weights(torch.Generator().manual_seed(0))
    kept = {n: t for n, t in net.state_dict().items() if not n.startswith("loss")}
    message = Message("NetParameter", {"name": "googlenet"})
    for layer, arrays in to_caffe("googlenet", kept).items():
        record = message.add("layer", {"name": layer, "type": "Convolution"})
        record["blobs"] = [make_blob(array) for array in arrays]
    save_weights(tmp_path / "w.caffemodel", message)
    converted = read(tmp_path / "w.caffemodel", net="googlenet")
    assert any("drawn anew, for training" in text for text in converted.notes)
    found = converted.model.net.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in kept.items())


def test_what_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    net = find("lenet").build(classes=10)
    source = tmp_path / "mine.safetensors"
    save_file(dict(net.state_dict()), source)
    with pytest.raises(StoreError, match=r"mine.safetensor does not exist.*mine.safetensors"):
        read(tmp_path / "mine.safetensor", net="lenet")
    with pytest.raises(ValueError, match=r"the net of .*mine.safetensors is not known; name it"):
        read(source)
    with pytest.raises(ValueError, match=r"no net is called 'lennet'"):
        read(source, net="lennet")
    model = read(source, net="lenet").model
    with pytest.raises(ValueError, match=r"out.tar has no suffix that is known; use .safetensors"):
        write(model, tmp_path / "out.tar")
    with pytest.raises(ValueError, match=r"torchvision has no .*lenet"):
        write(model, tmp_path / "out.pth")
    both = Pictures(mean=source, mean_value=(1.0,))
    with pytest.raises(ValueError, match=r"--mean and --mean-value are both given"):
        read(source, net="lenet", pictures=both)
    with pytest.raises(ValueError, match=r"--mean-value has 2 numbers; give one or three"):
        read(source, net="lenet", pictures=Pictures(mean_value=(1.0, 2.0)))
