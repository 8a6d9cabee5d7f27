"""A model in the form that thingsvision and Brain-Score take features from.

    get_extractor_from_model(**for_thingsvision(RUN))        # thingsvision
    PytorchWrapper(**for_brain_score(RUN), batch_size=32)    # brainscore_vision

Source:  thingsvision 2.7 (core/extraction/helpers.py, torch.py) and brainscore_vision 2.4
         (model_helpers/activations/pytorch.py, core.py): both find layers by named_modules and
         hold their outputs by forward hooks, so that a layer must run by itself and must not
         write into its input. Neither package is imported here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from alexnet.data.augment import cut, same_windows
from alexnet.data.folder import DataError
from alexnet.data.image import Picture, fit_square
from alexnet.export.numpy_inputs import Numbers
from alexnet.model import Model, model_folder, open_model
from alexnet.nets.chain import Chain
from alexnet.prediction import open_picture
from alexnet.store import read_manifest


class ForThingsvision(TypedDict):
    """What thingsvision's get_extractor_from_model takes."""

    model: nn.Module
    device: str
    backend: str
    preprocess: Callable[[Image.Image], Tensor]


class ForBrainScore(TypedDict):
    """What Brain-Score's PytorchWrapper takes."""

    model: nn.Module
    preprocessing: Callable[[Sequence[str | Path]], Numbers]
    identifier: str


class Unfused(nn.Module):
    """A net whose layers run one by one under their own names: conv1, relu1, ..., fc8."""

    def __init__(self, net: Chain) -> None:
        super().__init__()
        self.names = [name for name, _ in net.steps()]
        for name, layer in net.steps():
            self.add_module(name, layer)
        for layer in self.modules():
            if isinstance(layer, nn.ReLU | nn.Dropout):
                layer.inplace = False

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits.

        Shapes:  x (N, C, H, W) -> (N, classes).
        """
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


def for_thingsvision(source: Path | str, *, device: str = "cpu") -> ForThingsvision:
    """Return a run's or model's net and preprocessing for get_extractor_from_model.

    Raises: StoreError if there is no model, or it is damaged.
    """
    model = open_model(Path(source))

    def preprocess(picture: Image.Image) -> Tensor:
        return inputs_of(model, [np.array(picture.convert("RGB"))])[0]

    net = Unfused(model.net).eval()
    return ForThingsvision(model=net, device=device, backend="pt", preprocess=preprocess)


def for_brain_score(source: Path | str, *, identifier: str = "") -> ForBrainScore:
    """Return a run's or model's net and preprocessing for PytorchWrapper.

    `identifier` is what Brain-Score caches activations by; without it, the net's name and the
    beginning of its weights' digest, for a net trained anew answers otherwise.

    Raises: StoreError if there is no model, or it is damaged.
    """
    model = open_model(Path(source))
    digest = str(read_manifest(model_folder(Path(source)))["digest"])

    def preprocessing(paths: Sequence[str | Path]) -> Numbers:
        return inputs_of(model, [_open(path, model) for path in paths]).numpy()

    name = identifier or f"alexnet-{Path(model.name).stem}-{digest[:12]}"
    return ForBrainScore(
        model=Unfused(model.net).eval(), preprocessing=preprocessing, identifier=name
    )


def inputs_of(model: Model, pictures: Sequence[Picture]) -> Tensor:
    """Return what a net sees of pictures: their centres, as `alexnet predict` has it.

    Shapes:  (H, W, 3) uint8 each -> (N, C, crop, crop) float32, contiguous.
    """
    given = model.preprocessing
    squares = np.stack([fit_square(picture, given.picture_size) for picture in pictures])
    windows = same_windows(len(squares), given.border // 2, given.border // 2)
    return cut(torch.from_numpy(squares), windows, given).contiguous()


def _open(path: str | Path, model: Model) -> Picture:
    """Read a picture as `alexnet predict` does.

    Raises: DataError naming it and what is wrong.
    """
    picture = open_picture(str(path), model.preprocessing.picture_size)
    if isinstance(picture, str):
        raise DataError(f"{path}: {picture}; leave it out, or replace it")
    return picture
