"""The rule of ILSVRC's task 2 by cases worked out on paper."""

import json

import pytest

from alexnet.evaluation.localization_rule import Box, Guess, LocalizationCounts, overlap

WHOLE: Box = (0, 0, 10, 10)
HALF: Box = (0, 0, 10, 5)
FAR: Box = (20, 20, 30, 30)


@pytest.mark.parametrize(
    ("a", "b", "edge", "expected"),
    [
        (WHOLE, WHOLE, 0.0, 1.0),
        (WHOLE, HALF, 0.0, 0.5),
        (WHOLE, FAR, 0.0, 0.0),
        (WHOLE, (10, 0, 20, 10), 0.0, 0.0),  # they touch
        (WHOLE, (5, 5, 15, 15), 0.0, 25 / 175),
        (WHOLE, (2, 2, 4, 4), 0.0, 4 / 100),
        ((0, 0, 9, 9), (0, 0, 9, 4), 1.0, 0.5),  # 10 x 10 and 10 x 5 pixels
        ((0, 0, 9, 9), (9, 0, 18, 9), 1.0, 10 / 190),  # they share a column of pixels
        ((3, 3, 3, 3), (3, 3, 3, 3), 1.0, 1.0),  # a pixel
        ((3, 3, 3, 3), (3, 3, 3, 3), 0.0, 0.0),  # nothing
        ((3, 3, 3, 3), WHOLE, 0.0, 0.0),
    ],
)
def test_overlap_is_the_shared_area_over_the_covered_one(
    a: Box, b: Box, edge: float, expected: float
) -> None:
    assert overlap(a, b, edge=edge) == pytest.approx(expected, rel=1e-12)
    assert overlap(b, a, edge=edge) == pytest.approx(expected, rel=1e-12)


# label, boxes of the picture, guesses, then wrong in: task 2, task 1, and both of the first guess
CASES: list[tuple[list[Box], list[tuple[int, Box]], tuple[int, int, int, int]]] = [
    ([WHOLE], [(7, WHOLE)], (0, 0, 0, 0)),
    ([WHOLE], [(7, HALF)], (0, 0, 0, 0)),  # exactly half is right
    ([WHOLE], [(7, (0, 0, 10, 4.99))], (1, 0, 1, 0)),  # below half, with the right class
    ([WHOLE], [(3, WHOLE)], (1, 1, 1, 1)),  # the right box of another class
    ([WHOLE], [(3, WHOLE), (7, FAR)], (1, 0, 1, 1)),  # class and box right in different guesses
    ([WHOLE], [(3, FAR), (7, WHOLE)], (0, 0, 1, 1)),
    ([FAR, WHOLE], [(7, WHOLE)], (0, 0, 0, 0)),  # any instance will do
    ([WHOLE], [(7, FAR), (7, WHOLE)], (0, 0, 1, 0)),  # one class may be guessed twice
    ([WHOLE], [(1, WHOLE)] * 4 + [(7, WHOLE)], (0, 0, 1, 1)),  # the fifth guess
    ([WHOLE], [(1, WHOLE)] * 5 + [(7, WHOLE)], (1, 1, 1, 1)),  # the sixth is not looked at
    ([WHOLE], [], (1, 1, 1, 1)),
]


@pytest.mark.parametrize(("boxes", "guesses", "wrong"), CASES)
def test_a_picture_is_right_when_a_guess_is_right_in_class_and_box(
    boxes: list[Box], guesses: list[tuple[int, Box]], wrong: tuple[int, int, int, int]
) -> None:
    counts = LocalizationCounts()
    counts.add(7, boxes, [Guess(*each) for each in guesses], WHOLE)
    assert counts.pictures == 1
    assert wrong == (
        counts.localization_errors,
        counts.class_errors,
        counts.top1_localization_errors,
        counts.top1_class_errors,
    )


def test_the_errors_of_a_set_are_sums() -> None:
    counts = LocalizationCounts()
    for boxes, guesses, _ in CASES:
        counts.add(7, boxes, [Guess(*each) for each in guesses], (0, 0, 10, 4))
    found = json.loads(json.dumps(counts.to_json()))
    expected = [sum(wrong[i] for *_, wrong in CASES) for i in range(4)]
    names = ("localization", "class", "top1_localization", "top1_class")
    assert [found[f"{name}_errors"] for name in names] == expected
    assert found["localization_error"] == pytest.approx(expected[0] / len(CASES))
    assert (found["box_errors"], found["mean_overlap"]) == (len(CASES), pytest.approx(0.4))


def test_nothing_seen_is_no_error() -> None:
    assert LocalizationCounts().to_json()["localization_error"] == 0
