"""What a kind of Caffe's layers is: how it is built, what it takes, gives and learns.

A layer becomes an `nn.Module` whose `forward` takes the bottoms and returns the top, or a tuple of
tops. Where a module of torch's or one of `alexnet.layers` does the same, it is that module: text
nets run as fast as the others. Three rules hold for all of them.

- The blobs of a layer are the entries of its module's state dict, in Caffe's order; constants that
  Caffe does not store are no persistent buffers.
- `self.training` decides what a phase changes (dropout, statistics), as in all of torch.
- A layer is built on the meta device and called once with meta tensors: that gives the shapes of
  its tops without memory. Shapes are taken from the tensors in `forward`, never from the building,
  so that another batch size needs no new net.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from alexnet.text.message import Message

Phase = Literal["TRAIN", "TEST"]
Shape = tuple[int, ...]
Tops = Tensor | tuple[Tensor, ...]
MANY = 1_000_000


@dataclass(frozen=True)
class Setting:
    """Where a layer stands: all that its building may look at."""

    record: Message
    """Its LayerParameter."""
    bottoms: tuple[Shape, ...]
    """Shapes of its bottoms."""
    phase: Phase
    """The phase that the net is built for; sources differ by it."""

    @property
    def bottom(self) -> Shape:
        """The shape of the first bottom."""
        return self.bottoms[0]

    @property
    def tops(self) -> int:
        """How many tops the layer names."""
        return len(self.record["top"])

    def axis(self, axis: int, *, bottom: int = 0) -> int:
        """Return an axis counted from the front, from one that may count from the back.

        Raises: TextError if the bottom has no such axis.
        """
        rank = len(self.bottoms[bottom])
        if not -rank <= axis < rank:
            raise self.record.refuse(f"axis {axis} is not in a blob of {rank} axes")
        return axis % rank


@dataclass(frozen=True)
class Initial:
    """Where the initial values of a blob come from."""

    filler: str
    """The FillerParameter in the LayerParameter, such as "convolution_param.weight_filler"."""
    otherwise: float = 0.0
    """The constant that is taken where no filler is given."""


@dataclass(frozen=True)
class Kind:
    """A kind of layer: `type: "Convolution"`."""

    build: Callable[[Setting], nn.Module]
    bottoms: tuple[int, int] = (1, 1)
    """The least and the largest number of bottoms."""
    tops: tuple[int, int] = (1, 1)
    """The least and the largest number of tops."""
    initial: tuple[Initial, ...] | Callable[[Message, int], tuple[Initial, ...]] = ()
    """Initial values of the blobs in their order; blobs without an entry start at zero. A function
    gives them from the LayerParameter and the number of blobs."""
    loss: bool = False
    """Whether the first top is a loss, with weight 1 if the text gives none."""
    first_only: bool = False
    """Whether gradients go to the first bottom only: the others are labels, indices or weights."""


def fillers(kind: Kind, record: Message, count: int) -> list[tuple[Message | None, float]]:
    """Return the filler of each of a layer's blobs, or None and the constant that stands for it."""
    initial = kind.initial if isinstance(kind.initial, tuple) else kind.initial(record, count)
    found: list[tuple[Message | None, float]] = []
    for each in initial[:count]:
        outer, _, inner = each.filler.rpartition(".")
        parameter = record[outer] if outer else record
        given = parameter[inner] if inner in parameter else None  # noqa: SIM401 - no dict
        found.append((given, each.otherwise))
    return [*found, *[(None, 0.0)] * (count - len(found))]


class Source(nn.Module):
    """A layer without bottoms: `forward()` returns the next batch, one tensor for each top."""

    shapes: tuple[Shape, ...]
    """Shapes of the tops."""

    def seed(self, seed: int) -> None:
        """Let a number decide what is drawn; most sources draw nothing."""

    def close(self) -> None:
        """Let go of files and threads."""


def blobs(module: nn.Module) -> list[Tensor]:
    """Return a layer's blobs in Caffe's order; parameters are returned as they are."""
    return list(module.state_dict(keep_vars=True).values())


def pair(setting: Setting, parameter: Message, name: str, default: int) -> tuple[int, int]:
    """Return the height and width of `kernel_size`, `stride`, `pad` or `dilation` for two axes.

    Caffe takes one number or two under `name`, or a number each under the names with _h and _w.

    Raises: TextError if they contradict each other.
    """
    short = name.removesuffix("_size")
    given: Any = parameter[name]
    numbers: Sequence[int] = given if isinstance(given, list) else [given] * (name in parameter)
    tall, wide = f"{short}_h", f"{short}_w"
    split = tall in parameter.fields and (tall in parameter or wide in parameter)
    if split and len(numbers):
        raise setting.record.refuse(f"{name} and {tall} or {wide} are both given; use one form")
    if split:
        return int(parameter[tall]), int(parameter[wide])
    if len(numbers) > 2:
        raise setting.record.refuse(f"{name} has {len(numbers)} numbers; give one or two")
    if not len(numbers):
        return default, default
    return int(numbers[0]), int(numbers[-1])
