"""The loss of a classifier, added up so that parts of a batch make the whole."""

from torch import Tensor
from torch.nn import functional as F

NOBODY = -100
"""The label of a row that only fills up a batch and counts for nothing."""


def cross_entropy_sum(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the sum over pictures of the cross-entropy, taken in float32 or wider.

        L = -sum over n of ln softmax(logits[n])[labels[n]]

    `smoothing` spreads that share of each target over all classes.

    Shapes:  logits (N, classes), labels (N,) int64 -> ().
    """
    wide = logits if logits.itemsize > 4 else logits.float()
    return F.cross_entropy(
        wide, labels, label_smoothing=smoothing, reduction="sum", ignore_index=NOBODY
    )
