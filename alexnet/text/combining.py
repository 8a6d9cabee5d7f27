"""Kinds of layers over whole blobs: MVN, Reduction, Tile, Embed, Parameter, Filter, BatchReindex.

Source: BVLC Caffe, src/caffe/layers/{mvn,reduction,tile,embed,filter,batch_reindex}_layer.cpp and
parameter_layer.hpp. What differs: indices out of range are refused, where the original's release
build reads other memory; a Filter that keeps nothing gives empty blobs.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.text.gradient import with_gradient
from alexnet.text.kind import MANY, Initial, Kind, Setting, Source, Tops


class MeanVarianceNorm(nn.Module):
    """Subtract the mean of each map, or picture, and divide by its standard deviation.

        y = (x - mean) / (sqrt(mean((x - mean) ** 2)) + eps)
        dx = (dy - mean(dy) - y * mean(y * dy)) / (sqrt(...) + eps)

    Means are over H and W, or over C, H and W with `across_channels`. The gradient is the
    original's: the derivative of the above for eps = 0.

    Shapes:  x (N, C, H, W) -> same; axes that are missing at the end become 1.
    """

    def __init__(self, eps: float, *, variance: bool, across_channels: bool) -> None:
        super().__init__()
        self.eps, self.variance, self.across_channels = eps, variance, across_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the blob with mean 0 and, with `variance`, standard deviation 1."""
        x = x.reshape([*x.shape, *[1] * (4 - x.dim())])
        dims = (1, 2, 3) if self.across_channels else (2, 3)
        centred = x - x.mean(dims, keepdim=True)
        if not self.variance:
            return centred
        with torch.no_grad():
            scale = centred.square().mean(dims, keepdim=True).sqrt() + self.eps
            y = centred / scale
        return with_gradient(y, (centred - y * (y * x).mean(dims, keepdim=True)) / scale)


def mean_variance_norm(setting: Setting) -> nn.Module:
    """Build an MVN layer.

    Raises: TextError for a blob of more than four axes.
    """
    parameter = setting.record["mvn_param"]
    if len(setting.bottom) > 4:
        raise setting.record.refuse(f"MVN takes up to 4 axes and has a blob {setting.bottom}")
    return MeanVarianceNorm(
        parameter["eps"],
        variance=parameter["normalize_variance"],
        across_channels=parameter["across_channels"],
    )


class Reduction(nn.Module):
    """Reduce all axes from `axis` on to one number.

    SUM    y = coeff * sum(x)          ASUM   y = coeff * sum(|x|)
    SUMSQ  y = coeff * sum(x ** 2)     MEAN   y = coeff * mean(x)
    """

    def __init__(self, operation: str, axis: int, coeff: float) -> None:
        super().__init__()
        self.operation, self.axis, self.coeff = operation, axis, coeff

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums or means."""
        x = x.flatten(self.axis)
        match self.operation:
            case "ASUM":
                y = x.abs().sum(-1)
            case "SUMSQ":
                y = x.square().sum(-1)
            case "MEAN":
                y = x.mean(-1)
            case _:
                y = x.sum(-1)
        return y if self.coeff == 1 else y * self.coeff


def reduction(setting: Setting) -> nn.Module:
    """Build a Reduction.

    Raises: TextError if the blob has no such axis.
    """
    parameter = setting.record["reduction_param"]
    axis = setting.axis(parameter["axis"])
    return Reduction(parameter["operation"], axis, parameter["coeff"])


class Tile(nn.Module):
    """Repeat a blob along one axis: y = [x, x, ...]."""

    def __init__(self, axis: int, tiles: int) -> None:
        super().__init__()
        self.axis, self.tiles = axis, tiles

    def forward(self, x: Tensor) -> Tensor:
        """Return the blob `tiles` times as long along the axis."""
        return x.repeat([self.tiles if dim == self.axis else 1 for dim in range(x.dim())])


def tile(setting: Setting) -> nn.Module:
    """Build a Tile.

    Raises: TextError if the number of tiles is missing or not positive, or there is no such axis.
    """
    parameter = setting.record["tile_param"]
    tiles = parameter["tiles"]
    if tiles < 1:
        raise setting.record.refuse(f"tiles is {tiles}; give how often to repeat, 1 or more")
    return Tile(setting.axis(parameter["axis"]), tiles)


class Embed(nn.Module):
    """Look up a row of the weight for each index: y = weight[x] + bias.

    Shapes:  x (...) whole numbers from 0 to inputs - 1 in any float -> (..., outputs); gradients
             go to weight (inputs, outputs) and bias (outputs) only.
    Raises:  ValueError if an index is out of range; on the processor only, for an accelerator would
             have to wait.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows."""
        check_index(x, self.weight.shape[0], "Embed: index", "input_dim")
        rows = F.embedding(x.long(), self.weight)
        return rows if self.bias is None else rows + self.bias


def check_index(x: Tensor, limit: int, name: str, limit_name: str) -> None:
    """Refuse indices that are negative or too large; looks at memory of the processor only.

    Raises: ValueError with the first of them.
    """
    if x.device.type != "cpu" or not x.numel():
        return
    least, most = (int(each) for each in x.detach().aminmax())
    if least < 0 or most >= limit:
        raise ValueError(
            f"{name} {least if least < 0 else most} is not in 0 to {limit - 1}, as {limit_name} "
            f"is {limit}"
        )


def embed(setting: Setting) -> nn.Module:
    """Build an Embed.

    Raises: TextError if num_output or input_dim is missing.
    """
    parameter = setting.record["embed_param"]
    for name in ("num_output", "input_dim"):
        if parameter[name] < 1:
            raise setting.record.refuse(f"{name} is missing or 0; give a number from 1 up")
    return Embed(parameter["input_dim"], parameter["num_output"], bias=parameter["bias_term"])


class Parameter(Source):
    """A blob that is learned, as a top. A layer that works on it in place leaves it as it is."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = (shape,)
        self.blob = nn.Parameter(torch.empty(shape))

    def forward(self) -> Tensor:
        """Return the blob."""
        return self.blob.clone()


