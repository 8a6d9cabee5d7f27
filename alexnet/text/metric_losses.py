"""Kinds of losses beside SoftmaxWithLoss: distances, margins and other likelihoods.

Source: BVLC Caffe, src/caffe/layers/{euclidean,hinge,infogain,contrastive,sigmoid_cross_entropy,
multinomial_logistic}_loss_layer.cpp. What differs: a label that is no class is refused, where the
original's release build reads other memory.
"""

import math
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.text.blobs import blob_array
from alexnet.text.combining import check_index
from alexnet.text.gradient import with_gradient
from alexnet.text.kind import Kind, Setting, Shape, Tops
from alexnet.text.message import Message, TextError
from alexnet.text.wire import load

LEAST_PROBABILITY: Final = 1e-20
NEAR_ZERO: Final = 1e-4  # keeps ContrastiveLoss from dividing by a distance of 0


def _rows(setting: Setting) -> int:
    """Return the length of the first axis, which the first two bottoms must share."""
    first, second = setting.bottoms[:2]
    if not first or not second or first[0] != second[0] or not first[0]:
        raise setting.record.refuse(
            f"bottoms are {first} and {second}; both must begin with the number of items"
        )
    return first[0]


def _check_labels(setting: Setting) -> None:
    rows, shape = _rows(setting), setting.bottoms[1]
    if math.prod(shape) != rows:
        raise setting.record.refuse(f"labels are {shape} for {rows} items; give one label for each")


def _normaliser(mode: str, outer: int, inner: int, valid: Tensor | None) -> Tensor | float:
    """Return what a sum over the items is divided by; at least 1, so that no items give 0."""
    match mode:
        case "FULL":
            return max(outer * inner, 1)
        case "VALID" if valid is not None:
            return valid.sum().clamp(min=1)
        case "VALID":
            return max(outer * inner, 1)
        case "BATCH_SIZE":
            return max(outer, 1)
        case _:
            return 1.0


def _ignored(record: Message) -> int | None:
    parameter = record["loss_param"]
    if "ignore_label" not in parameter:
        return None
    return int(parameter["ignore_label"])


class EuclideanLoss(nn.Module):
    """Half the mean squared distance: sum((a - b) ** 2) / (2 * N). Gradients go to both.

    Shapes:  a and b (N, ...) of as many elements -> ().
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the loss."""
        return (a - b.reshape(a.shape)).square().sum() / (2 * a.shape[0])


def euclidean(setting: Setting) -> nn.Module:
    """Build a EuclideanLoss.

    Raises: TextError if the bottoms differ in size.
    """
    _rows(setting)
    first, second = setting.bottoms
    if math.prod(first) != math.prod(second):
        raise setting.record.refuse(f"bottoms are {first} and {second}; they must be of one size")
    return EuclideanLoss()


