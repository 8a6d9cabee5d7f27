"""The networks: one paper a file. NETS is the list of all that have a name."""

from alexnet.nearest import nearest
from alexnet.nets import variants
from alexnet.nets.chain import Architecture

NETS: dict[str, Architecture] = {
    "alexnet": variants.ALEXNET,
    "alexnet-2012": variants.ALEXNET_2012,
    "alexnet-2012-half": variants.ALEXNET_2012_HALF,
    "alexnet-1col": variants.ALEXNET_1COL,
    "alexnet-owt": variants.ALEXNET_OWT,
    "torchvision": variants.TORCHVISION,
    "bvlc-alexnet": variants.BVLC_ALEXNET,
    "caffenet": variants.CAFFENET,
    "keras": variants.KERAS,
}


def find(name: str) -> Architecture:
    """Return the net of that name.

    Raises: ValueError if there is none; the message gives the nearest name and all of them.
    """
    if name not in NETS:
        raise ValueError(
            f"no net is called {name!r}{nearest(name, NETS)}; the nets are {', '.join(NETS)}"
        )
    return NETS[name]
