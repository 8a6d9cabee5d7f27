"""The table of data sets: its digests' form, and the ends of what its readers must find."""

import re

import pytest

from alexnet.data.sources import DATA_SETS, data_set

IDX_FILES = {
    f"{part}-{what}-ubyte.gz"
    for part in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_each_file_has_an_address_and_length_and_digest_together(name: str) -> None:
    for file in DATA_SETS[name].files:
        assert re.fullmatch(r"https?://[\w.~/-]+[^/]", file.address)
        assert (file.num_bytes is None) == (file.sha256 is None)
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
    if not DATA_SETS[name].packed:
        assert {file.name for file in DATA_SETS[name].files} == IDX_FILES


def test_no_digest_stands_twice() -> None:
    digests = [file.sha256 for each in DATA_SETS.values() for file in each.files if file.sha256]
    assert len(digests) == len(set(digests)) == 17


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'cifar' is not known \(did you mean 'cifar10'\?\); the"):
        data_set("cifar")
    assert data_set("mnist") is DATA_SETS["mnist"]
