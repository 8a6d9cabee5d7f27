"""Kinds of layers that join, part and reshape blobs.

Source: BVLC Caffe, src/caffe/layers/{eltwise,concat,slice,split,flatten,reshape,silence}_layer.cpp.
What differs: `stable_prod_grad: false` of Eltwise asks there for a quicker gradient of products,
with a division; here it is always the product of the others.
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from alexnet.text.kind import MANY, Kind, Setting, Shape
from alexnet.text.message import Message
from alexnet.text.neurons import refuse_in_place


class WeightedSum(nn.Module):
    """Add blobs: y = sum(coefficient_i * x_i), of x_i of one shape."""

    def __init__(self, coefficients: Sequence[float]) -> None:
        super().__init__()
        self.coefficients = tuple(coefficients)

    def forward(self, *xs: Tensor) -> Tensor:
        """Return the sum."""
        y: Tensor | None = None
        for x, coefficient in zip(xs, self.coefficients, strict=True):
            if y is None:
                y = x if coefficient == 1 else x * coefficient
            else:
                y = torch.add(y, x, alpha=coefficient)
        assert y is not None
        return y

    def extra_repr(self) -> str:
        return ", ".join(f"{coefficient:g}" for coefficient in self.coefficients)


class Product(nn.Module):
    """Multiply blobs: y = x_1 * x_2 * ..., of x_i of one shape."""

    def forward(self, *xs: Tensor) -> Tensor:
        """Return the product."""
        y = xs[0]
        for x in xs[1:]:
            y = y * x
        return y


class Largest(nn.Module):
    """Take the largest of blobs: y = max(x_1, x_2, ...), of x_i of one shape.

    The gradient goes to one of them: of equal ones to the second if it is among them, and else to
    the first of them. So does the original.
    """

    def forward(self, *xs: Tensor) -> Tensor:
        """Return the largest elements."""
        y = torch.where(xs[0] > xs[1], xs[0], xs[1])
        for x in xs[2:]:
            y = torch.where(x > y, x, y)
        return y


def eltwise(setting: Setting) -> nn.Module:
    """Build the sum, product or largest of blobs.

    Raises: TextError if shapes differ or the coefficients do not fit.
    """
    record, parameter = setting.record, setting.record["eltwise_param"]
    for index, shape in enumerate(setting.bottoms):
        if shape != setting.bottom:
            raise record.refuse(
                f"bottoms {record['bottom'][0]!r} {setting.bottom} and "
                f"{record['bottom'][index]!r} {shape} have other shapes; they must be equal"
            )
    given = [float(coefficient) for coefficient in parameter["coeff"]]
    operation = parameter["operation"]
    if given and operation == "PROD":
        raise record.refuse("coeff is for operation SUM; leave it out for PROD")
    if given and len(given) != len(setting.bottoms):
        raise record.refuse(
            f"coeff stands {len(given)} times for {len(setting.bottoms)} bottoms; give one for each"
        )
    if operation == "SUM":
        return WeightedSum(given or [1.0] * len(setting.bottoms))
    return Product() if operation == "PROD" else Largest()


class Join(nn.Module):
    """Put blobs behind each other along an axis; their other sides are equal."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *xs: Tensor) -> Tensor:
        """Return the blobs as one."""
        return xs[0] if len(xs) == 1 else torch.cat(xs, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


def _axis(setting: Setting, parameter: Message, old: str) -> int:
    """Return the axis of a Concat or Slice layer; `old` is its name in old files."""
    if old not in parameter:
        return setting.axis(parameter["axis"])
    if "axis" in parameter:
        raise setting.record.refuse(f"axis and {old} are both given; leave {old} out")
    return setting.axis(parameter[old])


def concat(setting: Setting) -> nn.Module:
    """Build the joining of blobs.

    Raises: TextError if there is no such axis, or the sides along the others differ.
    """
    record = setting.record
    axis = _axis(setting, record["concat_param"], "concat_dim")
    others = setting.bottom[:axis] + setting.bottom[axis + 1 :]
    for name, shape in zip(record["bottom"], setting.bottoms, strict=True):
        if len(shape) != len(setting.bottom) or shape[:axis] + shape[axis + 1 :] != others:
            raise record.refuse(
                f"bottoms {record['bottom'][0]!r} {setting.bottom} and {name!r} {shape} may differ "
                f"along axis {axis} only"
            )
    return Join(axis)


class Part(nn.Module):
    """Cut a blob along an axis, at the given places or into equal parts."""

    def __init__(self, axis: int, parts: int, points: Sequence[int]) -> None:
        super().__init__()
        self.axis, self.parts, self.points = axis, parts, tuple(points)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the parts."""
        if self.points:
            return x.tensor_split(self.points, self.axis)
        return x.tensor_split(self.parts, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}, parts={self.parts}, points={self.points}"


def part(setting: Setting) -> nn.Module:
    """Build the cutting of a blob into the layer's tops.

    Raises: TextError if there is no such axis, the tops do not divide its side, or the slice
            points are no rising places within it, one fewer than tops.
    """
    record, parameter = setting.record, setting.record["slice_param"]
    axis = _axis(setting, parameter, "slice_dim")
    side, points = setting.bottom[axis], [int(point) for point in parameter["slice_point"]]
    if not points and side % setting.tops:
        raise record.refuse(
            f"{setting.tops} tops do not divide axis {axis} of {side}; give slice_point, or "
            "another number of tops"
        )
    if points and len(points) != setting.tops - 1:
        raise record.refuse(
            f"{len(points)} slice_point for {setting.tops} tops; give {setting.tops - 1}"
        )
    for before, after in zip([0, *points], [*points, side], strict=True):
        if points and before >= after:
            raise record.refuse(
                f"slice_point {', '.join(map(str, points))} must rise from above 0 to below the "
                f"{side} of axis {axis}"
            )
    return Part(axis, setting.tops, points)


class Copies(nn.Module):
    """Give a blob to several readers; its gradient is the sum of theirs."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the blob as often as there are tops."""
        return (x,) * self.count


class Silence(nn.Module):
    """Take blobs that nothing else reads, and give nothing."""

    def forward(self, *xs: Tensor) -> tuple[Tensor, ...]:
        """Return nothing."""
        return ()


class Flatten(nn.Module):
    """Make one axis of several, from `axis` to `end`; none of them becomes an axis of 1.

    Shapes:  x (*before, *middle, *after) -> (*before, product of middle, *after).
    """

    def __init__(self, axis: int, end: int) -> None:
        super().__init__()
        self.axis, self.end = axis, end

    def forward(self, x: Tensor) -> Tensor:
        """Return the blob with fewer axes."""
        middle = math.prod(x.shape[self.axis : self.end + 1])
        return x.reshape((*x.shape[: self.axis], middle, *x.shape[self.end + 1 :]))

    def extra_repr(self) -> str:
        return f"axis={self.axis}, end={self.end}"


def flatten(setting: Setting) -> nn.Module:
    """Build the flattening.

    Raises: TextError if there are no such axes, or the layer works in place.
    """
    record, parameter = setting.record, setting.record["flatten_param"]
    refuse_in_place(setting)
    axis, end = setting.axis(parameter["axis"]), setting.axis(parameter["end_axis"])
    if end < axis - 1:
        raise record.refuse(f"end_axis {end} lies before axis {axis}; exchange them")
    return nn.Flatten(axis, end) if axis <= end else Flatten(axis, end)


class Reshape(nn.Module):
    """Give some axes of a blob another shape with the same elements.

        (*before, *middle, *after) -> (*before, *sides, *after)

    A side of 0 is that of the bottom at its place, and one of -1 what is left.

    Source:  reshape_layer.cpp.
    Raises:  ValueError if the elements do not fit.
    """

    def __init__(self, sides: Sequence[int], axis: int, count: int) -> None:
        super().__init__()
        self.sides, self.axis, self.count = tuple(sides), axis, count

    def forward(self, x: Tensor) -> Tensor:
        """Return the blob in its new shape."""
        return x.reshape(self.shape(tuple(x.shape)))

    def shape(self, bottom: Shape) -> Shape:
        """Return the shape of the top for a bottom of a shape.

        Raises: ValueError if the elements do not fit.
        """
        rank = len(bottom)
        start = self.axis if self.axis >= 0 else rank + self.axis + 1
        if not 0 <= start <= rank:
            raise ValueError(f"axis {self.axis} is not in a blob of {rank} axes, nor behind it")
        end = rank if self.count == -1 else start + self.count
        if end > rank:
            raise ValueError(
                f"num_axes {self.count} from axis {start} on goes beyond a blob of {rank} axes"
            )
        sides = list(self.sides)
        for index, side in enumerate(sides):
            if side == 0 and start + index >= rank:
                raise ValueError(
                    f"dim 0 at place {index} has no axis of the bottom {bottom} to copy"
                )
            sides[index] = side or bottom[start + index]
        shape = [*bottom[:start], *sides, *bottom[end:]]
        total, known = math.prod(bottom), math.prod(side for side in shape if side != -1)
        if -1 in shape and known and total % known == 0:
            shape[shape.index(-1)] = total // known
        if math.prod(shape) != total:
            raise ValueError(
                f"a blob {bottom} of {total} elements does not fit the shape "
                f"({', '.join(map(str, shape))})"
            )
        return tuple(shape)

    def extra_repr(self) -> str:
        return f"{self.sides}, axis={self.axis}, count={self.count}"


def reshape(setting: Setting) -> nn.Module:
    """Build the reshaping.

    Raises: TextError if a side is below -1, -1 stands more than once, the elements do not fit, or
            the layer works in place.
    """
    record, parameter = setting.record, setting.record["reshape_param"]
    refuse_in_place(setting)
    sides = [int(side) for side in parameter["shape"]["dim"]]
    if any(side < -1 for side in sides) or sides.count(-1) > 1:
        raise record.refuse(
            f"dim {', '.join(map(str, sides))}: give numbers from 0 up, and -1 at most once"
        )
    if parameter["num_axes"] < -1:
        raise record.refuse(f"num_axes is {parameter['num_axes']}; give 0 or more, or -1 for all")
    module = Reshape(sides, parameter["axis"], parameter["num_axes"])
    try:
        module.shape(setting.bottom)
    except ValueError as error:
        raise record.refuse(str(error)) from None
    return module


KINDS: Final = {
    "Eltwise": Kind(eltwise, bottoms=(2, MANY)),
    "Concat": Kind(concat, bottoms=(1, MANY)),
    "Slice": Kind(part, tops=(1, MANY)),
    "Split": Kind(lambda setting: Copies(setting.tops), tops=(1, MANY)),
    "Flatten": Kind(flatten),
    "Reshape": Kind(reshape),
    "Silence": Kind(lambda setting: Silence(), bottoms=(1, MANY), tops=(0, 0)),
}
"""The kinds of this file by the type that a prototxt names."""
