"""The networks, one paper a file.

NETS has all by name, ALEXNETS those that are called AlexNet, ABLATED those that lack a part of it.
"""

from alexnet.nearest import nearest
from alexnet.nets import ablated, four_layer, googlenet, lenet, resnet, variants, vgg
from alexnet.nets.alexnet import Variant
from alexnet.nets.chain import Architecture

ALEXNETS: dict[str, Variant] = {
    "alexnet": variants.ALEXNET,
    "alexnet-2012": variants.ALEXNET_2012,
    "alexnet-2012-half": variants.ALEXNET_2012_HALF,
    "alexnet-1col": variants.ALEXNET_1COL,
    "alexnet-owt": variants.ALEXNET_OWT,
    "torchvision": variants.TORCHVISION,
    "bvlc-alexnet": variants.BVLC_ALEXNET,
    "caffenet": variants.CAFFENET,
    "keras": variants.KERAS,
}
ABLATED: dict[str, Variant] = {
    "alexnet-no-norm": ablated.NO_NORM,
    "alexnet-2x2-pools": ablated.TWO_BY_TWO_POOLS,
    "alexnet-half": ablated.HALF,
    "alexnet-apart": ablated.APART,
    "alexnet-tanh": ablated.TANH,
    "alexnet-no-dropout": ablated.NO_DROPOUT,
}
NETS: dict[str, Architecture] = {
    "lenet-5": lenet.LENET_5,
    "lenet": lenet.LENET,
    "four-layer": four_layer.FOUR_LAYER,
    "four-layer-tanh": four_layer.FOUR_LAYER_TANH,
    **ALEXNETS,
    **ABLATED,
    "vgg11": vgg.VGG11,
    "vgg11-bn": vgg.VGG11_BN,
    "vgg13": vgg.VGG13,
    "vgg13-bn": vgg.VGG13_BN,
    "vgg16": vgg.VGG16,
    "vgg16-bn": vgg.VGG16_BN,
    "vgg19": vgg.VGG19,
    "vgg19-bn": vgg.VGG19_BN,
    "googlenet": googlenet.GOOGLENET,
    "googlenet-torchvision": googlenet.GOOGLENET_TORCHVISION,
    "resnet18": resnet.RESNET18,
    "resnet34": resnet.RESNET34,
    "resnet50": resnet.RESNET50,
    "resnet101": resnet.RESNET101,
    "resnet152": resnet.RESNET152,
    "resnet18-torchvision": resnet.RESNET18_TORCHVISION,
    "resnet34-torchvision": resnet.RESNET34_TORCHVISION,
    "resnet50-torchvision": resnet.RESNET50_TORCHVISION,
    "resnet101-torchvision": resnet.RESNET101_TORCHVISION,
    "resnet152-torchvision": resnet.RESNET152_TORCHVISION,
}


def find(name: str) -> Architecture:
    """Return the net of that name.

    Raises: ValueError if there is none; the message gives the nearest name and all of them.
    """
    if name not in NETS:
        raise ValueError(
            f"no net is called {name!r}{nearest(name, NETS)}; the nets are {', '.join(NETS)}"
        )
    return NETS[name]
