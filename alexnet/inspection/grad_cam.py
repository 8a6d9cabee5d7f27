"""Grad-CAM: where the maps of a layer speak for a class.

Source: Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, Grad-CAM: Visual Explanations from
Deep Networks via Gradient-based Localization, 2017, equations 1 and 2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.inspection.watch import find_layer, last_maps, watched
from alexnet.nets.chain import Chain


def grad_cam(net: Chain, x: Tensor, *, target: int, layer: str = "") -> Tensor:
    """Return what the maps of a layer add to the score of a class, place by place.

        alpha_k = mean over i, j of d y_target / d A_k[i, j],   L = max(0, sum over k alpha_k A_k)

    y is the score before the softmax and A the output of `layer`, or if none is given that of the
    last layer with convolutions, after its activation.

    Shapes:  x (N, C, H, W) -> (N, h, w) float32, the size of that layer's maps.
    Raises:  ValueError if there is no such layer or class, or the layer gives no maps.
    """
    if not 0 <= target < net.classes:
        raise ValueError(f"class number {target} is not among the {net.classes} of the net")
    name = layer or last_maps(net, x)
    find_layer(net, name)
    with torch.enable_grad(), watched(net, (name,)) as kept:
        scores = net(x.detach().clone().requires_grad_())
        maps = kept[name]
        if maps.dim() != 4:
            shape = "x".join(map(str, maps.shape[1:]))
            raise ValueError(f"layer {name} gives no maps but {shape}; name one with convolutions")
        (gradient,) = torch.autograd.grad(scores[:, target].sum(), maps)
    alpha = gradient.float().mean((2, 3), keepdim=True)
    return (alpha * maps.detach().float()).sum(1).relu()


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps in the size of the picture, between their places in proportion (bilinear).

    Shapes:  maps (N, h, w) -> (N, *size).
    """
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
