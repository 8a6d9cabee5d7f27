"""Batch norm whose mean and variance are those of the whole batch, on whatever processes it is.

torch.nn.SyncBatchNorm does this on GPUs only.
"""

from typing import Any

import torch
from torch import Tensor, nn

from alexnet.parallel.collectives import Circle, total


class SharedBatchNorm(nn.BatchNorm2d):
    """Normalise each channel by its mean and variance over the pictures of all processes.

        mean = sum(x) / n,   variance = sum((x - mean) ** 2) / n,   over all pictures and places
        y = weight * (x - mean) / sqrt(variance + eps) + bias

    Sums are taken in float32 or wider, and the sums of squares are of what the mean leaves, so that
    nothing cancels. Parameters and buffers are the given layer's own.

    Shapes:  x (N, C, H, W) -> same.
    Source:  Ioffe and Szegedy 2015, algorithm 1; evaluation and running statistics as torch's.
    """

    def __init__(self, layer: nn.BatchNorm2d, circle: Circle) -> None:
        super().__init__(
            *(layer.num_features, layer.eps, layer.momentum),
            affine=False,
            track_running_stats=False,
        )
        self.affine, self.track_running_stats = layer.affine, layer.track_running_stats
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, parameter)
        for name, buffer in layer.named_buffers():
            self.register_buffer(name, buffer)
        self.training = layer.training
        self._circle = circle

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised; while training, by the statistics of the whole batch."""
        if not self.training or self._circle.size == 1:
            return super().forward(x)
        places = [0, *range(2, x.dim())]
        wide = x if x.dtype == torch.float64 else x.float()
        sums = torch.cat([wide.sum(places), wide.new_tensor([x.numel() // x.shape[1]])])
        sums = total(sums, self._circle)
        count = sums[-1].detach()
        mean = (sums[:-1] / count)[:, None, None]
        left = wide - mean
        variance = total(left.square().sum(places), self._circle) / count
        if self.running_mean is not None and self.running_var is not None:
            self._follow(mean.detach().flatten(), variance.detach(), count)
        y = left * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics, which keep the variance of a sample."""
        tracked: Any = self.num_batches_tracked
        tracked += 1
        share = self.momentum if self.momentum is not None else 1 / float(tracked)
        assert self.running_mean is not None and self.running_var is not None
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        unbiased = variance * (count / (count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var), share)
