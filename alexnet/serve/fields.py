"""The fields of a recipe as plain values: what a form is made of."""

from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from alexnet.training.recipe import Recipe, field_help, field_rules

GROUPS = {
    "net and length": ("net", "init", "epochs", "steps", "minutes", "seed"),
    "learning rate": (
        *("batch", "lr", "schedule", "warmup_epochs", "patience", "drops", "milestones"),
        *("lr_factor", "lr_steps", "power", "lr_batch", "fc_batch", "layer_lr"),
    ),
    "update rule": (
        *("optimizer", "momentum", "weight_decay", "bias_lr", "bias_decay", "trust"),
        *("clip_norm", "accumulate", "label_smoothing"),
    ),
    "pictures": (
        *("picture_size", "input_size", "crop", "smallest_area", "flip", "lighting"),
        *("subtract", "divide_by", "on_bad_image"),
    ),
    "validation and end": (
        *("validation_share", "validate_on", "validate_every", "keep_model", "early_stop"),
        *("target_error", "stuck_after", "on_nan"),
    ),
    "machine": (
        *("device", "precision", "convolution", "workers", "cache_gib", "report_every"),
        *("checkpoint_minutes", "disk_wait_minutes"),
    ),
}
"""What a form shows together, in its order."""
KINDS = {str: "text", int: "whole number", float: "number", bool: "yes or no"}
LISTS = {tuple: "list of numbers", dict: "numbers by name"}


def recipe_fields() -> list[dict[str, Any]]:
    """Return each field of a recipe but its data: name, type, choices, help, default.

    Beside them the group that a form shows it in, and the rule that its value must keep.
    """
    texts, hints, rules = field_help(), get_type_hints(Recipe), field_rules(Recipe())
    groups = {name: group for group, names in GROUPS.items() for name in names}
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
                "group": groups[each.name],
                "rule": rules.get(each.name, "").removesuffix(f", {Recipe().batch}"),
            }
        )
    return found


def _kind(hint: Any) -> str:
    return KINDS[hint] if hint in KINDS else LISTS[get_origin(hint)]
