"""Layers that work on each element give what the original gives."""

import pytest

from alexnet.text.neurons import KINDS
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import check

CASES = read_cases("neurons")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_gives_what_the_original_gives(case: Case, channels_last: bool) -> None:
    check(case, KINDS, channels_last=channels_last)
