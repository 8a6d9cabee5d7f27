"""Which tensor of a net a layer's name means: names of the papers, of Caffe and of torchvision.

One rule for all nets. The name of a layer with weights (conv5, fc7) means what Caffe's blob of that
name holds, the paper's neurons: the layer with the batch norm and the activation function that
directly follow it. Where something else comes between, as the norm and the pool of `alexnet-2012`
do, it is the layer's own output. Any other name means that layer's own output, and so does NAME
followed by `:before`. A name of torchvision's (features.0, classifier.4, layer1.0.conv2) is that of
a module and means the module's own output, before what follows.

Where a name stands in two worlds, ours goes first: `conv1` of a ResNet is Caffe's, after its ReLU.

Sources: Caffe's bvlc_googlenet and the ResNet authors' prototxts; torchvision.models and
         torchvision.models.feature_extraction (relu_1 is the second call of relu).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.radial import RadialBasis
from alexnet.layers.subsampling import ScaledTanh
from alexnet.nearest import nearest
from alexnet.nets.alexnet import AlexNet
from alexnet.nets.chain import Chain
from alexnet.nets.googlenet import GoogLeNet, Inception
from alexnet.nets.lenet import LeNet5
from alexnet.nets.resnet import Residual, ResNet
from alexnet.nets.vgg import VGG
from alexnet.text.picture import PictureNet

BEFORE = ":before"
"""Ends a name that means a layer's own output, before any activation function."""
NO_ACTIVATION = "no activation function follows"
TEXT_ACTIVATIONS = frozenset({"ReLU", "PReLU", "ELU", "TanH", "Sigmoid", "Swish", "AbsVal", "BNLL"})
TEXT_WEIGHTS = frozenset({"Convolution", "Deconvolution", "InnerProduct", "Embed", "LSTM", "RNN"})