def parameter(setting: Setting) -> nn.Module:
    """Build a Parameter.

    Raises: TextError if a dim is not positive.
    """
    shape = tuple(int(dim) for dim in setting.record["parameter_param"]["shape"]["dim"])
    if any(dim < 1 for dim in shape):
        raise setting.record.refuse(f"shape is {shape}; each dim must be positive")
    return Parameter(shape)


class Filter(nn.Module):
    """Keep the rows of each blob for which the last one, the selector, is not 0.

    Shapes:  x (N, ...), ..., selector (N, 1, ...) -> (rows kept, ...), ...; on the meta device,
             where nothing can be read, all rows are kept.
    Raises:  ValueError if the blobs differ in their number of rows.
    """

    def forward(self, *bottoms: Tensor) -> Tops:
        """Return the rows of all bottoms but the last."""
        *blobs, selector = bottoms
        for blob in blobs:
            if blob.shape[0] != selector.shape[0]:
                raise ValueError(
                    f"Filter has blobs of {blob.shape[0]} rows and a selector of "
                    f"{selector.shape[0]}; they must be as many"
                )
        if selector.is_meta:
            return tuple(blobs)
        kept = selector.detach().flatten().nonzero().flatten()
        return tuple(blob.index_select(0, kept) for blob in blobs)


def row_filter(setting: Setting) -> nn.Module:
    """Build a Filter.

    Raises: TextError if there is not one top less than bottoms, or the selector does not fit them.
    """
    record, selector = setting.record, setting.bottoms[-1]
    if setting.tops != len(setting.bottoms) - 1:
        raise record.refuse(
            f"{setting.tops} tops for {len(setting.bottoms)} bottoms; give a top for each bottom "
            "but the last, the selector"
        )
    if not selector or any(side != 1 for side in selector[1:]):
        raise record.refuse(
            f"the selector, bottom {record['bottom'][-1]!r}, is {selector}; all its axes but the "
            "first must be 1"
        )
    for name, shape in zip(record["bottom"], setting.bottoms, strict=True):
        if shape[:1] != selector[:1]:
            raise record.refuse(
                f"bottom {name!r} is {shape} and the selector {selector}; they must have as many "
                "rows"
            )
    return Filter()


class BatchReindex(nn.Module):
    """Put rows of the first blob in the order of the second one: y[i] = x[index[i]].

    Shapes:  x (N, ...), index (M) -> (M, ...).
    Raises:  ValueError if an index is not a row of x.
    """

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the rows."""
        check_index(index, x.shape[0], "BatchReindex: index", "the number of rows")
        return x.index_select(0, index.long())


def batch_reindex(setting: Setting) -> nn.Module:
    """Build a BatchReindex.

    Raises: TextError if the indices have not one axis, or the blob has none.
    """
    if len(setting.bottoms[1]) != 1 or not setting.bottom:
        raise setting.record.refuse(
            f"bottoms are {setting.bottom} and {setting.bottoms[1]}; BatchReindex takes rows and "
            "a list of indices with one axis"
        )
    return BatchReindex()


KINDS: Final = {
    "MVN": Kind(mean_variance_norm),
    "Reduction": Kind(reduction),
    "Tile": Kind(tile),
    "Embed": Kind(
        embed,
        initial=(Initial("embed_param.weight_filler"), Initial("embed_param.bias_filler")),
        first_only=True,
    ),
    "Parameter": Kind(parameter, bottoms=(0, 0)),
    "Filter": Kind(row_filter, bottoms=(2, MANY), tops=(1, MANY)),
    "BatchReindex": Kind(batch_reindex, bottoms=(2, 2), first_only=True),
}