class HingeLoss(nn.Module):
    """The margin by which a class is missed: sum(max(0, 1 - t * x) ** p) / N.

    t is 1 for the label and -1 for all other classes; p is 1, or 2 with `squared`.

    Shapes:  x (N, ...), labels of N elements -> (); classes are counted through all axes
             after the first.
    Raises:  ValueError if a label is no class.
    """

    def __init__(self, *, squared: bool) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return the loss."""
        x = x.flatten(1)
        check_index(label, x.shape[1], "HingeLoss: label", "the number of classes")
        signs = torch.ones_like(x).scatter(1, label.reshape(-1, 1).long(), -1.0)
        # relu, not clamp: at the margin itself the gradient is 0.
        missed = F.relu(1 + signs * x)
        return (missed.square() if self.squared else missed).sum() / x.shape[0]


def hinge(setting: Setting) -> nn.Module:
    """Build a HingeLoss.

    Raises: TextError if there is not one label for each item.
    """
    _check_labels(setting)
    _check_classes(setting)
    return HingeLoss(squared=setting.record["hinge_loss_param"]["norm"] == "L2")


def _check_classes(setting: Setting) -> None:
    if len(setting.bottom) < 2:
        raise setting.record.refuse(
            f"the predictions are {setting.bottom}; give (items, classes) or more axes"
        )


class MultinomialLogisticLoss(nn.Module):
    """The mean of -log(max(p[label], 1e-20)), with the gradient -1 / (N * max(p[label], 1e-20)).

    Shapes:  p (N, ...) probabilities, labels of N elements -> ().
    Raises:  ValueError if a label is no class.
    """

    def forward(self, p: Tensor, label: Tensor) -> Tensor:
        """Return the loss."""
        p = p.flatten(1)
        check_index(label, p.shape[1], "MultinomialLogisticLoss: label", "the number of classes")
        chosen = p.gather(1, label.reshape(-1, 1).long())
        bounded = chosen.detach().clamp(min=LEAST_PROBABILITY)
        return with_gradient(-bounded.log().mean(), -(chosen / bounded).mean())


def multinomial_logistic(setting: Setting) -> nn.Module:
    """Build a MultinomialLogisticLoss.

    Raises: TextError if there is not one label for each item.
    """
    _check_labels(setting)
    _check_classes(setting)
    return MultinomialLogisticLoss()


class InfogainLoss(nn.Module):
    """A multinomial loss in which each class counts by a row of the matrix H.

        loss = -sum(H[label, k] * log(max(softmax(x)[k], 1e-20)) over k and items) / normaliser
        dx = (softmax(x) * sum(H[label]) - H[label]) / normaliser

    Shapes:  x (N, C, ...), labels (N, ...), H of C * C elements unless it was given to the layer
             -> (), and softmax(x) as a second top.
    Raises:  ValueError if a label is no class.
    """

    def __init__(
        self,
        axis: int,
        mode: str,
        *,
        ignore: int | None,
        matrix: NDArray[np.float32] | None,
        probabilities: bool,
    ) -> None:
        super().__init__()
        self.axis, self.mode, self.ignore = axis, mode, ignore
        self.matrix, self.probabilities = matrix, probabilities

    def forward(self, x: Tensor, label: Tensor, matrix: Tensor | None = None) -> Tops:
        """Return the loss, and the probabilities if they are asked for."""
        scores = x.movedim(self.axis, -1)
        classes = scores.shape[-1]
        rows = torch.as_tensor(self.matrix, device=x.device) if matrix is None else matrix.detach()
        labels = label.reshape(-1).long()
        counted = None if self.ignore is None else labels != self.ignore
        if counted is not None:
            labels = labels * counted
        check_index(labels, classes, "InfogainLoss: label", "the number of classes")
        logs = scores.reshape(-1, classes).log_softmax(-1)
        bounded = with_gradient(logs.clamp(min=math.log(LEAST_PROBABILITY)), logs)
        losses = -(rows.reshape(classes, classes).to(x.dtype)[labels] * bounded).sum(-1)
        if counted is not None:
            losses = losses * counted
        outer = math.prod(x.shape[: self.axis])
        inner = math.prod(x.shape[self.axis + 1 :])
        loss = losses.sum() / _normaliser(self.mode, outer, inner, counted)
        return (loss, x.detach().softmax(self.axis)) if self.probabilities else loss


def _infogain_matrix(record: Message) -> NDArray[np.float32]:
    parameter = record["infogain_loss_param"]
    if "source" not in parameter:
        raise record.refuse(
            "the matrix is missing; give infogain_loss_param { source: FILE } with a .binaryproto "
            "file, or the matrix as a third bottom"
        )
    try:
        return blob_array(load(Path(parameter["source"]), "BlobProto"))
    except TextError as error:
        raise record.refuse(f"the matrix of the loss: {error}") from None


def infogain(setting: Setting) -> nn.Module:
    """Build an InfogainLoss.

    Raises: TextError if the labels or the matrix do not fit the predictions, the matrix cannot be
            read, or the old field `normalize` is given.
    """
    record = setting.record
    axis, loss = setting.axis(record["infogain_loss_param"]["axis"]), record["loss_param"]
    _rows(setting)
    wanted: Shape = (*setting.bottom[:axis], *setting.bottom[axis + 1 :])
    if math.prod(setting.bottoms[1]) != math.prod(wanted):
        raise record.refuse(
            f"labels are {setting.bottoms[1]} for predictions {setting.bottom} with classes on "
            f"axis {axis}; give one label for each of {wanted}"
        )
    if "normalize" in loss:
        raise record.refuse("normalize is not taken by InfogainLoss; use normalization")
    classes = setting.bottom[axis]
    matrix = _infogain_matrix(record) if len(setting.bottoms) < 3 else None
    shape = setting.bottoms[2] if matrix is None else matrix.shape
    if math.prod(shape) != classes * classes:
        raise record.refuse(f"the matrix is {shape}; for {classes} classes it is {classes} squared")
    return InfogainLoss(
        axis,
        loss["normalization"],
        ignore=_ignored(record),
        matrix=matrix,
        probabilities=setting.tops > 1,
    )


class ContrastiveLoss(nn.Module):
    """Draw similar pairs together and push others apart, up to a margin.

        loss = sum(s * d ** 2 + (1 - s) * max(margin - d, 0) ** 2) / (2 * N),  d = |a - b|

    With `legacy` the second term is max(margin - d ** 2, 0). The gradient is the original's, which
    divides by d + 1e-4 where the derivative has d.

    Shapes:  a and b (N, C) or (N, C, 1, 1), s of N elements, 0 or 1 -> ().
    Source:  Hadsell, Chopra and LeCun 2006, "Dimensionality Reduction by Learning an Invariant
             Mapping"; legacy_version has the term that Caffe had by mistake at first.
    """

    def __init__(self, margin: float, *, legacy: bool) -> None:
        super().__init__()
        self.margin, self.legacy = margin, legacy

    def forward(self, a: Tensor, b: Tensor, similar: Tensor) -> Tensor:
        """Return the loss."""
        squares = (a.flatten(1) - b.flatten(1)).square().sum(1)
        alike = similar.detach().reshape(-1).long() != 0
        with torch.no_grad():
            distances = squares.sqrt()
            short = self.margin - (squares if self.legacy else distances)
            apart = short.clamp(min=0)
            weight = -(short > 0).to(a.dtype)
            if not self.legacy:
                weight, apart = weight * short / (distances + NEAR_ZERO), apart.square()
            loss = torch.where(alike, squares, apart).sum()
        carrier = (torch.where(alike, 1.0, weight) * squares).sum()
        return with_gradient(loss, carrier) / (2 * a.shape[0])


def contrastive(setting: Setting) -> nn.Module:
    """Build a ContrastiveLoss.

    Raises: TextError if the bottoms are not two lists of vectors and one of marks.
    """
    rows = _rows(setting)
    first, second, marks = setting.bottoms
    plain = all(len(shape) in (2, 4) and shape[2:] in ((), (1, 1)) for shape in (first, second))
    if not plain or first[1] != second[1]:
        raise setting.record.refuse(
            f"bottoms are {first} and {second}; give two of (items, features)"
        )
    if math.prod(marks) != rows:
        raise setting.record.refuse(
            f"the third bottom is {marks} for {rows} pairs; give one mark for each"
        )
    parameter = setting.record["contrastive_loss_param"]
    return ContrastiveLoss(parameter["margin"], legacy=parameter["legacy_version"])


class SigmoidCrossEntropyLoss(nn.Module):
    """Cross entropy of each element by itself.

        loss = sum(max(x, 0) - x * t + log(1 + exp(-|x|))) / normaliser

    Shapes:  x and targets t in 0..1, of as many elements -> (). Targets that are `ignore` when cut
             to a whole number do not count.
    """

    def __init__(self, mode: str, *, ignore: int | None) -> None:
        super().__init__()
        self.mode, self.ignore = mode, ignore

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        target = target.reshape(x.shape)
        losses = F.binary_cross_entropy_with_logits(x, target, reduction="none")
        counted = None if self.ignore is None else target.long() != self.ignore
        if counted is not None:
            losses = losses * counted
        outer, inner = x.shape[0], math.prod(x.shape[1:])
        return losses.sum() / _normaliser(self.mode, outer, inner, counted)


def sigmoid_cross_entropy(setting: Setting) -> nn.Module:
    """Build a SigmoidCrossEntropyLoss; without `normalization` it is the mean over items.

    Raises: TextError if the bottoms differ in size.
    """
    euclidean(setting)
    loss = setting.record["loss_param"]
    mode = "BATCH_SIZE"
    if "normalization" in loss:
        mode = loss["normalization"]
    elif "normalize" in loss:
        mode = "VALID" if loss["normalize"] else "BATCH_SIZE"
    return SigmoidCrossEntropyLoss(mode, ignore=_ignored(setting.record))


KINDS: Final = {
    "EuclideanLoss": Kind(euclidean, bottoms=(2, 2), loss=True),
    "HingeLoss": Kind(hinge, bottoms=(2, 2), loss=True, first_only=True),
    "InfogainLoss": Kind(infogain, bottoms=(2, 3), tops=(1, 2), loss=True, first_only=True),
    "ContrastiveLoss": Kind(contrastive, bottoms=(3, 3), loss=True),
    "SigmoidCrossEntropyLoss": Kind(
        sigmoid_cross_entropy, bottoms=(2, 2), loss=True, first_only=True
    ),
    "MultinomialLogisticLoss": Kind(
        multinomial_logistic, bottoms=(2, 2), loss=True, first_only=True
    ),
}
