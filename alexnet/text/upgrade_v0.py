"""Nets of 2013, whose layers are `layers { layer { ... } }`, as the V1 nets that followed.

Source: BVLC Caffe 1.0, src/caffe/util/upgrade_proto.cpp: UpgradeV0PaddingLayers, UpgradeV0Net and
UpgradeV0LayerParameter. What differs: layers of both kinds in one net are refused, where Caffe
makes layers without a type; a field that a layer's type has no place for is dropped as there, with
a note.
"""

from typing import Final

from alexnet.nearest import nearest
from alexnet.text.message import Message

_TYPES: Final = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

_SAME: Final = ("name", "blobs", "blobs_lr", "weight_decay")
# The message that a type's own fields went to, and the types that had a field.
_GROUPS: Final = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}
_FIELDS: Final = {
    "num_output": ("conv", "innerproduct"),
    "biasterm": ("conv", "innerproduct"),
    "weight_filler": ("conv", "innerproduct"),
    "bias_filler": ("conv", "innerproduct"),
    "pad": ("conv", "pool"),
    "kernelsize": ("conv", "pool"),
    "group": ("conv",),
    "stride": ("conv", "pool"),
    "pool": ("pool",),
    "dropout_ratio": ("dropout",),
    "local_size": ("lrn",),
    "alpha": ("lrn",),
    "beta": ("lrn",),
    "k": ("lrn",),
    "source": ("data", "hdf5_data", "images", "window_data", "infogain_loss"),
    "batchsize": ("data", "hdf5_data", "images", "window_data"),
    "rand_skip": ("data", "images"),
    "shuffle_images": ("images",),
    "new_height": ("images",),
    "new_width": ("images",),
    "concat_dim": ("concat",),
    "det_fg_threshold": ("window_data",),
    "det_bg_threshold": ("window_data",),
    "det_fg_fraction": ("window_data",),
    "det_context_pad": ("window_data",),
    "det_crop_mode": ("window_data",),
}
_NEW_NAMES: Final = {
    "biasterm": "bias_term",
    "kernelsize": "kernel_size",
    "batchsize": "batch_size",
    "shuffle_images": "shuffle",
}
_TRANSFORMED: Final = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
_KEPT: Final = ("name", "input", "input_dim", "force_backward")


def is_v0(net: Message) -> bool:
    """Return whether a net has layers of 2013."""
    return any("layer" in layer for layer in net["layers"])


def upgrade_v0(net: Message, notes: list[str]) -> Message:
    """Return a V0 net as a V1 net; `notes` takes what could not be kept.

    Raises: TextError if the net has layers of both kinds, a type that is none, or padding before
            anything but one convolution or pooling.
    """
    for layer in net["layers"]:
        if "layer" not in layer:
            raise layer.refuse(
                "layers with and without an inner `layer { ... }` cannot stand in one net"
            )
    upgraded = Message("NetParameter", {name: net[name] for name in _KEPT if name in net})
    upgraded.stand_where(net)
    dropped = [field.name for field, _ in net.items() if field.name not in (*_KEPT, "layers")]
    notes += [f"{name} is dropped: nets with V0 layers have none" for name in dropped]
    for layer in _without_padding(net):
        _upgrade_layer(layer, upgraded.add("layers"), notes)
    return upgraded


def _without_padding(net: Message) -> list[Message]:
    """Return a net's layers without those that only pad; what they pad is padded by the next."""
    kept: list[Message] = []
    made_by: dict[str, Message | None] = dict.fromkeys(net["input"])
    for layer in (each.copy() for each in net["layers"]):
        for index, bottom in enumerate(list(layer["bottom"])):
            if bottom not in made_by:
                close = nearest(bottom, made_by)
                raise _named(layer).refuse(
                    f"bottom {bottom!r} is not the top of any layer before it{close}"
                )
            padding = made_by[bottom]
            if padding is None or padding["layer"]["type"] != "padding":
                continue
            _check_padding(padding, layer)
            layer["layer"]["pad"] = padding["layer"]["pad"]
            layer["bottom"][index] = padding["bottom"][0]
        if layer["layer"]["type"] != "padding":
            kept.append(layer)
        made_by |= dict.fromkeys(layer["top"], layer)
    return kept


def _check_padding(padding: Message, layer: Message) -> None:
    kind = layer["layer"]["type"]
    if kind not in ("conv", "pool"):
        raise _named(layer).refuse(f"padding stands before {kind!r}; only conv and pool take it")
    if len(layer["bottom"]) != 1:
        raise _named(layer).refuse("a layer after padding must have one bottom")
    if len(padding["bottom"]) != 1 or len(padding["top"]) != 1:
        raise _named(padding).refuse("padding must have one bottom and one top")


def _named(layer: Message) -> Message:
    """Return the message that has a V0 layer's name, for its errors."""
    inner: Message = layer["layer"]
    return inner


def _upgrade_layer(connection: Message, upgraded: Message, notes: list[str]) -> None:
    """Fill a V1 layer from a V0 one."""
    old = _named(connection)
    kind = old["type"]
    upgraded.stand_where(connection)
    for name in ("bottom", "top"):
        upgraded[name] = connection[name]
    for name in _SAME:
        if name in old:
            upgraded[name] = old[name]
    if "type" in old:
        if kind not in _TYPES:
            raise old.refuse(f"{kind!r} is no type of a V0 layer{nearest(kind, _TYPES)}", "type")
        upgraded["type"] = _TYPES[kind]
    for field, value in old.items():
        name = field.name
        if name in _TRANSFORMED:
            upgraded.child("transform_param")[_TRANSFORMED[name]] = value
        elif name == "hdf5_output_param" and kind == "hdf5_output":
            upgraded["hdf5_output_param"] = value
        elif kind in _FIELDS.get(name, ()):
            group = upgraded.child(_GROUPS[kind])
            new_name = _NEW_NAMES.get(name, name.removeprefix("det_"))
            group[new_name] = [value] if group.field(new_name).repeated else value
        elif name not in (*_SAME, "type"):
            notes.append(old.refuse(f"{name} is dropped: a {kind!r} layer has none", name).args[0])
