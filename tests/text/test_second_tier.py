"""The kinds of layers of the second tier give what the original gives."""

import pytest

from alexnet.text import combining, metric_losses, recurrent, spatial
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import check

FILES = {
    "second_spatial": spatial.KINDS,
    "second_combining": combining.KINDS,
    "second_losses": metric_losses.KINDS,
    "second_recurrent": recurrent.KINDS,
}
CASES = [(name, case) for name in FILES for case in read_cases(name)]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("name", "case"), CASES, ids=[case.name for _, case in CASES])
def test_a_layer_gives_what_the_original_gives(name: str, case: Case, channels_last: bool) -> None:
    check(case, FILES[name], channels_last=channels_last)
