"""The named recipes, and how a name is looked up."""

from pathlib import Path

import pytest

from alexnet.nets import NETS
from alexnet.training.recipe import Recipe
from alexnet.training.recipes import RECIPES, find_recipe


def test_paper_has_the_constants_of_section_5() -> None:
    paper = find_recipe("paper")
    assert (paper.net, paper.batch, paper.epochs) == ("alexnet", 128, 90)
    assert (paper.momentum, paper.weight_decay, paper.lr) == (0.9, 0.0005, 0.01)
    assert (paper.schedule, paper.drops) == ("plateau", 3)
    assert (paper.bias_lr, paper.bias_decay) == (1.0, 1.0)  # "equal learning rate for all layers"
    assert (paper.init, paper.crop, paper.flip, paper.lighting) == ("source", "random", True, 0.1)
    assert (paper.subtract, paper.divide_by, paper.picture_size) == ("mean-image", 1.0, 256)


def test_digits_are_never_mirrored_nor_relit() -> None:
    digits = find_recipe("digits")
    assert (digits.flip, digits.lighting) == (False, 0.0)


@pytest.mark.parametrize("name", RECIPES)
def test_each_names_a_net_and_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    recipe = find_recipe(name)
    assert recipe.net in NETS
    path = tmp_path / "copy.toml"
    path.write_text(recipe.to_toml())
    assert find_recipe(str(path)) == recipe


def test_a_file_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"recipe file mine\.toml does not exist; give a path, or"):
        find_recipe("mine.toml")


def test_an_unknown_name_names_the_nearest_and_all() -> None:
    message = (
        r"no recipe is called 'papr' \(did you mean 'paper'\?\); "
        r"the recipes are paper, quick, digits, or a \.toml file"
    )
    with pytest.raises(ValueError, match=message):
        find_recipe("papr")


def test_the_default_recipe_is_papers() -> None:
    assert find_recipe("paper") == Recipe()