_ALEXNET = {
    "features.0": "conv1:before",
    "features.1": "relu1",
    "features.2": "pool1",
    "features.3": "conv2:before",
    "features.4": "relu2",
    "features.5": "pool2",
    "features.6": "conv3:before",
    "features.7": "relu3",
    "features.8": "conv4:before",
    "features.9": "relu4",
    "features.10": "conv5:before",
    "features.11": "relu5",
    "features.12": "pool5",
    "avgpool": "average5",
    "classifier.0": "drop6",
    "classifier.1": "fc6:before",
    "classifier.2": "relu6",
    "classifier.3": "drop7",
    "classifier.4": "fc7:before",
    "classifier.5": "relu7",
    "classifier.6": "fc8",
}
_VGG_CLASSIFIER = {
    "classifier.0": "fc6:before",
    "classifier.1": "relu6",
    "classifier.2": "drop6",
    "classifier.3": "fc7:before",
    "classifier.4": "relu7",
    "classifier.5": "drop7",
    "classifier.6": "fc8",
}
_LENET_5 = {name.upper(): name for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output")}
_GOOGLENET = {
    "conv1/7x7_s2": "conv1",
    "conv1/relu_7x7": "relu1",
    "pool1/3x3_s2": "pool1",
    "pool1/norm1": "norm1",
    "conv2/3x3_reduce": "reduce2",
    "conv2/relu_3x3_reduce": "relu_reduce2",
    "conv2/3x3": "conv2",
    "conv2/relu_3x3": "relu2",
    "conv2/norm2": "norm2",
    "pool2/3x3_s2": "pool2",
    "pool3/3x3_s2": "pool3",
    "pool4/3x3_s2": "pool4",
    "pool5/7x7_s1": "pool5",
    "loss3/classifier": "fc",
    "conv1.conv": "conv1:before",
    "conv1.bn": "bn1",
    "conv2.conv": "reduce2:before",
    "conv2.bn": "bn_reduce2",
    "conv3.conv": "conv2:before",
    "conv3.bn": "bn2",
    **{f"maxpool{number}": f"pool{number}" for number in (1, 2, 3, 4)},
    "avgpool": "pool5",
    "dropout": "drop5",
}
"""Caffe's names of the stem, then torchvision's; those that mean another layer here are left out:
torchvision's conv2 and conv3 are reduce2 and conv2."""
_INCEPTION = {
    "/1x1": "conv1x1",
    "/relu_1x1": "relu1x1",
    "/3x3_reduce": "reduce3x3",
    "/relu_3x3_reduce": "relu_reduce3x3",
    "/3x3": "conv3x3",
    "/relu_3x3": "relu3x3",
    "/5x5_reduce": "reduce5x5",
    "/relu_5x5_reduce": "relu_reduce5x5",
    "/5x5": "conv5x5",
    "/relu_5x5": "relu5x5",
    "/pool": "pool",
    "/pool_proj": "project",
    "/relu_pool_proj": "relu_project",
    "/output": "",
}
_INCEPTION_TORCHVISION = {
    "": "",
    ".branch1": "conv1x1",
    ".branch2": "conv3x3",
    ".branch2.0": "reduce3x3",
    ".branch2.1": "conv3x3",
    ".branch3": "conv5x5",
    ".branch3.0": "reduce5x5",
    ".branch3.1": "conv5x5",
    ".branch4": "project",
    ".branch4.0": "pool",
    ".branch4.1": "project",
}
_RESIDUAL_CAFFE = {
    "": "",
    "_relu": "",
    "_branch1": "project",
    "_branch2a": "conv1",
    "_branch2a_relu": "relu1",
    "_branch2b": "conv2",
    "_branch2b_relu": "relu2",
    "_branch2c": "conv3",
}
_RESIDUAL_TORCHVISION = {
    "": "",
    ".conv1": "conv1:before",
    ".bn1": "bn1",
    ".conv2": "conv2:before",
    ".bn2": "bn2",
    ".conv3": "conv3:before",
    ".bn3": "bn3",
    ".downsample.0": "project:before",
    ".downsample.1": "bn_project",
    ".downsample": "bn_project",
    ".add": "add",
}
_RELUS = {False: ("relu1", "relu"), True: ("relu1", "relu2", "relu")}
"""The ReLUs of a block in their order, by whether it is a bottleneck."""


@dataclass(frozen=True)
class Spot:
    """A tensor of a net that features are taken from."""

    asked: str
    """The name that was given."""
    layer: str
    """The layer whose output it is, for `Chain.activations`."""
    says: str
    """Whether it stands before or after an activation function, in words."""

    def __str__(self) -> str:
        return f"{self.asked}: output of {self.layer}, {self.says}"


def resolve(net: Chain, name: str) -> Spot:
    """Return the tensor that a name means, by the rule above.

    Raises: ValueError if nothing has that name: the nearest is named and the steps are listed; or
            if a text net overwrites what a name with `:before` means.
    """
    if isinstance(net, PictureNet):
        return _of_text(net, name)
    own = {each for line in _lines(net) for each in line}
    others = _other_names(net)
    plain = name.removesuffix(BEFORE)
    if plain not in own | others.keys():
        steps = ", ".join(step for step, _ in net.steps())
        raise ValueError(
            f"no layer is called {plain!r}{nearest(plain, [*sorted(own), *others])}; the layers "
            f"are {steps}; names of Caffe's and torchvision's are taken where they fit, and "
            f"fc7{BEFORE} is fc7 before its ReLU"
        )
    meant = plain if plain in own else others[plain]
    layer = meant.removesuffix(BEFORE)
    if not (name.endswith(BEFORE) or meant.endswith(BEFORE)):
        layer = _with_what_follows(net, layer)
    return Spot(name, layer, _say(net, layer))


def last_hidden(net: Chain) -> str:
    """Return the name of what the layer of the logits reads: fc7 of AlexNet, pool5 of GoogLeNet.

    Source:  Krizhevsky 2012, section 6.1: the last hidden layer is what pictures are compared by.
    """
    if isinstance(net, PictureNet):
        records = net.body.records
        return next(str(r["bottom"][0]) for r in records if net.deploy.logits in r["top"])
    names = [name for name, _ in net.steps()]
    at = len(names) - 1
    while isinstance(net.get_submodule(names[at - 1]), Dropout | nn.Dropout | nn.Flatten):
        at -= 1
    layer = names[at - 1]
    same = (name for name in names if _with_what_follows(net, name) == layer)
    return next(same, layer)


# ---- Our nets -----------------------------------------------------------------------------------


def _lines(net: Chain) -> Iterator[list[str]]:
    """Yield layers that follow each other: the steps, and each way through each block."""
    yield [name for name, _ in net.steps()]
    for name, block in net.steps():
        if isinstance(block, Residual):
            ways = [[*block.residuals, "add", "relu"]]
            ways += [["project", "bn_project", "add", "relu"]] if block.projects else []
        elif isinstance(block, Inception):
            called = {layer: inside for inside, layer in block.named_children()}
            branches = [[called[layer] for layer in branch] for branch in block.branches()]
            ways = [branch if branch == ["concat"] else [*branch, "concat"] for branch in branches]
        else:
            continue
        yield from ([f"{name}.{inside}" for inside in way] for way in ways)


def _line_of(net: Chain, layer: str) -> list[str]:
    return next(line for line in _lines(net) if layer in line)


def _has_weights(module: nn.Module) -> bool:
    """Return whether a layer makes neurons: it has weights and is neither a norm nor a block."""
    if isinstance(module, nn.BatchNorm2d | Residual | Inception):
        return False
    return isinstance(module, RadialBasis) or next(module.parameters(), None) is not None


def _activation(module: nn.Module) -> str:
    """Return what activation function a layer is, or a block ends in."""
    if isinstance(module, nn.ReLU | Residual | Inception):
        return "ReLU"
    return "tanh" if isinstance(module, nn.Tanh | ScaledTanh) else ""


def _with_what_follows(net: Chain, layer: str) -> str:
    """Return the last of a layer with weights and its batch norm and activation function."""
    if not _has_weights(net.get_submodule(layer)):
        return layer
    line = _line_of(net, layer)
    for name in line[line.index(layer) + 1 :]:
        module = net.get_submodule(name)
        if isinstance(module, nn.BatchNorm2d):
            layer = name
        else:
            return name if isinstance(module, nn.ReLU | nn.Tanh | ScaledTanh) else layer
    return layer


def _say(net: Chain, layer: str) -> str:
    """Say whether a layer's output stands before or after an activation function."""
    module, factor = net.get_submodule(layer), ""
    if isinstance(module, Dropout) and module.scaled == "test":
        factor = f", times {1 - module.rate:g} (dropout at test)"
    line = _line_of(net, layer)
    at = line.index(layer)
    for name in reversed(line[: at + 1]):
        if kind := _activation(net.get_submodule(name)):
            return f"after {kind}{factor}"
        if _has_weights(net.get_submodule(name)):
            break
    else:
        return "after ReLU" if "." in layer else "before any layer with weights"
    for name in line[at + 1 :]:
        if kind := _activation(net.get_submodule(name)):
            return f"before {kind} ({name} follows)"
        if _has_weights(net.get_submodule(name)):
            break
    return NO_ACTIVATION


def _other_names(net: Chain) -> Mapping[str, str]:
    """Return what names of Caffe's and torchvision's mean in a net, in our names."""
    match net:
        case AlexNet():
            return _of_alexnet(net)
        case VGG():
            return _of_vgg(net)
        case GoogLeNet():
            return dict(_of_googlenet(net))
        case ResNet():
            return dict(_of_resnet(net))
        case LeNet5():
            return _LENET_5
    return {}


def _of_alexnet(net: AlexNet) -> dict[str, str]:
    """Return torchvision's names, without those whose place in the order is another here."""
    variant = net.variant
    orders = {1: variant.after_conv1, 2: variant.after_conv2, 5: variant.after_conv5}
    odd = {"drop6", "drop7"} if variant.dropout_place == "after" else set()
    for number, order in orders.items():
        if [step for step in order if step in ("activation", "pool")] != ["activation", "pool"]:
            odd |= {f"relu{number}", f"pool{number}"}
    present = {name for name, _ in net.steps()} - odd
    return {k: name for k, name in _ALEXNET.items() if name.removesuffix(BEFORE) in present}


def _of_vgg(net: VGG) -> dict[str, str]:
    steps = [name for name, _ in net.steps()]
    names = {f"features.{i}": name for i, name in enumerate(steps[: steps.index("flatten")])}
    own = {k: f"{name}{BEFORE}" if "conv" in name else name for k, name in names.items()}
    return own | _VGG_CLASSIFIER


def _of_googlenet(net: GoogLeNet) -> Iterator[tuple[str, str]]:
    present = {each for line in _lines(net) for each in line}
    yield from ((k, n) for k, n in _GOOGLENET.items() if n.removesuffix(BEFORE) in present)
    for block in (name for name in present if isinstance(net.get_submodule(name), Inception)):
        for end, inside in _INCEPTION.items():
            yield f"{block}{end}", _inside(block, inside)
        theirs = block.replace("_", "")
        for end, inside in _INCEPTION_TORCHVISION.items():
            yield f"{theirs}{end}", _inside(block, inside)
            if inside and inside != "pool":
                yield f"{theirs}{end}.conv", f"{block}.{inside}{BEFORE}"
                norm = f"{block}.bn{inside.removeprefix('conv')}"
                norm = norm if inside.startswith("conv") else f"{block}.bn_{inside}"
                if norm in present:
                    yield f"{theirs}{end}.bn", norm


def _of_resnet(net: ResNet) -> Iterator[tuple[str, str]]:
    yield from {"relu": "relu1", "maxpool": "pool1", "avgpool": "pool5"}.items()
    bottleneck = net.variant.bottleneck
    if bottleneck:
        yield from {"conv1_relu": "relu1", "fc1000": "fc"}.items()
    deep = net.variant.blocks[1:3] != (4, 6)
    for block, module in net.blocks():
        stage, number = (int(digits) for digits in re.findall(r"\d+", block))
        present = {"", *(name for name, _ in module.named_children())}
        theirs = f"layer{stage - 1}.{number - 1}"
        letter = chr(ord("a") + number - 1)
        if deep and stage in (3, 4) and number > 1:
            letter = f"b{number - 1}"  # the deep nets have more blocks there than letters
        tables = [(theirs, _RESIDUAL_TORCHVISION)]
        tables += [(f"res{stage}{letter}", _RESIDUAL_CAFFE)] if bottleneck else []
        for start, table in tables:
            for end, inside in table.items():
                if inside.removesuffix(BEFORE) in present:
                    yield f"{start}{end}", _inside(block, inside)
        for call, relu in enumerate(_RELUS[bottleneck]):
            yield f"{theirs}.relu{f'_{call}' if call else ''}", f"{block}.{relu}"
        yield f"layer{stage - 1}", block  # the last block of the stage comes last


def _inside(block: str, inside: str) -> str:
    return f"{block}.{inside}" if inside else block


# ---- Nets from a prototxt -----------------------------------------------------------------------


def _of_text(net: PictureNet, name: str) -> Spot:
    """Return a blob of a text net; a layer that works in place leaves it as Caffe does."""
    plain = name.removesuffix(BEFORE)
    records = [record for record in net.body.records if record["top"]]
    tops = {str(r["name"]): str(r["top"][0]) for r in records}
    known = {**tops, **{each: each for each in net.body.shapes}}
    if plain not in known:
        raise ValueError(
            f"no layer or blob is called {plain!r}{nearest(plain, known)}; "
            f"the blobs are {', '.join(net.body.shapes)}"
        )
    blob = known[plain]
    makers = [r for r in records if blob in r["top"]]
    if name != plain and len(makers) > 1:
        raise ValueError(
            f"{name!r}: layer {makers[1]['name']!r} overwrites the blob {blob!r} in place; "
            f"give that layer a top of its own in the prototxt"
        )
    upwards, at = makers, blob
    while upwards and not any(r["type"] in TEXT_ACTIVATIONS for r in upwards):
        bottoms = [str(each) for each in upwards[0]["bottom"]]
        if upwards[0]["type"] in TEXT_WEIGHTS or not bottoms or bottoms[0] == at:
            break
        at = bottoms[0]
        upwards = [r for r in records if at in r["top"]]
    done = next((r["type"] for r in upwards if r["type"] in TEXT_ACTIVATIONS), "")
    readers = [r for r in records if blob in r["bottom"] and r["type"] in TEXT_ACTIVATIONS]
    if done:
        return Spot(name, plain, f"after {done}")
    if readers:
        return Spot(name, plain, f"before {readers[0]['type']} ({readers[0]['name']} follows)")
    return Spot(name, plain, "no activation function directly before or after it")
