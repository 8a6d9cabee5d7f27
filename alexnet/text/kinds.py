"""All kinds of Caffe's layers by the name that a prototxt gives them."""

from typing import Final

from alexnet.text import (
    combining,
    losses,
    metric_losses,
    neurons,
    norms,
    output,
    recurrent,
    shaping,
    sources,
    spatial,
    vision,
)
from alexnet.text.kind import Kind

KINDS: Final[dict[str, Kind]] = {
    **sources.KINDS,
    **vision.KINDS,
    **norms.KINDS,
    **neurons.KINDS,
    **shaping.KINDS,
    **losses.KINDS,
    **metric_losses.KINDS,
    **spatial.KINDS,
    **combining.KINDS,
    **recurrent.KINDS,
    **output.KINDS,
}
