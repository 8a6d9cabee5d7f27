"""The thread that computes: batches of what has come, other work in its turn, an end."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from alexnet.serve.batching import ComputeThread


@pytest.fixture
def compute() -> Iterator[ComputeThread]:
    """Return a thread that is closed at the end."""
    made = ComputeThread(most=4, linger_seconds=5)
    yield made
    made.on_their_way = 0
    made.close()


def squares(batches: list[list[int]]) -> Callable[[Sequence[int]], list[int]]:
    """Return work that squares numbers and keeps its batches."""

    def work(numbers: Sequence[int]) -> list[int]:
        batches.append(list(numbers))
        return [number * number for number in numbers]

    return work


def held(compute: ComputeThread) -> threading.Event:
    """Keep the thread busy until the event that is returned is set."""
    gate, begun = threading.Event(), threading.Event()
    compute.run(lambda: begun.set() or gate.wait())  # type: ignore[func-returns-value]
    begun.wait()
    return gate


def test_what_has_come_is_answered_together_at_most_so_many(compute: ComputeThread) -> None:
    batches: list[list[int]] = []
    work = squares(batches)
    gate = held(compute)
    futures = [compute.answer(work, number) for number in range(10)]
    gate.set()
    assert [each.result() for each in futures] == [n * n for n in range(10)]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (compute.batches, compute.answered) == (3, 10)
    assert compute.seconds_for(20) == pytest.approx(2 * compute.seconds)


def test_more_is_waited_for_only_while_more_is_on_its_way(compute: ComputeThread) -> None:
    batches: list[list[int]] = []
    work = squares(batches)
    assert compute.answer(work, 1).result() == 1  # nobody is on the way: at once
    compute.on_their_way = 3
    gate = held(compute)
    first = compute.answer(work, 2)
    gate.set()
    others = [compute.answer(work, number) for number in (3, 4, 5)]
    assert first.result() == 4
    assert [each.result() for each in others] == [9, 16, 25]
    assert batches == [[1], [2, 3, 4, 5]]


def test_other_work_and_other_nets_keep_their_turn(compute: ComputeThread) -> None:
    seen: list[list[int]] = []
    first, second = squares(seen), squares(seen)
    gate = held(compute)
    futures = [compute.answer(first, 1), compute.answer(first, 2)]
    alone = compute.run(lambda: seen.append([0]))
    futures += [compute.answer(first, 3), compute.answer(second, 4)]
    gate.set()
    assert [each.result() for each in futures] == [1, 4, 9, 16]
    assert alone.result() is None
    assert seen == [[1, 2], [0], [3], [4]]


def test_an_error_reaches_all_of_its_batch_and_no_other(compute: ComputeThread) -> None:
    def fail(_: Sequence[int]) -> list[int]:
        raise ValueError("the net is broken")

    gate = held(compute)
    futures = [compute.answer(fail, number) for number in range(2)]
    gate.set()
    for each in futures:
        with pytest.raises(ValueError, match="the net is broken"):
            each.result()
    assert compute.answer(squares([]), 3).result() == 9


def test_too_few_answers_are_an_error_for_those_without(compute: ComputeThread) -> None:
    gate = held(compute)
    work = lambda numbers: list(numbers)[:1]  # noqa: E731
    first, second = compute.answer(work, 1), compute.answer(work, 2)
    gate.set()
    assert first.result() == 1
    with pytest.raises(ValueError, match="shorter"):
        second.result()


def test_who_has_gone_is_not_computed_for(compute: ComputeThread) -> None:
    batches: list[list[int]] = []
    work = squares(batches)
    gate = held(compute)
    gone, stayed = compute.answer(work, 1), compute.answer(work, 2)
    gone.cancel()
    gate.set()
    assert stayed.result() == 4
    assert batches == [[2]]


def test_closing_finishes_what_is_queued_and_takes_no_more() -> None:
    compute = ComputeThread()
    gate = held(compute)
    future = compute.answer(squares([]), 3)
    closer = threading.Thread(target=compute.close)
    closer.start()
    gate.set()
    closer.join()
    assert future.result() == 9
    with pytest.raises(RuntimeError, match="the server is stopping"):
        compute.run(lambda: 1)
    assert ComputeThread().seconds_for(10) == pytest.approx(0.5)
