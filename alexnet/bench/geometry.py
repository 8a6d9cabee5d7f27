"""A net in the terms of other programs: their padding, their alpha, their dropout."""

from torch import Tensor

from alexnet.nets.alexnet import POOL_STRIDE, AlexNet, Variant


def kind_of(name: str) -> str:
    """Return what a child of the net is, from its name: conv, norm, pool, ..., fc."""
    return name.rstrip("0123456789")


def folded_weight(ours: AlexNet, name: str) -> Tensor:
    """Return the weight of a layer times the share that dropout keeps of its inputs.

    So that dropout which makes up for that in training computes the same function.
    """
    variant = ours.variant
    weight = ours.get_parameter(f"{name}.weight").detach()
    scaled = variant.dropout_scaled == "test"
    before = ("fc6", "fc7") if variant.dropout_place == "before" else ("fc7", "fc8")
    return weight * (1 - variant.dropout_rate) if scaled and name in before else weight


def torch_alpha(variant: Variant) -> float:
    """Return alpha of the norms as those count it who divide it by the window."""
    norm = variant.norm
    return norm.alpha * (norm.window if norm.convention in ("paper", "tf") else 1)


def conv1_padding(variant: Variant, side: int) -> tuple[int, int, int, int]:
    """Return the zeros left of, right of, above and below the picture."""
    if variant.conv1_padding == "end":
        more = (11 - side) if side < 11 else (11 - side) % 4
        return (0, more, 0, more)
    before, after = variant.conv1_padding
    return (before, after, before, after)


def convolution_geometry(ours: AlexNet, name: str) -> tuple[int, int, int]:
    """Return stride, padding and groups of a convolution of the net."""
    weight = ours.get_parameter(f"{name}.weight")
    number = int(name.removeprefix("conv"))
    inputs = 3 if number == 1 else ours.variant.kernels[number - 2]
    stride, padding = (4, 0) if number == 1 else (1, weight.shape[-1] // 2)
    return stride, padding, inputs // weight.shape[1]


def pools_divide(variant: Variant, side: int) -> bool:
    """Return whether every pool divides without rest, so that rounding is no matter."""
    left, right, _, _ = conv1_padding(variant, side)
    size = (side + left + right - 11) // 4 + 1
    for _ in range(3):
        if (size - variant.pool_size) % POOL_STRIDE:
            return False
        size = (size - variant.pool_size) // POOL_STRIDE + 1
    return True
