"""Lines as ILSVRC's server took them, written out by hand."""

import pytest
import torch

from alexnet.evaluation.localization_rule import Guess
from alexnet.evaluation.submission import (
    Mistake,
    submission_ids,
    surest_mistakes,
    write_boxes,
    write_labels,
)

CLASSES = ("n01", "n02", "n03", "n04", "n05", "n06")
IDS = [60, 10, 20, 30, 40, 50]
PATHS = ("n02/ILSVRC2012_val_00000002.JPEG", "n05/ILSVRC2012_val_00000001.JPEG")
P = torch.tensor([[0.1, 0.2, 0.3, 0.25, 0.05, 0.1], [0.6, 0.1, 0.05, 0.05, 0.1, 0.1]])


def test_a_line_has_five_ids_the_first_answer_first_in_the_order_of_the_numbers() -> None:
    # of equals the class that comes first: n01 before n06, then n02, n05 and n06
    assert write_labels(P, PATHS, IDS) == b"60 10 40 50 20\n20 30 10 60 50\n"


def test_a_line_of_task_2_has_five_boxes_in_pixels_from_1() -> None:
    boxes = [(0.0, 0.0, 10.0, 20.0), (3.4, 4.6, 9.6, 8.4)]
    guesses = [[Guess(label, boxes[label % 2]) for label in order] for order in ((1, 0), (0,))]
    expected = b"60 1 1 10 20\n10 4 6 10 8 60 1 1 10 20\n"
    assert write_boxes(guesses, PATHS, IDS) == expected
    tiny = [[Guess(0, (5.2, 5.2, 5.3, 5.3))]] * 2
    assert write_boxes(tiny, PATHS, IDS) == b"60 6 6 6 6\n" * 2


def test_ids_are_matched_by_wnid() -> None:
    known = dict(zip(CLASSES, IDS, strict=True))
    assert submission_ids(CLASSES[::-1], known, "a file") == IDS[::-1]
    with pytest.raises(ValueError, match=r"^class 'disc' has no ILSVRC ID in a file; a submission"):
        submission_ids((*CLASSES, "disc"), known, "a file")
    with pytest.raises(ValueError, match=r"^a submission has 5 classes a line; the net has 3$"):
        submission_ids(CLASSES[:3], known, "a file")


def test_the_surest_mistakes_come_first() -> None:
    p = torch.tensor([[0.7, 0.3], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4]], dtype=torch.float64)
    labels, paths = torch.tensor([1, 1, 1, 1]), tuple("abcd")
    found = surest_mistakes(p, labels, classes=("x", "y"), paths=paths, count=2)
    assert found == [Mistake("c", "y", "x", 0.9, 0.1), Mistake("a", "y", "x", 0.7, 0.3)]
    right = labels.zero_() + p.argmax(1)
    assert surest_mistakes(p, right, classes=("x", "y"), paths=paths, count=2) == []
