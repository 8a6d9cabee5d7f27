"""Initial weights that carry the differences between pictures through to the last layer.

The paper's weights, N(0, .01) with biases of 1, let them fade: with `alexnet` on MNIST digits the
logits of two pictures differ by .003 at the start, and training spends its first hundred updates
or more at ln(classes). The 2012 program ran with .03 in conv3 to conv5, 15 times better.
"""

import torch
from torch import Tensor, nn

from alexnet.nets.chain import leaves

LAST_DEVIATION = 0.1


@torch.no_grad()
def normalise_outputs(net: nn.Module, x: Tensor) -> None:
    """Scale and shift each layer so that every output has mean 0 and deviation 1 on a batch.

        w_k <- w_k / s_k,   b_k <- -m_k / s_k
        m_k, s_k: mean and deviation of w_k * x over pictures and positions

    Layers are taken in the order in which they run, without dropout. An output that is the same
    for all pictures keeps its weights. The last layer's outputs get deviation 0.1, so that
    training starts near ln(classes).

    Shapes:  x (N, C, H, W), what the net sees of some training pictures.
    Source:  Kraehenbuehl, Doersch, Donahue and Darrell 2016, Data-dependent Initializations of
             Convolutional Neural Networks, section 3.1; weights drawn from the net's own
             distribution.
    Raises:  ValueError if `not_normalisable` has a reason.
    """
    if reason := not_normalisable(net):
        raise ValueError(reason)
    net.eval()
    layers = [layer for _, layer in leaves(net)]
    last = next(layer for layer in reversed(layers) if isinstance(layer, nn.Conv2d | nn.Linear))

    def scale(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            return
        assert layer.bias is not None
        layer.bias.zero_()
        outputs = layer.forward(inputs[0]).transpose(0, 1).flatten(1)  # (K, N * positions)
        deviation, mean = torch.std_mean(outputs, 1, correction=0)
        deviation[deviation <= 1e-6 * deviation.max()] = 1.0
        if layer is last:
            deviation /= LAST_DEVIATION
        layer.weight /= deviation.view(-1, *[1] * (layer.weight.dim() - 1))
        layer.bias -= mean / deviation

    # Every layer has the hook, so that none is fused and each sees what it sees when called alone.
    handles = [layer.register_forward_pre_hook(scale) for layer in layers]
    try:
        net(x)
    finally:
        for handle in handles:
            handle.remove()


def not_normalisable(net: nn.Module) -> str | None:
    """Return why `normalise_outputs` does not suit a net, None if it does.

    It suits nets whose weights are all in convolutions and fully connected layers with biases.
    """
    for name, layer in leaves(net):
        weighted = next(layer.parameters(), None) is not None
        plain = isinstance(layer, nn.Conv2d | nn.Linear)
        if weighted and not (plain and layer.bias is not None):
            return (
                f"init is 'normalised', which scales convolutions and fully connected layers with "
                f"biases, and {name} of this net is {_describe(layer)}; use --init source"
            )
    return None


def _describe(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        return "one without a bias"
    return f"of the kind {type(layer).__name__}"
