import pytest

from alexnet.data.pack_options import PackOptions


def test_how_pictures_are_stored_is_said_in_words() -> None:
    assert PackOptions().how == "as they were"
    assert PackOptions(size=256).how == "shorter side at most 256, JPEG quality 95"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", 15, "size is 15; give 16 to 4096 pixels, or 0 for no scaling"),
        ("size", 5000, "size is 5000; give 16 to 4096"),
        ("quality", 0, "quality is 0; give 1 to 100, 95 is usual"),
        ("quality", 101, "quality is 101"),
        ("shard_mb", 0.0, "shard-mb is 0.0; give more than 0, 256 is usual"),
        ("shard_mb", float("nan"), "shard-mb is nan"),
        ("shuffle_seed", -2, "shuffle-seed is -2; give 0 or more, or -1 for none"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PackOptions(**{name: value})  # type: ignore[arg-type]
