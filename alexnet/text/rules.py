"""Which layers of a net stand in a phase, at a level, in stages: Caffe's include and exclude rules.

Source: BVLC Caffe 1.0, src/caffe/net.cpp: Net::FilterNet and Net::StateMeetsRule.
"""

from collections.abc import Sequence
from typing import Literal

from alexnet.text.message import Message


def filter_net(
    net: Message, phase: Literal["TRAIN", "TEST"], *, level: int = 0, stages: Sequence[str] = ()
) -> Message:
    """Return a net without the layers that do not stand in a state, which is written into it.

    A layer with include rules stands where one of them is met, one with exclude rules where none
    is. A rule is met when all it says holds: phase, min_level <= level <= max_level, every stage
    of its own is among `stages`, no not_stage is. The state that the net itself gives does not
    count: pass what shall hold.

    Raises: TextError if a layer has both include and exclude, or the net is of an old format.
    """
    if "layers" in net:
        raise net.refuse("the net has V1 `layers`; upgrade it before it is filtered", "layers")
    filtered = net.copy()
    filtered["state"] = {"phase": phase, "level": level, "stage": list(stages)}
    filtered["layer"] = [each for each in filtered["layer"] if _stands(each, filtered["state"])]
    return filtered


def _stands(layer: Message, state: Message) -> bool:
    if "include" in layer and "exclude" in layer:
        raise layer.refuse("include and exclude rules cannot both be given; keep one", "exclude")
    if "include" in layer:
        return any(_met(rule, state) for rule in layer["include"])
    return not any(_met(rule, state) for rule in layer["exclude"])


def _met(rule: Message, state: Message) -> bool:
    stages = set(state["stage"])
    return (
        ("phase" not in rule or rule["phase"] == state["phase"])
        and ("min_level" not in rule or state["level"] >= rule["min_level"])
        and ("max_level" not in rule or state["level"] <= rule["max_level"])
        and stages.issuperset(rule["stage"])
        and stages.isdisjoint(rule["not_stage"])
    )
