"""Initial weights that carry the differences between pictures through to the last layer.

The paper's weights, N(0, .01) with biases of 1, let them fade: with `alexnet` on MNIST digits the
logits of two pictures differ by .003 at the start, and training spends its first hundred updates
or more at ln(classes). The 2012 program ran with .03 in conv3 to conv5, 15 times better.
"""

import torch
from torch import Tensor, nn

LAST_DEVIATION = 0.1


@torch.no_grad()
def normalise_outputs(net: nn.Module, x: Tensor) -> None:
    """Scale and shift each layer so that every output has mean 0 and deviation 1 on a batch.

        w_k <- w_k / s_k,   b_k <- -m_k / s_k
        m_k, s_k: mean and deviation of w_k * x over pictures and positions

    Layers are taken from the first to the last, without dropout. An output that is the same for
    all pictures keeps its weights. The last layer's outputs get deviation 0.1, so that training
    starts near ln(classes).

    Shapes:  x (N, 3, H, W), what the net sees of some training pictures.
    Source:  Kraehenbuehl, Doersch, Donahue and Darrell 2016, Data-dependent Initializations of
             Convolutional Neural Networks, section 3.1; weights drawn from the net's own
             distribution.
    """
    net.eval()
    layers = list(net.children())
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None
            layer.bias.zero_()
            outputs = layer(x).transpose(0, 1).flatten(1)  # (K, N * positions)
            deviation, mean = torch.std_mean(outputs, 1, correction=0)
            deviation[deviation <= 1e-6 * deviation.max()] = 1.0
            if layer is layers[-1]:
                deviation /= LAST_DEVIATION
            layer.weight /= deviation.view(-1, *[1] * (layer.weight.dim() - 1))
            layer.bias -= mean / deviation
        x = layer(x)
