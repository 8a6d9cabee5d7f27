"""The layers of a wired net: built without memory, their shapes found, then given memory.

Source: BVLC Caffe, src/caffe/net.cpp: Init, AppendParam. There a blob may be shared among shapes of
equal size (share_mode PERMISSIVE); here the shapes must be equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from alexnet.text.fillers import check
from alexnet.text.kind import Phase, Setting, Shape, Source, blobs, fillers
from alexnet.text.message import Message, TextError
from alexnet.text.wiring import Node, Wiring

MOST_ELEMENTS = 2**31 - 1
"""The most elements of a blob, as in the original."""
FACTORS = ("lr_mult", "decay_mult")
"""What a ParamSpec says of how fast a blob learns."""


@dataclass(frozen=True)
class Learnable:
    """A blob that a solver updates, and how fast."""

    layer: str
    index: int
    """Its place among the layer's blobs."""
    tensor: Tensor
    lr_mult: float
    decay_mult: float
    given: frozenset[str] = frozenset()
    """Which of the two the text gives; the others are 1, or 0 for what is not learned."""


def build(wiring: Wiring, phase: Phase) -> tuple[list[nn.Module], list[Shape]]:
    """Build all layers on the meta device and return them with the shapes of all values.

    Raises: TextError for a layer that does not fit its bottoms or has too large a blob.
    """
    modules: list[nn.Module] = []
    values: list[Tensor] = []
    with torch.device("meta"), torch.no_grad():
        for node in wiring.nodes:
            bottoms = [values[v] for v in node.bottoms]
            shapes = tuple(tuple(b.shape) for b in bottoms)
            try:
                module = node.kind.build(Setting(node.record, shapes, phase))
                module.train(phase == "TRAIN")
                if isinstance(module, Source):
                    tops = tuple(torch.empty(shape) for shape in module.shapes)
                else:
                    tops = as_tuple(module(*bottoms))
            except TextError:
                raise
            except (RuntimeError, OverflowError, TypeError, ValueError) as error:
                reason = str(error).splitlines()[0]
                if "overflow" in reason:
                    reason = f"a blob would have more than {MOST_ELEMENTS:,} elements"
                raise node.record.refuse(f"does not fit its bottoms {shapes}: {reason}") from None
            if len(tops) != len(node.tops):
                raise node.record.refuse(f"makes {len(tops)} blobs and names {len(node.tops)} tops")
            own = blobs(module)
            for tensor in [*tops, *own]:
                _check_size(node.record, tuple(tensor.shape))
            found = fillers(node.kind, node.record, len(own))
            for tensor, (filler, _) in zip(own, found, strict=True):
                if filler is not None:
                    check(filler, tuple(tensor.shape))
            modules.append(module)
            values.extend(tops)
    return modules, [tuple(value.shape) for value in values]


def _check_size(record: Message, shape: Shape) -> None:
    count = 1
    for side in shape:
        count *= side
    if count > MOST_ELEMENTS:
        text = " x ".join(map(str, shape))
        raise record.refuse(f"a blob of {text} has {count:,} elements; at most {MOST_ELEMENTS:,}")


def share(nodes: Sequence[Node], modules: Sequence[nn.Module]) -> list[Learnable]:
    """Make blobs of one name one blob, and list what a solver updates, each once.

    A factor that any of the sharers gives holds for the blob.

    Raises: TextError for shared blobs of different shapes or factors.
    """
    owners: dict[str, int] = {}  # a blob's name -> its place among those found
    found: list[Learnable] = []
    for node, module in zip(nodes, modules, strict=True):
        specs: list[Message] = node.record["param"]
        own = blobs(module)
        if len(specs) > len(own):
            raise node.record.refuse(
                f"has {len(specs)} param entries for {len(own)} blobs; give at most one for each"
            )
        for index, (name, blob) in enumerate(zip(list(module.state_dict()), own, strict=True)):
            spec = specs[index] if index < len(specs) else Message("ParamSpec")
            learns = isinstance(blob, nn.Parameter)
            rate = float(spec["lr_mult"]) if learns else 0.0
            given = frozenset(field for field in FACTORS if field in spec)
            each = Learnable(node.name, index, blob, rate, float(spec["decay_mult"]), given)
            key = spec["name"]
            if key and key in owners:
                owner = found[owners[key]]
                _check_shared(node.record, key, each, owner)
                found[owners[key]] = _with_factors(owner, each)
                place, _, leaf = name.rpartition(".")
                assert isinstance(owner.tensor, nn.Parameter)
                module.get_submodule(place).register_parameter(leaf, owner.tensor)
                continue
            if key:
                owners[key] = len(found)
            found.append(each)
    return found


def _check_shared(record: Message, name: str, each: Learnable, owner: Learnable) -> None:
    wanted, given = tuple(owner.tensor.shape), tuple(each.tensor.shape)
    if wanted != given:
        raise record.refuse(
            f"shares the blob {name!r} of layer {owner.layer!r}, whose shape is {wanted}, with a "
            f"blob of shape {given}; both must have one shape"
        )
    rates, decays = (each.lr_mult, owner.lr_mult), (each.decay_mult, owner.decay_mult)
    for field, (here, there) in zip(FACTORS, (rates, decays), strict=True):
        if field in each.given & owner.given and here != there:
            raise record.refuse(
                f"shares the blob {name!r} of layer {owner.layer!r} with another {field}: "
                f"{here:g} and {there:g}"
            )


def _with_factors(owner: Learnable, each: Learnable) -> Learnable:
    """Return a shared blob with the factors that another of its layers gives."""
    more = each.given - owner.given
    return replace(
        owner,
        lr_mult=each.lr_mult if "lr_mult" in more else owner.lr_mult,
        decay_mult=each.decay_mult if "decay_mult" in more else owner.decay_mult,
        given=owner.given | more,
    )


def materialise(net: nn.Module) -> None:
    """Give every blob of a net on the meta device memory; what is shared stays shared."""
    made: dict[int, nn.Parameter] = {}
    for module in net.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in made:
                order = torch.channels_last if parameter.dim() == 4 else torch.contiguous_format
                memory = torch.empty(parameter.shape, memory_format=order)
                made[id(parameter)] = nn.Parameter(memory, requires_grad=parameter.requires_grad)
                made[id(made[id(parameter)])] = made[id(parameter)]
            module.register_parameter(name, made[id(parameter)])
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_meta:
                module._buffers[name] = torch.zeros(buffer.shape)


def present(learnable: Sequence[Learnable], own: Mapping[str, Sequence[Tensor]]) -> list[Learnable]:
    """Return the entries with the tensors that the layers have now: `.to` gives buffers new ones.

    `own` has each layer's blobs by its name.
    """
    return [replace(each, tensor=own[each.layer][each.index]) for each in learnable]


def freeze(learnable: Sequence[Learnable]) -> None:
    """Take no gradients where the rate is 0."""
    for each in learnable:
        if isinstance(each.tensor, nn.Parameter):
            each.tensor.requires_grad_(each.lr_mult != 0)


def as_tuple(tops: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return what a layer made as a tuple."""
    return (tops,) if isinstance(tops, Tensor) else tuple(tops)
