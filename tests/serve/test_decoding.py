"""Decoding in processes that die: a picture is refused, the next is read."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.image import ImageError, decode
from alexnet.serve.decoding import DecoderDied, DecoderPool
from tests.conftest import MakePictures
from tests.serve.live import Live, jpeg, start

ROOT = Path(__file__).parents[2]
CODE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.serve import crashing as c; "
COMMAND = (sys.executable, "-c", CODE + "c.main(c.decode)")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    """Return a pool whose decoder dies when it is told to."""
    made = DecoderPool(workers=2, seconds=60, command=COMMAND)
    yield made
    made.close()


def test_pixels_are_those_of_the_decoder_here(pool: DecoderPool) -> None:
    for seed, size in ((0, 40), (1, 200), (2, 300)):
        data = jpeg(seed, size=size)
        assert np.array_equal(pool.decode(data, at_least=64), decode(data, at_least=64))


def test_a_refusal_is_told_in_the_decoders_words(pool: DecoderPool) -> None:
    deaths = pool.deaths
    with pytest.raises(ImageError, match="this is a PDF document; JPEG, PNG"):
        pool.decode(b"%PDF-1.7\n", at_least=64)
    assert pool.deaths == deaths


def test_a_hundred_crashes_are_survived(pool: DecoderPool) -> None:
    expected, deaths = decode(jpeg(), at_least=64), pool.deaths
    ways = (b"crash", b"exit", b"null", b"odd")
    for number in range(100):
        with pytest.raises(DecoderDied, match="did not survive this picture; save it anew"):
            pool.decode(ways[number % 4], at_least=64)
    assert pool.deaths == deaths + 100
    assert np.array_equal(pool.decode(jpeg(), at_least=64), expected)


def test_crashes_harm_no_picture_beside_them(pool: DecoderPool) -> None:
    expected = decode(jpeg(5), at_least=64)

    def one(number: int) -> bool:
        if number % 3:
            return np.array_equal(pool.decode(jpeg(5), at_least=64), expected)
        with pytest.raises(DecoderDied):
            pool.decode(b"crash", at_least=64)
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(one, range(30)))


def test_a_worker_may_not_take_memory_or_open_files(pool: DecoderPool) -> None:
    with pytest.raises(ImageError, match="takes more memory than an upload may have"):
        pool.decode(b"memory", at_least=64)
    with pytest.raises(DecoderDied):
        pool.decode(b"open", at_least=64)


def test_an_answer_larger_than_the_limits_is_not_believed(pool: DecoderPool) -> None:
    with pytest.raises(DecoderDied):
        pool.decode(b"large", at_least=64)
    assert pool.decode(jpeg(), at_least=64).shape[2] == 3


def test_a_decoder_that_hangs_is_ended() -> None:
    pool = DecoderPool(workers=1, seconds=0.3, command=COMMAND)
    pool.warm_up()
    try:
        with pytest.raises(DecoderDied, match=r"took longer than 0\.3 s; make the picture smaller"):
            pool.decode(b"sleep", at_least=64)
        pool.seconds = 60
        assert pool.decode(jpeg(), at_least=64).shape[2] == 3
    finally:
        pool.close()


def test_workers_are_replaced_after_their_share_and_when_their_parent_dies() -> None:
    pool = DecoderPool(workers=1, seconds=60, most=2, command=COMMAND)
    try:
        for _ in range(5):
            assert pool.decode(jpeg(), at_least=64).shape[2] == 3
        assert pool._parent is not None
        first = pool._parent
        first.kill()
        first.wait()
        for _ in range(3):
            assert pool.decode(jpeg(), at_least=64).shape[2] == 3
        assert pool._parent.pid != first.pid
    finally:
        pool.close()


def test_a_program_that_is_no_decoder_is_an_error_of_the_system() -> None:
    pool = DecoderPool(workers=1, command=(sys.executable, "-c", "pass"))
    with pytest.raises(OSError, match=r"the other side has closed|Broken pipe|reset"):
        pool.decode(jpeg(), at_least=64)
    pool.close()


def test_over_http_a_crash_is_a_refusal_of_one_request(
    tiny_net: str, tmp_path: Path, pictures: MakePictures
) -> None:
    from tests.serve.live import write_run

    write_run(tmp_path)
    with start(tmp_path / "runs") as live:
        live.service.pool.close()
        live.service.pool = DecoderPool(workers=2, seconds=60, command=COMMAND)
        _crash_over_http(live)


def _crash_over_http(live: Live) -> None:
    with ThreadPoolExecutor(4) as clients:
        bodies = [b"crash" if number % 2 else jpeg(number) for number in range(12)]
        answers = list(clients.map(lambda body: live.ask("/api/predict", body), bodies))
    assert [each.status for each in answers] == [200, 422] * 6
    assert "did not survive" in answers[1].json["error"]["message"]
    assert live.ask("/healthz").status == 200
