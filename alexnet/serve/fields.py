"""The fields of a recipe as plain values: what a form is made of."""

from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from alexnet.training.recipe import Recipe, field_help

KINDS = {str: "text", int: "whole number", float: "number", bool: "yes or no"}
LISTS = {tuple: "list of numbers", dict: "numbers by name"}


def recipe_fields() -> list[dict[str, Any]]:
    """Return each field of a recipe but its data: name, type, choices, help and default."""
    texts, hints = field_help(), get_type_hints(Recipe)
    found = []
    for each in fields(Recipe):
        if each.name == "data":
            continue
        hint = hints[each.name]
        is_choice = get_origin(hint) is Literal
        made = each.default_factory
        found.append(
            {
                "name": each.name,
                "type": "choice" if is_choice else _kind(hint),
                "choices": list(get_args(hint)) if is_choice else None,
                "help": texts[each.name].replace("\n    ", " "),
                "default": each.default if made is MISSING else made(),
            }
        )
    return found


def _kind(hint: Any) -> str:
    return KINDS[hint] if hint in KINDS else LISTS[get_origin(hint)]
