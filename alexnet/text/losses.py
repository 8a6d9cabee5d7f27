"""Kinds of layers over scores of classes: Softmax, SoftmaxWithLoss, Accuracy and ArgMax.

Source: BVLC Caffe, src/caffe/layers/{softmax,softmax_loss,accuracy,argmax}_layer.cpp. What differs:
a label that is no class is refused on CPUs, where the original reads beyond its memory; a second
top of SoftmaxWithLoss works, which the original has but refuses for its number of loss weights.
"""

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from alexnet.text.gradient import with_gradient
from alexnet.text.kind import Kind, Setting, Shape
from alexnet.text.message import Message

MOST_LOSS: Final = -math.log(torch.finfo(torch.float32).tiny)
"""The largest loss of a label: the original takes no logarithm of less than the smallest float."""


class Labels(NamedTuple):
    """How a layer reads labels, which are floats."""

    layer: str
    axis: int
    """The axis of the classes in the scores."""
    ignore: int | None
    """The label that is left out."""

    def read(self, labels: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class of each place, 0 where it is left out, and whether it counts.

        Shapes:  labels of any shape with an element for each place, scores (*before, C, *after)
                 -> classes, int64, and whether they count, bool, (*before, *after).
        Raises:  ValueError on CPUs if a label that counts is no class.
        """
        count = scores.shape[self.axis]
        places = without(tuple(scores.shape), self.axis)
        classes = labels.detach().reshape(places).long()
        counts = torch.ones_like(classes, dtype=torch.bool)
        if self.ignore is not None:
            counts = classes != self.ignore
            classes = classes.where(counts, 0)
        if classes.device.type == "cpu":  # elsewhere the answer would hold up what follows
            wrong = (classes < 0) | (classes >= count)
            if wrong.any():
                raise ValueError(
                    f"layer {self.layer!r}: label {int(classes[wrong][0])} is no class; with "
                    f"{count} scores the labels are 0 to {count - 1}"
                )
        return classes, counts


def without(shape: Shape, axis: int) -> Shape:
    """Return a shape without one axis."""
    return shape[:axis] + shape[axis + 1 :]


def labels_for(setting: Setting, parameter: Message, *, axis: int) -> Labels:
    """Return how the second bottom's labels are read for the scores of the first.

    Raises: TextError if there is no such axis or not one label for each place of the scores.
    """
    scores, labels = setting.bottoms[:2]
    axis = setting.axis(axis)
    places = without(scores, axis)
    if math.prod(labels) != math.prod(places):
        raise setting.record.refuse(
            f"there are {math.prod(labels)} labels {labels} for scores {scores}; with the classes "
            f"on axis {axis} there must be {math.prod(places)}"
        )
    ignores = "ignore_label" in parameter
    return Labels(setting.record["name"], axis, parameter["ignore_label"] if ignores else None)


def softmax(setting: Setting) -> nn.Module:
    """Build the softmax over an axis.

    Raises: TextError if the bottom has no such axis.
    """
    return nn.Softmax(setting.axis(setting.record["softmax_param"]["axis"]))


class SoftmaxWithLoss(nn.Module):
    """Take the logarithmic loss of labels under the softmax of scores.

        loss = -sum(log(max(p[label], tiny))) / d,   d = max(1, normaliser)

    normaliser FULL: places, VALID: places whose label counts, BATCH_SIZE: what lies before the
    axis of the classes, NONE: 1. The gradient is (p - 1[label]) / d, also where p is below tiny.

    Shapes:  scores (*before, C, *after), labels with an element for each place -> loss (), and
             with `probabilities` p, as the scores, through which no gradient goes.
    Raises:  ValueError on CPUs for a label that is no class.
    """

    def __init__(self, labels: Labels, normalization: str, *, probabilities: bool) -> None:
        super().__init__()
        self.labels, self.normalization = labels, normalization
        self.probabilities = probabilities

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the loss, and the probabilities if they are wanted."""
        axis = self.labels.axis
        classes, counts = self.labels.read(labels, scores)
        losses = -scores.log_softmax(axis).gather(axis, classes.unsqueeze(axis)).squeeze(axis)
        losses = with_gradient(losses.clamp(max=MOST_LOSS), losses).where(counts, 0.0)
        loss = losses.sum() / self._normaliser(scores, counts)
        return (loss, scores.detach().softmax(axis)) if self.probabilities else loss

    def _normaliser(self, scores: Tensor, counts: Tensor) -> Tensor | float:
        match self.normalization:
            case "VALID":
                return counts.sum().clamp(min=1)
            case "FULL":
                return max(1, counts.numel())
            case "BATCH_SIZE":
                return max(1, math.prod(scores.shape[: self.labels.axis]))
        return 1.0


def softmax_with_loss(setting: Setting) -> nn.Module:
    """Build the loss.

    Raises: TextError if labels and scores do not match.
    """
    record, parameter = setting.record, setting.record["loss_param"]
    scores, labels = setting.bottoms
    if not labels or not scores or scores[0] != labels[0]:
        raise record.refuse(
            f"scores {scores} and labels {labels} have another first side; both must be the batch"
        )
    normalization = parameter["normalization"]
    if "normalization" not in parameter and "normalize" in parameter:
        normalization = "VALID" if parameter["normalize"] else "BATCH_SIZE"
    reads = labels_for(setting, parameter, axis=record["softmax_param"]["axis"])
    return SoftmaxWithLoss(reads, normalization, probabilities=setting.tops > 1)


class Accuracy(nn.Module):
    """Tell the share of labels that are among the k best scores.

    A label is right if fewer than k other classes have its score or more: who ties with it is
    ahead of it.

    Shapes:  scores (*before, C, *after), labels with an element for each place -> accuracy (), and
             with `each_class` that of each class, (C), 0 for a class without labels.
    Source:  accuracy_layer.cpp.
    Raises:  ValueError on CPUs for a label that is no class.
    """

    def __init__(self, labels: Labels, top_k: int, *, each_class: bool) -> None:
        super().__init__()
        self.labels, self.top_k, self.each_class = labels, top_k, each_class

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the accuracy, and that of each class if it is wanted."""
        axis, scores = self.labels.axis, scores.detach()
        classes, counts = self.labels.read(labels, scores)
        own = scores.gather(axis, classes.unsqueeze(axis))
        others = (scores >= own).sum(axis) - 1
        right, valid = ((others < self.top_k) & counts).to(scores.dtype), counts.to(scores.dtype)
        accuracy = right.sum() / valid.sum().clamp(min=1)
        if not self.each_class:
            return accuracy
        none, index = scores.new_zeros(scores.shape[axis]), classes.flatten()
        hits = none.index_add(0, index, right.flatten())
        return accuracy, hits / none.index_add(0, index, valid.flatten()).clamp(min=1)


def accuracy(setting: Setting) -> nn.Module:
    """Build the accuracy.

    Raises: TextError if labels and scores do not match or there are fewer classes than top_k.
    """
    record, parameter = setting.record, setting.record["accuracy_param"]
    reads = labels_for(setting, parameter, axis=parameter["axis"])
    top_k, classes = parameter["top_k"], setting.bottom[reads.axis]
    if top_k > classes:
        raise record.refuse(f"top_k is {top_k} and there are {classes} classes; use at most that")
    return Accuracy(reads, top_k, each_class=setting.tops > 1)


class ArgMax(nn.Module):
    """Find the k largest elements, of several equal ones those that come last.

    Shapes:  with an axis: x (*before, C, *after) -> (*before, k, *after), places as floats, or with
             `values` the elements; without: x (N, ...) -> (N, 1, k, 1, ...) places among all of a
             picture, or with `values` (N, 2, k, 1, ...), places and elements.
    Source:  argmax_layer.cpp, which sorts pairs of element and place.
    """

    def __init__(self, top_k: int, *, axis: int | None, values: bool) -> None:
        super().__init__()
        self.top_k, self.axis, self.values = top_k, axis, values

    def forward(self, x: Tensor) -> Tensor:
        """Return places or elements."""
        x = x.detach()
        flat, axis = (x.flatten(1), 1) if self.axis is None else (x, self.axis)
        # Backwards and stable: of equal elements the last one comes first.
        largest, places = flat.flip(axis).sort(dim=axis, descending=True, stable=True)
        largest = largest.narrow(axis, 0, self.top_k)
        places = (flat.shape[axis] - 1 - places.narrow(axis, 0, self.top_k)).to(x.dtype)
        if self.axis is not None:
            return largest if self.values else places
        found = torch.stack([places, largest], 1) if self.values else places[:, None]
        return found.reshape((*found.shape, *[1] * (x.dim() - 3)))


def argmax(setting: Setting) -> nn.Module:
    """Build the search for the largest elements.

    Raises: TextError if top_k is 0 or more than there are elements, or there is no such axis.
    """
    record, parameter = setting.record, setting.record["argmax_param"]
    axis = setting.axis(parameter["axis"]) if "axis" in parameter else None
    count = math.prod(setting.bottom[1:]) if axis is None else setting.bottom[axis]
    top_k = parameter["top_k"]
    if not 1 <= top_k <= count:
        raise record.refuse(f"top_k is {top_k}; with {count} elements give 1 to {count}")
    return ArgMax(top_k, axis=axis, values=parameter["out_max_val"])


KINDS: Final = {
    "Softmax": Kind(softmax),
    "SoftmaxWithLoss": Kind(
        softmax_with_loss, bottoms=(2, 2), tops=(1, 2), loss=True, first_only=True
    ),
    "Accuracy": Kind(accuracy, bottoms=(2, 2), tops=(1, 2), first_only=True),
    "ArgMax": Kind(argmax),
}
"""The kinds of this file by the type that a prototxt names."""
