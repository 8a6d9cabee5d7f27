"""An ONNX graph while it is written: nodes, constants, and what of a value is still to be done.

ONNX, operator set 17. Two things are not written where they stand, because the next layer does
them for nothing: zeros around a picture become the pads of a convolution, and what dropout
multiplies by at test (Krizhevsky 2012, section 4.2) a factor of the next layer's weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.native.linear import quantise

Weights = Literal["same", "int8", "bf16"]
"""float32; fully connected layers in int8 with a scale for each row; all weights in bfloat16."""
OPSET, IR_VERSION = 17, 8
MOST_BYTES = 2**31 - 2**20
"""What a file of ONNX may hold without files beside it, less a little for its nodes."""


class Pads(NamedTuple):
    """Zeros around a picture."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0


NO_PADS = Pads()


class Value(NamedTuple):
    """What a node makes."""

    name: str
    shape: tuple[int, ...]
    """Without the batch."""
    factor: float = 1.0
    """What it is still to be multiplied by."""
    pads: Pads = NO_PADS
    """Zeros that are still to be put around it; `shape` has them not."""


class Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self, *, weights: Weights = "same") -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.bytes = 0
        """Of the constants."""

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a node whose output has its name, and return that name."""
        return self.add_several(operator, inputs, (name,), attributes)[0]

    def add_several(
        self,
        operator: str,
        inputs: Sequence[str],
        names: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Add a node with several outputs."""
        from onnx import helper

        given = dict(attributes or {})
        self.nodes.append(
            helper.make_node(operator, list(inputs), list(names), name=names[0], **given)
        )
        return list(names)

    def constant(self, name: str, array: NDArray[Any] | Tensor) -> str:
        """Add a constant and return its name.

        Raises: ValueError if all constants are more than one file may hold.
        """
        from onnx import numpy_helper

        if isinstance(array, Tensor):
            array = array.detach().cpu().numpy()
        self._count(array.nbytes)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, name: str, value: float) -> str:
        """Add a constant of one float32."""
        return self.constant(name, np.array(value, dtype=np.float32))

    def numbers(self, name: str, values: Sequence[int]) -> str:
        """Add a constant of whole numbers, as shapes and axes are given."""
        return self.constant(name, np.array(values, dtype=np.int64))

    def kernel(self, name: str, weight: Tensor) -> str:
        """Add the weights of a convolution; in bfloat16 where that is asked for."""
        return (
            self._bfloat16(name, weight)
            if self.weights == "bf16"
            else self.constant(name, weight.float())
        )

    def matrix(self, name: str, weight: Tensor) -> str:
        """Add the weights of a fully connected layer, (out, in), in the type that is asked for.

        Raises: ValueError for int8 if one is not finite.
        """
        if self.weights == "int8":
            integers, scale = quantise(weight.detach())
            zero = self.constant(f"{name}.zero", torch.zeros(len(scale), dtype=torch.int8))
            parts = [self.constant(f"{name}.int8", integers), self.constant(f"{name}.scale", scale)]
            return self.add("DequantizeLinear", [*parts, zero], name, {"axis": 0})
        return self.kernel(name, weight)

    def settled(self, value: Value) -> Value:
        """Return the value with nothing more to be done to it."""
        name = value.name
        if value.factor != 1.0:
            factor = self.number(f"{name}.keep", value.factor)
            name = self.add("Mul", [name, factor], f"{name}.kept")
        shape = value.shape
        if value.pads != NO_PADS:
            name = self.pad(name, value.pads)
            top, left, bottom, right = value.pads
            shape = (*shape[:-2], shape[-2] + top + bottom, shape[-1] + left + right)
        return Value(name, shape)

    def pad(self, name: str, pads: Pads) -> str:
        """Add zeros around pictures (N, C, H, W)."""
        top, left, bottom, right = pads
        sides = self.numbers(f"{name}.pads", [0, 0, top, left, 0, 0, bottom, right])
        return self.add("Pad", [name, sides], f"{name}.padded")

    def _bfloat16(self, name: str, weight: Tensor) -> str:
        from onnx import TensorProto, helper

        bits = weight.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16)
        self._count(bits.nbytes)
        self.constants.append(
            helper.make_tensor(
                f"{name}.bf16",
                TensorProto.BFLOAT16,
                tuple(weight.shape),
                bits.numpy().tobytes(),
                raw=True,
            )
        )
        return self.add("Cast", [f"{name}.bf16"], name, {"to": TensorProto.FLOAT})

    def _count(self, more: int) -> None:
        self.bytes += more
        if self.bytes > MOST_BYTES:
            raise ValueError(
                f"the weights are more than {MOST_BYTES / 2**30:.1f} GiB, which a file of ONNX may "
                "hold; export with --weights bf16 or int8, or --to safetensors"
            )


Written = list[Value]
Write = Callable[[Graph, str, Any, Sequence[Value]], Written]
"""Adds a layer, called by its name, to a graph, and returns what it makes."""
