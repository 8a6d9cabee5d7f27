"""`alexnet convert`: weights from elsewhere into a model, and a model into the forms of others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alexnet.cli.tables import note


@Parameter(name="*")
@dataclass(frozen=True)
class Inputs:
    """How pictures become inputs, for files of weights that do not say it."""

    labels: Path | None = None
    """Names of the classes, a line each, in the order of the outputs."""
    mean: Path | None = None
    """Caffe's mean picture: a .binaryproto or .npy."""
    mean_value: Annotated[tuple[float, ...], Parameter(negative=())] = ()
    """Caffe's mean colour: blue green red. Without either, that of ILSVRC-2012."""
    scale: float = 1.0
    """Caffe's factor behind the subtraction."""
    picture_size: int = 256
    """Pictures are resized to this shorter side and their centre square is kept, in pixels."""


def convert(
    source: Path, out: Path, *, net: str = "", inputs: Inputs = Inputs(), mirror: str = ""
) -> int:
    """Turn weights into another form.

    From Caffe (.caffemodel, .caffemodel.h5), torchvision (.pth, .safetensors), a run or a model.
    torchvision:alexnet and so on are fetched where torchvision has published them, and checked.
    OUT says into what: a folder becomes a model that predict, eval and train know; .safetensors has
    our names, .pth torchvision's, .caffemodel Caffe's.

    Parameters
    ----------
    source
        File of weights, folder of a run or model, or torchvision:NAME.
    out
        File or folder to write; what is there is not overwritten.
    net
        Net that the weights are for: a name such as vgg16 or bvlc-alexnet, or a .prototxt. A run
        and a model know theirs.
    mirror
        Another server, http://..., or a folder, that has torchvision's published files.
    """
    from alexnet.export import published
    from alexnet.export.convert import Pictures, read, write

    if out.exists():
        raise ValueError(f"{out} exists already; give another name, or remove it first")
    pictures = Pictures(
        picture_size=inputs.picture_size,
        mean=inputs.mean,
        mean_value=inputs.mean_value,
        scale=inputs.scale,
        labels=inputs.labels,
    )
    if str(source).startswith(published.PREFIX):
        net = net or published.net_of(str(source))
        note(f"{source}: fetched unless it is here; trained on ImageNet, for research")
        source = published.fetch(str(source), mirror=mirror)
        note(f"{source}: its digest is the one that its name carries")
    converted = read(source, net=net, pictures=pictures)
    for text in converted.notes:
        note(f"note: {text}")
    print(write(converted.model, out))
    return 0
