"""Whatever stands in a recipe, a manifest or a journal: only the documented errors come out."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet import store
from alexnet.store import StoreError
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe, load, override

FIELDS = sorted(Recipe.__dataclass_fields__)
QUICKLY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["auto", "sgd", "plateau", "source", "cpu"]),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.text(max_size=5), SCALARS, max_size=3),
)
NAMES = st.one_of(st.sampled_from(FIELDS), st.text(max_size=8))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def refusal(call: Callable[[], object]) -> ValueError | None:
    """Call and return the documented error, if it comes; any other is the test's failure."""
    try:
        call()
    except ValueError as error:
        return error
    return None


@QUICKLY
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_values_make_a_recipe_or_one_error(values: dict[str, Any]) -> None:
    error = refusal(lambda: override(Recipe(), values))
    if error is not None:
        assert type(error) is ValueError
        assert str(error)
        return
    recipe = override(Recipe(), values)
    assert override(Recipe(), asdict(recipe)) == recipe


@QUICKLY
@given(st.dictionaries(NAMES, VALUES, max_size=3), st.data())
def test_any_file_makes_a_recipe_or_one_error_that_names_it(
    tmp_path: Path, values: dict[str, Any], data: st.DataObject
) -> None:
    text = tomli_w.dumps(values).encode(errors="replace")
    cut = data.draw(st.integers(0, len(text)))
    text = text[:cut] + data.draw(st.binary(max_size=4)) + text[cut:]
    path = tmp_path / "recipe.toml"
    path.write_bytes(text)
    error = refusal(lambda: load(path))
    if error is not None:
        assert type(error) is ValueError
        assert str(error).startswith(str(path))


@QUICKLY
@given(st.data())
def test_any_manifest_is_whole_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "store"
    if not folder.exists():
        store.write(folder, {"kind": "test"}, {"weights": {"w": torch.ones(3)}})
        (tmp_path / "whole").write_bytes((folder / store.MANIFEST).read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    content = json.loads(whole)
    if data.draw(st.booleans()):
        key = data.draw(st.sampled_from([*content, "other"]))
        content[key] = data.draw(JSON)
        changed = json.dumps(content, indent=1).encode()
    else:
        at = data.draw(st.integers(0, len(whole)))
        changed = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :]
    (folder / store.MANIFEST).write_bytes(changed)
    if changed == whole:
        store.read(folder)
        return
    with pytest.raises(StoreError, match=r"is damaged|has format"):
        store.read(folder)


@QUICKLY
@given(st.lists(st.one_of(JSON.map(json.dumps), st.text(max_size=20)), max_size=4), st.binary())
def test_any_journal_is_read_or_refused_by_line(
    tmp_path: Path, lines: list[str], rest: bytes
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes("\n".join(lines).encode(errors="replace") + b"\n" + rest)
    error = refusal(lambda: read_journal(path))
    if error is not None:
        assert type(error) is StoreError
        assert str(error).startswith(f"{path}:")
        return
    assert all(isinstance(line["step"], int) for line in read_journal(path))
