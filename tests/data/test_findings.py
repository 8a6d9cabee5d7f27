"""Findings: in order of gravity, each with a title and an advice."""

import pytest

from alexnet.data.examine import TRAITS
from alexnet.data.findings import KINDS, Item, collect

ONE = [Item(("a",), "why")]


def test_the_gravest_come_first_and_kinds_without_items_not_at_all() -> None:
    found = collect({"gray": ONE, "few": ONE, "leak": ONE, "cmyk": []})
    assert [finding.kind for finding in found] == ["leak", "few", "gray"]
    assert [finding.severity for finding in found] == ["error", "warning", "note"]


def test_a_milder_kind_is_a_warning_and_stands_among_them() -> None:
    found = collect({"bad": ONE, "contradiction": ONE}, milder=["bad"])
    assert [(finding.kind, finding.severity) for finding in found] == [
        ("contradiction", "error"),
        ("bad", "warning"),
    ]


def test_json_has_every_item() -> None:
    (finding,) = collect({"copies": [Item(("a", "b"), "same bytes"), Item(("c", "d"))]})
    assert finding.to_json() == {
        "kind": "copies",
        "severity": "warning",
        "title": KINDS["copies"].title,
        "advice": KINDS["copies"].advice,
        "count": 2,
        "items": [
            {"paths": ["a", "b"], "detail": "same bytes"},
            {"paths": ["c", "d"], "detail": ""},
        ],
    }


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_says_what_to_do(name: str) -> None:
    assert KINDS[name].advice.endswith(".")
    assert not KINDS[name].title.endswith(".")


def test_every_trait_is_a_kind() -> None:
    assert set(TRAITS) <= set(KINDS)
