import gc
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from alexnet.text.ahead import Ahead


def counter() -> Callable[[], int]:
    numbers = iter(range(1000))
    return lambda: next(numbers)


def test_batches_come_in_order_from_one_other_thread() -> None:
    threads: set[int] = set()
    count = counter()

    def load() -> int:
        threads.add(threading.get_ident())
        return count()

    ahead = Ahead(load, 4)
    assert [ahead.take() for _ in range(20)] == list(range(20))
    ahead.close()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_nothing_is_loaded_before_the_first_batch_is_taken() -> None:
    loaded: list[int] = []
    ahead = Ahead(lambda: loaded.append(1), 2)
    time.sleep(0.02)
    assert loaded == []
    ahead.take()
    ahead.close()
    assert 1 <= len(loaded) <= 3


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_no_more_is_loaded_than_the_depth_allows(depth: int) -> None:
    loaded: list[int] = []
    ahead = Ahead(lambda: loaded.append(1), depth)
    ahead.take()
    time.sleep(0.05)
    assert len(loaded) <= max(depth, 1) + 1
    ahead.close()


def test_an_error_of_the_thread_is_raised_where_the_batch_is_taken() -> None:
    def load() -> int:
        raise ValueError("the disk is gone")

    ahead = Ahead(load, 2)
    for _ in range(2):
        with pytest.raises(ValueError, match="the disk is gone"):
            ahead.take()
    ahead.close()


def test_a_closed_source_leaves_no_thread() -> None:
    before = threading.active_count()
    ahead = Ahead(counter(), 2)
    ahead.take()
    ahead.close()
    assert threading.active_count() == before


def test_a_forgotten_source_is_let_go_of() -> None:
    class Holder:
        def __init__(self) -> None:
            self.ahead = Ahead(self.load, 1)

        def load(self) -> int:
            return 1

    holder = Holder()
    holder.ahead.take()
    watch = weakref.ref(holder)
    del holder
    for _ in range(50):
        gc.collect()
        if watch() is None:
            break
        time.sleep(0.02)
    assert watch() is None
