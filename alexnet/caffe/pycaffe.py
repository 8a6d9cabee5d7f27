"""The face that scripts written for pycaffe know: Net, its blobs and its parameters.

    from alexnet.caffe import Net, TEST
    net = Net("deploy.prototxt", "weights.caffemodel", TEST)
    net.blobs["data"].data[...] = pictures
    net.forward()["prob"]

Source: BVLC Caffe, python/caffe/pycaffe.py and _caffe.cpp. What differs: arrays of float32 only; a
blob that a layer works on in place has the gradient of its last value.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from alexnet.nearest import nearest
from alexnet.text import prototxt
from alexnet.text.assembly import build
from alexnet.text.graph import TextNet
from alexnet.text.kind import Phase
from alexnet.text.weights import load_weights, save_weights

TRAIN, TEST = 0, 1
Array = NDArray[np.float32]


class Blob:
    """An array of a net with its gradient; writing into `data` or `diff` changes the net."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._diff: Array | None = None

    @property
    def data(self) -> Array:
        """The values; a view, not a copy."""
        view: Array = self.tensor.detach().numpy()
        return view

    @property
    def diff(self) -> Array:
        """The gradient, of the shape of `data`."""
        if self._diff is None or self._diff.shape != self.data.shape:
            self._diff = np.zeros(self.data.shape, np.float32)
        return self._diff

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes."""
        return tuple(self.tensor.shape)

    @property
    def count(self) -> int:
        """The number of elements."""
        return self.tensor.numel()

    @property
    def num(self) -> int:
        """The first axis of a legacy blob."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The second axis of a legacy blob."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The third axis of a legacy blob."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The fourth axis of a legacy blob."""
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        """Take another shape; values are kept as far as they fit. `Net.reshape` follows."""
        flat = torch.zeros(int(np.prod(shape)))
        kept = min(len(flat), self.count)
        flat[:kept] = self.tensor.detach().reshape(-1)[:kept]
        self.tensor = flat.reshape(shape)

    def _legacy(self, axis: int) -> int:
        if self.tensor.dim() > 4:
            raise ValueError(f"a blob of {self.tensor.dim()} axes has no num, channels, ...")
        return self.shape[axis] if axis < self.tensor.dim() else 1


