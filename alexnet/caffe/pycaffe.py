"""The face that scripts written for pycaffe know: Net, its blobs and its parameters.

    from alexnet.caffe import Net, TEST
    net = Net("deploy.prototxt", "weights.caffemodel", TEST)
    net.blobs["data"].data[...] = pictures
    net.forward()["prob"]

Source: BVLC Caffe, python/caffe/pycaffe.py and _caffe.cpp. What differs: arrays of float32 only; a
pass makes new arrays for what it computes, so that those of the pass before stay as they were;
inputs have gradients without `force_backward` too; split layers, which Caffe puts where several
layers read one blob, do not show.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from alexnet.caffe.backward import find_ends, find_heads, first_values
from alexnet.caffe.batches import count_rows, cut_batches, join_batches
from alexnet.caffe.blob import Blob, Layer
from alexnet.caffe.nets import copy_weights, share_weights
from alexnet.nearest import nearest
from alexnet.text import hdf5, prototxt
from alexnet.text.assembly import build
from alexnet.text.graph import TextNet
from alexnet.text.kind import Phase, blobs
from alexnet.text.sources import MemorySource
from alexnet.text.weights import save_weights, weights_of

TRAIN, TEST = 0, 1
Array = NDArray[np.float32]


class Net:
    """A net from a prototxt, with blobs to look at and to change.

    `Net(prototxt, weights, phase)`, `Net(prototxt, phase, weights=...)`; phase is TRAIN or TEST.

    Raises: TextError for files that are refused, ValueError for arguments that do not go together.
    """

    def __init__(
        self,
        network_file: str | Path,
        *arguments: str | Path | int,
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | Path | None = None,
    ) -> None:
        for each in arguments:
            if isinstance(each, int):
                phase = each
            else:
                weights = each
        if phase not in (TRAIN, TEST):
            raise ValueError(f"phase is {phase!r}; give alexnet.caffe.TRAIN or alexnet.caffe.TEST")
        message = prototxt.load(Path(network_file), "NetParameter")
        name: Phase = "TRAIN" if phase == TRAIN else "TEST"
        self._net = TextNet(message, name, level=level, stages=list(stages or ()))
        self._nodes = self._net.wiring.nodes
        self._values: dict[int, Tensor] = {}
        """What the last pass read and made, by the wiring's numbers: gradients go along these."""
        self.blobs = {name: Blob(torch.zeros(s)) for name, s in self._net.shapes.items()}
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
        return {node.name: list(node.record["bottom"]) for node in self._nodes}

    @property
    def top_names(self) -> dict[str, list[str]]:
        """The tops of each layer."""
        return {node.name: list(node.record["top"]) for node in self._nodes}

    @property
    def layer_dict(self) -> dict[str, Layer]:
        """The layers by name."""
        return {
            node.name: Layer(node.record["type"], self.params.get(node.name, []))
            for node in self._nodes
        }

    @property
    def layers(self) -> list[Layer]:
        """The layers in their order."""
        return list(self.layer_dict.values())

    @property
    def _layer_names(self) -> list[str]:
        """Names of the layers in their order; scripts read it, for pycaffe has no other way."""
        return list(self.layer_dict)

    def forward(
        self,
        blobs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: ArrayLike,
    ) -> dict[str, Array]:
        """Run the layers from `start` to `end` (all) and return the outputs and the named blobs.

        With an `end`, the tops of that layer stand for the outputs.

        Raises: ValueError for an unknown blob or layer, or an input of another shape.
        """
        return self._forward(blobs, self._range(start, end), inputs)

    def _forward(
        self, blobs: Iterable[str] | None, layers: range, inputs: Mapping[str, ArrayLike]
    ) -> dict[str, Array]:
        whole = layers.stop == len(self._nodes)
        wanted = list(self.outputs if whole else self._nodes[layers.stop - 1].record["top"])
        wanted += [name for name in blobs or () if name not in wanted]
        for name in wanted:
            self._blob(name)
        self._fill_inputs(inputs)
        for value in [v for node in self._nodes[layers.start :] for v in node.tops]:
            self._values.pop(value, None)  # made from what was there before
        for index in layers:
            node = self._nodes[index]
            if node.record["type"] == "Input":
                continue
            bottoms = [self._leaf(name) for name in node.record["bottom"]]
            tops = [
                top.view_as(top) if any(top is bottom for bottom in bottoms) else top
                for top in self._call(index, bottoms)
            ]  # a top of its own, for its own gradient
            self._values.update(zip([*node.bottoms, *node.tops], [*bottoms, *tops], strict=True))
            for name, top in zip(node.record["top"], tops, strict=False):
                self.blobs[name].tensor = top  # a loss may have a top without a name
        return {name: self._blob(name).data for name in wanted}

    def _call(self, index: int, bottoms: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the tops of a layer; what torch says of shapes becomes an error of the layer."""
        record = self._nodes[index].record
        shapes = [tuple(bottom.shape) for bottom in bottoms]
        try:
            return self._net.call(index, bottoms)
        except RuntimeError as error:
            if shapes == [self._net.shapes[name] for name in record["bottom"]]:
                raise  # these shapes were found to fit: it is something else
            reason = str(error).splitlines()[0]
            raise record.refuse(f"does not fit its bottoms of shapes {shapes}: {reason}") from None

    def forward_all(
        self, blobs: Iterable[str] | None = None, **inputs: ArrayLike
    ) -> dict[str, Array]:
        """Run as many batches as the inputs fill, and return all outputs in one array each.

        The last batch is filled up with zeros, and what comes of them is left out.

        Raises: ValueError as `forward` does, and for inputs or outputs of other numbers of rows.
        """
        if not inputs:
            return {name: value.copy() for name, value in self.forward(blobs).items()}
        size, count = self._batch_size, count_rows(inputs)
        whole = self._range(None, None)
        parts = [
            {name: made.copy() for name, made in self._forward(blobs, whole, batch).items()}
            for batch in cut_batches(inputs, size)
        ]
        return join_batches(parts, count, size)

    def forward_backward_all(
        self,
        blobs: Iterable[str] | None = None,
        diffs: Iterable[str] | None = None,
        **arrays: ArrayLike,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run batches forward and backward; return all outputs, and all gradients of the inputs.

        `arrays` are inputs, and gradients of the outputs.

        Raises: ValueError as `forward_all` and `backward` do.
        """
        for name in arrays:
            self._blob(name)
        if not any(name in arrays for name in self.inputs):
            raise ValueError(f"no input is given; this net takes {', '.join(self.inputs)}")
        size, count, whole = self._batch_size, count_rows(arrays), self._range(None, None)
        made, found = [], []
        for batch in cut_batches(arrays, size):
            inputs = {name: array for name, array in batch.items() if name in self.inputs}
            heads = {name: array for name, array in batch.items() if name not in self.inputs}
            made.append({n: y.copy() for n, y in self._forward(blobs, whole, inputs).items()})
            found.append({n: d.copy() for n, d in self._backward(diffs, whole, heads).items()})
        return join_batches(made, count, size), join_batches(found, count, size)

    def backward(
        self,
        diffs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **gradients: ArrayLike,
    ) -> dict[str, Array]:
        """Run backwards from layer `start` (the last) to `end`; return gradients of the inputs.

        Losses bring their weights. Blobs that no layer up to `start` reads bring their `diff`, or
        what `gradients` has for them. Parameters add up their gradients until `clear_param_diffs`.
        `diffs` names blobs whose gradients are returned too; with an `end`, the bottoms of that
        layer stand for the inputs.

        Raises: ValueError before a forward pass, for an unknown blob or layer, and for a gradient
                that is not one of those blobs' or of another shape.
        """
        return self._backward(diffs, self._range(end, start), gradients)

    def _backward(
        self, diffs: Iterable[str] | None, layers: range, gradients: Mapping[str, ArrayLike]
    ) -> dict[str, Array]:
        nodes = [self._nodes[index] for index in layers]
        named = [*(nodes[0].record["bottom"] if layers.start else self.inputs), *(diffs or ())]
        wanted = [self._blob(name) for name in named]
        self._fill_gradients(gradients, layers.stop)
        wiring, values = self._net.wiring, self._values
        heads = find_heads(
            wiring, layers.stop, values=values, diff=lambda n: self.blobs[n].diff, given=gradients
        )
        leaves = [
            (self.blobs[name], values[value])
            for name, value in first_values(wiring, layers, values).items()
        ]
        sums = [blob for node in nodes for blob in self.params.get(node.name, [])]
        sums = [blob for blob in sums if blob.tensor.requires_grad]
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            [tensor for tensor, _ in heads],
            [*(tensor for _, tensor in leaves), *(blob.tensor for blob in sums)],
            [gradient for _, gradient in heads],
            retain_graph=True,
            allow_unused=True,
        )
        targets = [blob for blob, _ in leaves] + sums
        for index, (blob, gradient) in enumerate(zip(targets, found, strict=True)):
            if gradient is not None:
                before = 0 if index < len(leaves) else blob.diff
                blob.diff[...] = before + gradient.numpy()
        return {name: blob.diff for name, blob in zip(named, wanted, strict=True)}

    def reshape(self) -> None:
        """Give all blobs the shapes that follow from those of the inputs.

        `forward` needs no call of this: it works on the shapes that its inputs have.

        Raises: TextError if a layer cannot work on the new shapes or would need other parameters.
        """
        for node in self._nodes:
            if node.record["type"] == "Input":
                del node.record["input_param"]
                for name in node.record["top"]:
                    shape = {"dim": list(self.blobs[name].shape)}
                    node.record.child("input_param").add("shape", shape)
        modules, shapes = build(self._net.wiring, self._net.phase)
        for node, module in zip(self._nodes, modules, strict=True):
            new = [tuple(tensor.shape) for tensor in blobs(module)]
            own = [blob.shape for blob in self.params.get(node.name, [])]
            if new != own:
                raise node.record.refuse(
                    f"has parameters of shapes {own}; with inputs of the new shapes it would need "
                    f"{new}: keep the old size, or make the layer a convolution"
                )
        for name, value in self._net.wiring.last.items():
            if self.blobs[name].shape != shapes[value]:
                self.blobs[name].tensor = torch.zeros(shapes[value])
        self._net.shapes = {name: self.blobs[name].shape for name in self.blobs}
        self._values.clear()

    def set_input_arrays(self, data: ArrayLike, labels: ArrayLike) -> None:
        """Give the net's first layer, a MemoryData, the pictures and labels that it reads.

        Raises: ValueError if the first layer is another one, or the arrays do not fit it.
        """
        first = next(iter(self._net.layers.values()), None)
        if not isinstance(first, MemorySource):
            kinds = [layer.type for layer in self.layers[:1]] or ["none"]
            raise ValueError(f"set_input_arrays is for a MemoryData layer; the first is {kinds[0]}")
        first.set_input_arrays(data, labels)

    def copy_from(self, weights: str | Path) -> None:
        """Take over the weights of a .caffemodel or .h5 by layer name; what is left out is logged.

        Raises: TextError if the file is refused or a layer's blobs have other shapes.
        """
        copy_weights(self._net, Path(weights))

    def load_hdf5(self, weights: str | Path) -> None:
        """Take over the weights of an HDF5 file, as `copy_from` does."""
        self.copy_from(weights)

    def share_with(self, other: "Net") -> None:
        """Make the weights those of another net, in the same memory, by layer name.

        Raises: TextError if a layer of that name has other blobs.
        """
        share_weights(self._net, other._net)

    def save(self, path: str | Path) -> None:
        """Write a .caffemodel."""
        save_weights(Path(path), self._net.to_message())

    def save_hdf5(self, path: str | Path) -> None:
        """Write the weights as HDF5."""
        hdf5.write_weights(Path(path), weights_of(self._net.to_message()))

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        for blob in (blob for layer in self.layers for blob in layer.blobs):
            blob.diff[...] = 0

    def _fill_inputs(self, inputs: Mapping[str, ArrayLike]) -> None:
        for name, value in inputs.items():
            if name not in self.inputs:
                raise ValueError(f"no input is called {name!r}{nearest(name, self.inputs)}")
            array = np.asarray(value, np.float32)
            if array.shape != self.blobs[name].shape:
                raise ValueError(
                    f"input {name!r} has the shape {array.shape}, its blob {self.blobs[name].shape}"
                    f"; give that shape, or call blobs[{name!r}].reshape(...) first"
                )
            self.blobs[name].data[...] = array
        for name in self.inputs:  # a new leaf for each pass: gradients start here
            self.blobs[name].tensor = self.blobs[name].tensor.detach()

    def _fill_gradients(self, gradients: Mapping[str, ArrayLike], stop: int) -> None:
        wiring = self._net.wiring
        ends = [wiring.names[value] for value in find_ends(wiring, stop)]
        for name, value in gradients.items():
            blob, array = self._blob(name), np.asarray(value, np.float32)
            if name not in ends:
                raise ValueError(
                    f"a layer on the way back reads blob {name!r} and gives it its gradient; give "
                    f"that of {', '.join(ends)}, or go back from another start"
                )
            if array.shape != blob.shape:
                raise ValueError(
                    f"the gradient of {name!r} has the shape {array.shape}, its blob {blob.shape}"
                )
            blob.diff[...] = array

    @property
    def _batch_size(self) -> int:
        shape = self.blobs[self.inputs[0]].shape if self.inputs else ()
        if not shape:
            raise ValueError("this net has no input with a batch; call forward()")
        return shape[0]

    def _range(self, first: str | None, last: str | None) -> range:
        start = 0 if first is None else self._number(first)
        stop = len(self._nodes) if last is None else self._number(last) + 1
        if start >= stop:
            raise ValueError(f"layer {first!r} runs after layer {last!r}; give them in order")
        return range(start, stop)

    def _number(self, layer: str) -> int:
        names = self._layer_names
        if layer not in names:
            raise ValueError(f"no layer is called {layer!r}{nearest(layer, names)}")
        return names.index(layer)

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise ValueError(f"no blob is called {name!r}{nearest(name, self.blobs)}")
        return self.blobs[name]

    def _leaf(self, name: str) -> Tensor:
        """Return a blob's tensor for a layer to read, where gradients can arrive."""
        blob = self.blobs[name]
        if not blob.tensor.requires_grad:
            blob.tensor = blob.tensor.detach().requires_grad_()
        return blob.tensor
