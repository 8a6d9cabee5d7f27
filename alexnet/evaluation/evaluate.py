"""Run a net over labelled pictures and count its errors."""

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, nn

from alexnet.data.augment import Preprocessing, cut, same_windows
from alexnet.data.loader import Batch
from alexnet.evaluation.metrics import Counts
from alexnet.evaluation.views import window_corners


@torch.inference_mode()
def probabilities(
    net: nn.Module,
    pictures: Tensor,
    preprocessing: Preprocessing,
    *,
    views: int | str = 1,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the mean of the net's softmax over the views of each picture.

        p = (1 / views) * sum over views v of softmax(net(v))

    Shapes:  pictures (N, H, W, 3) uint8 on the net's device -> (N, classes) float32.
    Source:  Krizhevsky 2012, section 4.1.
    """
    net.eval()
    corners = window_corners(views, preprocessing.border)
    total = torch.zeros(())
    for top, left, flip in corners:
        windows = same_windows(len(pictures), top, left, flip=flip)
        x = cut(pictures, windows, preprocessing)
        with torch.autocast(x.device.type, dtype, enabled=dtype.itemsize == 2):
            logits = net(x)
        total = total.to(x.device) + logits.float().softmax(1)
    return total / len(corners)


def evaluate(
    net: nn.Module,
    batches: Iterable[Batch],
    preprocessing: Preprocessing,
    counts: Counts,
    *,
    views: int | str = 1,
    dtype: torch.dtype = torch.float32,
) -> Counts:
    """Add the errors of `net` over `batches` to `counts` and return it; no picture is left out."""
    device = next(chain(net.parameters(), net.buffers())).device
    for batch in batches:
        pictures = batch.pictures.to(device)
        p = probabilities(net, pictures, preprocessing, views=views, dtype=dtype)
        counts.add(p, batch.labels.to(device))
    return counts
