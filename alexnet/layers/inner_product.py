"""A fully connected layer that takes several axes of its input as one.

Source: Caffe's InnerProduct, inner_product_layer.cpp, where no layer of its own makes maps flat.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class InnerProduct(nn.Linear):
    """Multiply everything from an axis on by a matrix.

        y[..., k] = b[k] + sum(w[k, i] * x[..., i])

    with i over all axes from `axis` on, in their order. It is torch's nn.Linear for all who look at
    weights; only its input is made flat.

    Shapes:  x (*lead, *sides) -> (*lead, K), `axis` of lead; w (K, product of the sides), b (K).
    """

    def __init__(self, inputs: int, outputs: int, *, axis: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Return the products."""
        return F.linear(x.flatten(self.axis), self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, axis={self.axis}"
