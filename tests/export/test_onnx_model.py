"""A model as an .onnx file: what it says, and the preprocessing inside it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import __version__
from alexnet.data.augment import Colours, Preprocessing, Subtract, cut, same_windows
from alexnet.evaluation.evaluate import probabilities
from alexnet.export.compare import generated_pictures
from alexnet.export.onnx_file import METADATA
from alexnet.export.onnx_model import model_proto
from alexnet.model import Model
from alexnet.nets import find
from tests.export.conftest import make_model
from tests.export.sessions import answer


def other(model: Model, subtract: Subtract, colours: Colours) -> Model:
    """Return the model with another preprocessing; one that reads grey is another net."""
    given = replace(model.preprocessing, subtract=subtract, colours=colours, divide_by=64.0)
    if colours != "grey":
        return replace(model, preprocessing=given)
    net = find("lenet").build(classes=3, input_size=67)
    net.init_weights(torch.Generator().manual_seed(0))
    return Model("lenet", net.eval(), model.classes, given)


@pytest.mark.parametrize("subtract", ["mean-image", "mean-value", "none"])
@pytest.mark.parametrize("colours", ["rgb", "bgr", "grey"])
def test_the_preprocessing_inside_gives_the_probabilities(
    model: Model, subtract: Subtract, colours: Colours
) -> None:
    changed = other(model, subtract, colours)
    pictures = generated_pictures(3, 72)
    wanted = probabilities(changed.net, pictures, changed.preprocessing).numpy()
    found = answer(model_proto(changed, inside=True), pictures)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert wanted.std() > 1e-3


def test_without_it_inputs_become_logits(model: Model) -> None:
    x = cut(generated_pictures(2, 72), same_windows(2, 2, 2), model.preprocessing)
    with torch.inference_mode():
        wanted = model.net(x).numpy()
    found = answer(model_proto(model), x)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_a_file_names_classes_preprocessing_net_and_version(model: Model, tmp_path: Path) -> None:
    proto = model_proto(model, weights="int8", digest="abc")
    properties = {each.key: each.value for each in proto.metadata_props}
    content = json.loads(properties[METADATA])
    assert content["net"] == "tiny"
    assert content["classes"] == list(model.classes)
    assert content["version"] == __version__
    assert (content["weights"], content["model"], content["inside"]) == ("int8", "abc", False)
    assert content["preprocessing"]["picture_size"] == 72
    mean = model.preprocessing.statistics.mean_value.tolist()
    assert content["preprocessing"]["mean_value"] == mean
    assert proto.opset_import[0].version == 17
    names = [each.name for each in (*proto.graph.input, *proto.graph.output)]
    assert names == ["inputs", "logits"]


def test_the_mean_picture_is_in_the_metadata_only_where_it_is_needed(tiny_net: str) -> None:
    model = make_model(tiny_net)
    keys = [each.key for each in model_proto(model).metadata_props]
    assert keys == ["alexnet", "alexnet.mean_image"]
    assert len(model_proto(model, inside=True).metadata_props) == 1
    value = replace(model.preprocessing, subtract="mean-value")
    assert len(model_proto(replace(model, preprocessing=value)).metadata_props) == 1
    assert isinstance(value, Preprocessing)
