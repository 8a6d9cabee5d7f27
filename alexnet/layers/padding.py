"""Zero padding past the right and bottom edge, as the convolutions and pools of 2012 read it.

cuda-convnet rounds the number of outputs up: modulesX = 1 + ceil((size - kernel) / stride), and
reads zeros where the last window leaves the picture. Krizhevsky 2012 does not mention it, yet only
so do 224 pixels under an 11 x 11 kernel with stride 4 give the 55 x 55 outputs of figure 2.
"""

from torch import Tensor, nn
from torch.nn import functional


class PadToStride(nn.Module):
    """Append zero rows and columns until whole strides fit.

        size_out = kernel + stride * max(0, ceil((size - kernel) / stride))

    so that a following convolution without padding has 1 + ceil((size - kernel) / stride) outputs
    a side: 224 with kernel 11 and stride 4 becomes 227, which gives 55.

    Shapes:  x (N, C, H, W) of any type -> (N, C, H_out, W_out); x itself if nothing is to pad.
    Source:  modulesX in layer.py of the program of 2012.
    Raises:  ValueError if kernel or stride is below 1, or if x is not 4-D.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        for name, value in (("kernel", kernel), ("stride", stride)):
            if value < 1:
                raise ValueError(f"{name} {value} is below 1; give a number of pixels >= 1")
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"x has {x.ndim} dimensions, not 4; reshape it to (N, C, H, W)")
        bottom, right = (self._missing(size) for size in x.shape[2:])
        if bottom == right == 0:
            return x
        return functional.pad(x, (0, right, 0, bottom))

    def _missing(self, size: int) -> int:
        """Return how many pixels a side of `size` lacks."""
        return (self.kernel - size) if size < self.kernel else (self.kernel - size) % self.stride

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"
