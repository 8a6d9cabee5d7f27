"""Nets of 2014, whose layers are `layers { type: CONVOLUTION }`, as nets of Caffe 1.0.

Source: BVLC Caffe 1.0, src/caffe/util/upgrade_proto.cpp: UpgradeNetDataTransformation, UpgradeV1Net
and UpgradeV1LayerParameter.
"""

from typing import Any, Final

from alexnet.text.message import Message

TYPES: Final = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DECONVOLUTION": "Deconvolution",
    "DATA": "Data",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "ELTWISE": "Eltwise",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "SLICE": "Slice",
    "TANH": "TanH",
    "WINDOW_DATA": "WindowData",
    "THRESHOLD": "Threshold",
}
"""A type of V1 and its name since."""

_DATA: Final = {
    "DATA": "data_param",
    "IMAGE_DATA": "image_data_param",
    "WINDOW_DATA": "window_data_param",
}
_TRANSFORMED: Final = ("scale", "mean_file", "crop_size", "mirror")
_PARAM_SPECS: Final = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}


def has_old_transformations(net: Message) -> bool:
    """Return whether a V1 data layer scales, crops or mirrors by fields of its own."""
    return any(
        name in layer[_DATA[layer["type"]]]
        for layer in net["layers"]
        if layer["type"] in _DATA
        for name in _TRANSFORMED
    )


def move_transformations(net: Message) -> None:
    """Move what V1 data layers do to pictures into their transform_param, in place."""
    for layer in net["layers"]:
        if layer["type"] not in _DATA:
            continue
        source, target = layer.child(_DATA[layer["type"]]), layer.child("transform_param")
        for name in _TRANSFORMED:
            if name in source:
                target[name] = source[name]
                del source[name]


def upgrade_v1(net: Message) -> Message:
    """Return a V1 net as a net of Caffe 1.0.

    Raises: TextError if it has layers of both kinds.
    """
    if "layer" in net:
        raise net.refuse(
            "the net has both `layer` and `layers`; write all of them as"
            ' `layer { type: "Convolution" ... }`',
            "layers",
        )
    kept = {field.name: value for field, value in net.items() if field.name != "layers"}
    upgraded = Message("NetParameter", kept)
    upgraded.stand_where(net)
    for layer in net["layers"]:
        _upgrade_layer(layer, upgraded.add("layer"))
    return upgraded


def _upgrade_layer(old: Message, upgraded: Message) -> None:
    """Fill a layer from a V1 one."""
    upgraded.stand_where(old)
    for field, value in old.items():
        if field.name == "type":
            upgraded["type"] = TYPES[value]
        elif field.name in _PARAM_SPECS:
            _set_in_each(upgraded, _PARAM_SPECS[field.name], value)
        else:
            upgraded[field.name] = value


def _set_in_each(layer: Message, name: str, values: list[Any]) -> None:
    """Set a field in the first of a layer's ParamSpecs, which are made where there are fewer."""
    while len(layer["param"]) < len(values):
        layer.add("param")
    for spec, value in zip(layer["param"], values, strict=False):
        spec[name] = value
