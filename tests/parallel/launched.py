"""`alexnet` with the tests' tiny net, for torchrun: launched.py [DOOM] WORDS.

A first word such as doom=1,update,3 ends rank 1 in its third update, unless torchrun has started
the run again.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from alexnet.cli import run
from alexnet.nets import NETS
from tests.conftest import TINY
from tests.parallel.doomed import Doom, prepare


def main(words: list[str]) -> int:
    """Run a command."""
    NETS["tiny"] = TINY
    if words[0].startswith("doom="):
        rank, moment, count = words.pop(0).removeprefix("doom=").split(",")
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if first and os.environ["RANK"] == rank:
            prepare(Doom(int(rank), moment, int(count)))  # type: ignore[arg-type]
    return run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
