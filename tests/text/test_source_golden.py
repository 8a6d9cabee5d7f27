"""Data layers give the numbers of BVLC Caffe, all of them, bit for bit."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.golden.source_cases import BATCHES, FOLDER, SOURCES
from tests.text.one_source import build, take


@pytest.mark.parametrize("case", SOURCES)
def test_a_data_layer_gives_caffes_numbers(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER, tmp_path / "data")  # LevelDB writes into the folder that it reads
    monkeypatch.chdir(tmp_path / "data")
    source = build(SOURCES[case])
    batches = [take(source) for _ in range(BATCHES)]
    with np.load("sources.npz") as golden:
        for index, top in enumerate(("data", "label")):
            for number, batch in enumerate(batches):
                found = batch[index].numpy()
                wanted = golden.get(f"{case}/{top}{number}")
                if wanted is None:  # batches of one size stand one after the other
                    rows = slice(number * len(found), (number + 1) * len(found))
                    wanted = golden[f"{case}/{top}"][rows]
                assert found.dtype == np.float32
                np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
            if len({batch[index].shape for batch in batches}) == 1:
                assert source.shapes[index] == batches[0][index].shape
