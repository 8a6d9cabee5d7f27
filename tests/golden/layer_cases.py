"""Cases of single layers of Caffe's, as text, and what the original made of them.

A file `NAME.txt` holds cases, one after the other; `NAME.npz` holds what `make_caffe_layers` got
from the original for them. A case is some lines:

    case convolution_stride          its name
    bottom 2 3 7 9                   shape and content of a bottom; one line for each
    bottom 2 labels 5
    tops 2                           how many tops the layer has; 1 where this line is left out
    blobs positive                   content of the layer's blobs; "normal" where left out
    type: "Convolution"              the rest is what stands between the braces of `layer { ... }`
    convolution_param { num_output: 4 }

Contents: `normal`, `positive` (0.25 to 2), `coarse` (few values, so that many are equal),
`labels K` (0 to K - 1), and after any of these `still` for a bottom that gets no gradient. Labels
get none. The layer is called "layer", its bottoms x0, x1, ..., its tops y0, y1, ... .
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "caffe_layers"
Array = NDArray[np.float32]


@dataclass
class Bottom:
    """A bottom of a case."""

    shape: tuple[int, ...]
    content: str
    limit: int
    """Labels are below it."""
    learns: bool
    """Whether it gets a gradient."""


@dataclass
class Case:
    """A layer with its bottoms, and the original's arrays for it."""

    name: str
    bottoms: list[Bottom] = field(default_factory=list)
    tops: int = 1
    blobs: str = "normal"
    text: str = ""
    arrays: dict[str, Array] = field(default_factory=dict)

    @property
    def layer(self) -> str:
        """The layer as it stands in a prototxt."""
        bottoms = " ".join(f'bottom: "x{i}"' for i in range(len(self.bottoms)))
        tops = " ".join(f'top: "y{i}"' for i in range(self.tops))
        still = "".join(f" propagate_down: {str(bottom.learns).lower()}" for bottom in self.bottoms)
        return f'layer {{ name: "layer" {bottoms} {tops}{still}\n{self.text}}}\n'

    def numbered(self, name: str) -> list[Array]:
        """Return the arrays name0, name1, ... ."""
        found: list[Array] = []
        while f"{name}{len(found)}" in self.arrays:
            found.append(self.arrays[f"{name}{len(found)}"])
        return found


def read_cases(name: str) -> list[Case]:
    """Return the cases of a file with what the original made of them, if that is there yet."""
    cases: list[Case] = []
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "case":
            cases.append(Case(words[1]))
        elif words[0] == "bottom":
            cases[-1].bottoms.append(_bottom(words[1:]))
        elif words[0] == "tops":
            cases[-1].tops = int(words[1])
        elif words[0] == "blobs":
            cases[-1].blobs = words[1]
        else:
            cases[-1].text += line + "\n"
    path = FOLDER / f"{name}.npz"
    if path.exists():
        with np.load(path) as stored:
            for case in cases:
                start = case.name + "/"
                case.arrays = {
                    k.removeprefix(start): stored[k] for k in stored if k.startswith(start)
                }
    return cases


def _bottom(words: list[str]) -> Bottom:
    numbers = []
    while words and words[0].isdigit():
        numbers.append(int(words.pop(0)))
    content = words.pop(0) if words and words[0] != "still" else "normal"
    limit = int(words.pop(0)) if content == "labels" else 0
    return Bottom(tuple(numbers), content, limit, "still" not in words and content != "labels")
