"""A trained net with all that its answers depend on: classes, preprocessing, statistics, weights.

A model is a folder (see `alexnet.store`); a run folder holds one as `model/`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from alexnet import store
from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import Statistics
from alexnet.nearest import nearest_beside
from alexnet.nets import NETS, find
from alexnet.nets.chain import Architecture, Chain
from alexnet.store import StoreError

SUFFIX = ".prototxt"
DRAWS = frozenset(
    {Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.trunc_normal_}
    | {init.kaiming_normal_, init.kaiming_uniform_, init.xavier_normal_, init.xavier_uniform_}
)
"""What draws the weights of torch's layers: a tensor in place, the first argument or `tensor`."""


@dataclass
class Model:
    """A net and everything that belongs to its answers."""

    name: str
    """Name of the net in `alexnet.nets.NETS`, or of the prototxt that it came from."""
    net: Chain
    classes: tuple[str, ...]
    """Class names in the order of the net's outputs."""
    preprocessing: Preprocessing
    text: str = ""
    """The prototxt, for a net that has no name."""


def architecture(name: str) -> Architecture:
    """Return the net called `name`, or the one in a file called NAME.prototxt.

    Raises: ValueError if there is neither, or the text is refused.
    """
    if not name.endswith(SUFFIX):
        return find(name)
    from alexnet.text.picture import read_preset

    return read_preset(Path(name))


def text_of(known: Architecture) -> str:
    """Return the prototxt of a net that came from one, else ""."""
    if known in NETS.values():
        return ""
    from alexnet.text.picture import TextPreset

    return known.text if isinstance(known, TextPreset) else ""


def create(
    name: str, classes: tuple[str, ...], preprocessing: Preprocessing, *, seed: int
) -> Model:
    """Build a net with the initial weights of its source.

    Raises: ValueError if there is no such net or it does not fit the crop size.
    """
    known = architecture(name)
    net = _empty_net(known, len(classes), preprocessing.crop_size)
    net.init_weights(torch.Generator().manual_seed(seed))
    return Model(name, net, classes, preprocessing, text_of(known))


def save_model(
    model: Model,
    folder: Path,
    *,
    weights: dict[str, Tensor] | None = None,
    record: dict[str, Any] | None = None,
) -> None:
    """Write a model, all or nothing; `record` says where it comes from (step, errors).

    `weights` are the whole net's, where the model's own net is only a part of it.
    """
    content = {
        "kind": "model",
        "net": model.name,
        "text": model.text,
        "classes": list(model.classes),
        "preprocessing": model.preprocessing.constants(),
        "record": record or {},
    }
    statistics = model.preprocessing.statistics.tensors()
    whole = dict(model.net.state_dict()) if weights is None else weights
    store.write(folder, content, {"weights": whole, "statistics": statistics})


def open_model(path: Path, *, device: torch.device | None = None) -> Model:
    """Open a model folder or the model of a run folder, every byte verified.

    Raises: StoreError if there is none, or any of it is damaged (the tensor is named).
    """
    folder = model_folder(path)
    content, groups = store.read(folder)
    if content.get("kind") != "model":
        raise StoreError(f"{folder} holds a {content.get('kind')}, not a model")
    statistics = Statistics(**groups["statistics"])
    preprocessing = Preprocessing(statistics, **content["preprocessing"])
    classes = tuple(content["classes"])
    name, text = content["net"], content.get("text", "")
    known = _of_text(name, text) if text else find(name)
    net = _empty_net(known, len(classes), preprocessing.crop_size)
    load_weights(net, groups["weights"], folder)
    net.eval().to(device or torch.device("cpu"))
    return Model(name, net, classes, preprocessing, text)


def model_folder(path: Path) -> Path:
    """Return the model's folder of a run or a model.

    Raises: StoreError if there is neither.
    """
    for folder in (path, path / "model"):
        if (folder / store.MANIFEST).is_file():
            return folder
    if not path.exists():
        raise StoreError(f"{path} does not exist{nearest_beside(path)}")
    raise StoreError(
        f"{path} holds no model (no {store.MANIFEST}); "
        "give the folder of a run that has finished an epoch, or of a model"
    )


def load_weights(net: Chain, weights: dict[str, Tensor], source: Path) -> None:
    """Give the net the weights of a file.

    Raises: StoreError naming the tensors that are missing, extra or of another shape.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wanted != given:
        odd = sorted(set(wanted.items()) ^ set(given.items()))
        listed = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in odd[:4])
        raise StoreError(f"{source} does not fit the net: {listed} do not agree")
    net.load_state_dict(weights)  # a copy: an optimizer may hold the net's own parameters


class _WithoutDraws(TorchFunctionMode):
    """Leaves out what draws random numbers; weights stay as the memory was, constants are there."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function in DRAWS:
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


def _of_text(name: str, text: str) -> Architecture:
    from alexnet.text import prototxt
    from alexnet.text.picture import preset_of

    return preset_of(prototxt.parse(text, "NetParameter", source=name), source=name)


def _empty_net(known: Architecture, classes: int, crop_size: int) -> Chain:
    """Build a net without spending time on weights that will be replaced."""
    with _WithoutDraws():
        net = known.build(classes=classes, input_size=crop_size)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net