class Net:
    """A net from a prototxt, with blobs to look at and to change.

    `Net(prototxt, weights, phase)`, `Net(prototxt, phase, weights=...)`; phase is TRAIN or TEST.

    Raises: TextError for files that are refused, ValueError for arguments that do not go together.
    """

    def __init__(
        self,
        network_file: str,
        *arguments: str | int,
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | None = None,
    ) -> None:
        for each in arguments:
            if isinstance(each, str):
                weights = each
            else:
                phase = each
        if phase not in (TRAIN, TEST):
            raise ValueError(f"phase is {phase!r}; give alexnet.caffe.TRAIN or alexnet.caffe.TEST")
        message = prototxt.load(Path(network_file), "NetParameter")
        name: Phase = "TRAIN" if phase == TRAIN else "TEST"
        self._net = TextNet(message, name, level=level, stages=list(stages or ()))
        self.blobs = {
            name: Blob(torch.zeros(shape)) for name, shape in self._net.shapes.items() if name
        }
        self.params = {
            name: [Blob(tensor) for tensor in tensors]
            for name, tensors in self._net.blobs().items()
        }
        if weights is not None:
            self.copy_from(weights)

    @property
    def inputs(self) -> list[str]:
        """Names of the input blobs."""
        return list(self._net.inputs)

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads."""
        return self._net.outputs

    @property
    def name(self) -> str:
        """The name in the prototxt."""
        return self._net.net_name

    @property
    def blob_loss_weights(self) -> dict[str, float]:
        """The weight of each blob in the loss."""
        return {name: self._net.loss_weights.get(name, 0.0) for name in self.blobs}

    @property
    def bottom_names(self) -> dict[str, list[str]]:
        """The bottoms of each layer."""
        return {str(r["name"]): list(r["bottom"]) for r in self._net.records}

    @property
    def top_names(self) -> dict[str, list[str]]:
        """The tops of each layer."""
        return {str(r["name"]): list(r["top"]) for r in self._net.records}

    @property
    def layer_dict(self) -> dict[str, torch.nn.Module]:
        """The layers by name, as the modules that they are here."""
        return self._net.layers

    def forward(
        self,
        blobs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: ArrayLike,
    ) -> dict[str, Array]:
        """Run the layers from `start` to `end` (all) and return the outputs and the named blobs.

        Raises: ValueError for an unknown blob or layer, or an input of another shape.
        """
        return self._forward(blobs, self._range(start, end), inputs)

    def _forward(
        self, blobs: Iterable[str] | None, layers: range, inputs: Mapping[str, ArrayLike]
    ) -> dict[str, Array]:
        whole = layers.stop == len(self._net.records)
        wanted = list(self.outputs if whole else self._net.records[layers.stop - 1]["top"])
        wanted += [name for name in blobs or () if name not in wanted]
        self._fill_inputs(inputs)
        for index in layers:
            record = self._net.records[index]
            if record["type"] == "Input":
                continue
            bottoms = [self._value(name) for name in record["bottom"]]
            for name, top in zip(record["top"], self._net.call(index, bottoms), strict=False):
                self.blobs[name].tensor = top
        return {name: self._blob(name).data for name in wanted}

    def forward_all(
        self, blobs: Iterable[str] | None = None, **inputs: ArrayLike
    ) -> dict[str, Array]:
        """Run as many batches as the inputs fill, and return all outputs in one array each."""
        arrays = {name: np.asarray(value, np.float32) for name, value in inputs.items()}
        if not arrays:
            return {name: value.copy() for name, value in self.forward(blobs).items()}
        count = len(next(iter(arrays.values())))
        parts: list[dict[str, Array]] = []
        size = self._blob(next(iter(arrays))).shape[0]
        for begin in range(0, count, size):
            batch = {name: array[begin : begin + size] for name, array in arrays.items()}
            padded = {name: _pad(array, size) for name, array in batch.items()}
            outputs = self._forward(
                blobs, self._range(None, None), padded
            )  # the last batch is filled up, then cut
            left = min(size, count - begin)
            parts.append({name: value[:left].copy() for name, value in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def backward(
        self,
        diffs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **gradients: ArrayLike,
    ) -> dict[str, Array]:
        """Run backwards from layer `start` (the last) and return the gradients of the inputs.

        Losses bring their weights; `gradients`, or `diff` of the blobs of `start`, bring theirs.
        Parameters add up their gradients until `clear_param_diffs`. `diffs` names blobs whose
        gradients are returned too.
        """
        for name, value in gradients.items():
            self._blob(name).diff[...] = np.asarray(value, np.float32)
        heads = self._heads(start)
        named = {name: b for name, b in self.blobs.items() if b.tensor.requires_grad}
        own = [p for tensors in self.params.values() for p in tensors if p.tensor.requires_grad]
        leaves = [*named.values(), *own]
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            [tensor for tensor, _ in heads],
            [blob.tensor for blob in leaves],
            [gradient for _, gradient in heads],
            retain_graph=True,
            allow_unused=True,
        )
        for blob, gradient in zip(leaves, found, strict=True):
            if gradient is None:
                continue
            if blob in own:
                blob.diff[...] += gradient.numpy()
            else:
                blob.diff[...] = gradient.numpy()
        stops = [] if end is None else self.bottom_names[self._layer(end)]
        wanted = [*(stops or self.inputs), *(diffs or ())]
        return {name: self._blob(name).diff for name in wanted}

    def reshape(self) -> None:
        """Give all blobs the shapes that follow from those of the inputs."""
        for record in self._net.records:
            if record["type"] == "Input":
                shapes = [{"dim": list(self.blobs[name].shape)} for name in record["top"]]
                del record["input_param"]
                for shape in shapes:
                    record.child("input_param").add("shape", shape)
        _, shapes_now = build(self._net.wiring, self._net.phase)
        for name, value in self._net.wiring.last.items():
            if self.blobs[name].shape != shapes_now[value]:
                self.blobs[name].tensor = torch.zeros(shapes_now[value])

    def copy_from(self, weights: str) -> None:
        """Take over the weights of a .caffemodel or .h5 by layer name."""
        self._net.load_blobs(load_weights(Path(weights)))

    def share_with(self, other: "Net") -> None:
        """Take over the weights of another net by layer name."""
        self._net.load_blobs(
            {name: [blob.data for blob in blobs] for name, blobs in other.params.items()}
        )

    def save(self, path: str) -> None:
        """Write a .caffemodel."""
        save_weights(Path(path), self._net.to_message())

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        for blob in (blob for blobs in self.params.values() for blob in blobs):
            blob.diff[...] = 0

    def _fill_inputs(self, inputs: Mapping[str, ArrayLike]) -> None:
        for name, value in inputs.items():
            if name not in self.inputs:
                raise ValueError(f"no input is called {name!r}{nearest(name, self.inputs)}")
            array = np.asarray(value, np.float32)
            if array.shape != self.blobs[name].shape:
                raise ValueError(
                    f"input {name!r} has the shape {array.shape}, its blob {self.blobs[name].shape}"
                    f"; give that shape, or blobs[{name!r}].reshape(...) and reshape() first"
                )
            self.blobs[name].tensor = torch.from_numpy(array.copy())
        for name in self.inputs:  # a new leaf for each pass: gradients start here
            self.blobs[name].tensor = self.blobs[name].tensor.detach().requires_grad_()

    def _heads(self, start: str | None) -> list[tuple[Tensor, Tensor]]:
        """Return what a backward pass starts from, with the gradients there."""
        stop = len(self._net.records) if start is None else self._number(start) + 1
        made = [name for record in self._net.records[:stop] for name in record["top"]]
        losses = {n: w for n, w in self._net.loss_weights.items() if n in made}
        heads = [
            (self.blobs[n].tensor, torch.full(self.blobs[n].shape, w)) for n, w in losses.items()
        ]
        last = self.outputs if start is None else self.top_names[start]
        others = [n for n in last if n not in losses]
        heads += [(self.blobs[n].tensor, torch.from_numpy(self.blobs[n].diff)) for n in others]
        heads = [head for head in heads if head[0].requires_grad]
        if not heads:
            raise ValueError("there is nothing to go back from; call forward() first")
        return heads

    def _range(self, start: str | None, end: str | None) -> range:
        first = 0 if start is None else self._number(start)
        last = len(self._net.records) - 1 if end is None else self._number(end)
        return range(first, last + 1)

    def _number(self, layer: str) -> int:
        return list(self._net.layers).index(self._layer(layer))

    def _layer(self, name: str) -> str:
        if name not in self._net.layers:
            raise ValueError(f"no layer is called {name!r}{nearest(name, self._net.layers)}")
        return name

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise ValueError(f"no blob is called {name!r}{nearest(name, self.blobs)}")
        return self.blobs[name]

    def _value(self, name: str) -> Tensor:
        return self.blobs[name].tensor


def _pad(array: Array, size: int) -> Array:
    missing = size - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), np.float32)])
