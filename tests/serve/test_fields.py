"""A recipe's fields for a form: each gives back the recipe that it came from."""

from dataclasses import fields

from alexnet.serve.fields import GROUPS, recipe_fields
from alexnet.training.recipe import Recipe, override


def test_each_field_but_the_data_is_there_with_its_help() -> None:
    found = recipe_fields()
    assert [each["name"] for each in found] == [f.name for f in fields(Recipe) if f.name != "data"]
    assert all(each["help"] and "\n" not in each["help"] for each in found)


def test_the_defaults_are_a_recipe_as_json_gives_them_back() -> None:
    values = {
        each["name"]: list(each["default"])
        if each["type"] == "list of numbers"
        else each["default"]
        for each in recipe_fields()
    }
    assert override(Recipe(), values) == Recipe()


def test_types_and_choices_are_those_of_the_recipe() -> None:
    found = {each["name"]: each for each in recipe_fields()}
    assert found["schedule"]["type"] == "choice"
    assert "plateau" in found["schedule"]["choices"]
    assert found["lr"]["type"] == "number"
    assert found["epochs"]["type"] == "whole number"
    assert found["flip"]["type"] == "yes or no"
    assert found["net"]["type"] == "text"
    assert found["milestones"]["type"] == "list of numbers"
    assert found["layer_lr"]["type"] == "numbers by name"
    assert found["lr"]["choices"] is None


def test_each_field_stands_in_one_group_and_has_its_rule() -> None:
    found = {each["name"]: each for each in recipe_fields()}
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(found)
    assert found["lr"]["group"] == "learning rate"
    assert found["lr"]["rule"] == "above 0 and at most 10"
    assert found["fc_batch"]["rule"] == "0 or a divisor of the batch"
    assert found["flip"]["rule"] == ""
