"""The named recipes, and how a name is looked up."""

from pathlib import Path

import pytest

from alexnet.nets import NETS
from alexnet.training.recipe import Recipe
from alexnet.training.recipes import RECIPES, find_recipe
from alexnet.training.schedule import learning_rate


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


def test_lenet_has_the_constants_of_1998_but_for_the_rates() -> None:
    lenet = find_recipe("lenet")
    assert (lenet.net, lenet.epochs, lenet.picture_size) == ("lenet-5", 20, 32)
    assert (lenet.momentum, lenet.weight_decay) == (0.0, 0.0)
    assert (lenet.flip, lenet.lighting, lenet.init) == (False, 0.0, "source")
    rates = [learning_rate(lenet, epoch / 20, epoch=epoch, drops=0) for epoch in range(20)]
    assert rates[0] / rates[-1] == pytest.approx(0.0005 / 0.00001)
    assert len(set(rates)) == 5
    assert 255 / lenet.divide_by == pytest.approx(1.175 - -0.1)


def test_vgg_has_the_constants_of_section_3_1() -> None:
    vgg = find_recipe("vgg")
    assert (vgg.net, vgg.batch, vgg.epochs) == ("vgg16", 256, 74)
    assert (vgg.momentum, vgg.weight_decay, vgg.lr) == (0.9, 0.0005, 0.01)
    assert (vgg.schedule, vgg.drops, vgg.init) == ("plateau", 3, "source")
    assert (vgg.crop, vgg.flip, vgg.lighting) == ("random", True, 0.1)
    assert (vgg.subtract, vgg.picture_size) == ("mean-value", 256)


def test_googlenet_has_the_constants_of_caffes_quick_solver() -> None:
    googlenet = find_recipe("googlenet")
    assert (googlenet.net, googlenet.batch, googlenet.epochs) == ("googlenet", 32, 60)
    assert round(googlenet.epochs * 1_281_167 / googlenet.batch, -5) == 2_400_000
    assert (googlenet.schedule, googlenet.power, googlenet.lr) == ("poly", 0.5, 0.01)
    assert (googlenet.momentum, googlenet.weight_decay) == (0.9, 0.0002)
    assert (googlenet.bias_lr, googlenet.bias_decay) == (2.0, 0.0)
    assert (googlenet.crop, googlenet.lighting, googlenet.flip) == ("random", 0.0, True)


def test_resnet_has_the_constants_of_section_3_4() -> None:
    resnet = find_recipe("resnet")
    assert (resnet.net, resnet.batch, resnet.lr) == ("resnet50", 256, 0.1)
    assert round(resnet.epochs * 1_281_167 / resnet.batch, -4) == 600_000
    assert (resnet.momentum, resnet.weight_decay, resnet.schedule) == (0.9, 0.0001, "plateau")
    assert (resnet.subtract, resnet.lighting, resnet.init) == ("mean-image", 0.1, "source")


@pytest.mark.parametrize("name", RECIPES)
def test_the_pictures_of_each_are_large_enough_for_its_net(name: str) -> None:
    recipe = find_recipe(name)
    net = NETS[recipe.net]
    assert recipe.picture_size >= (recipe.input_size or net.input_size)


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
        r"the recipes are paper, quick, digits, lenet, vgg, googlenet, resnet, or a \.toml file"
    )
    with pytest.raises(ValueError, match=message):
        find_recipe("papr")


def test_the_default_recipe_is_papers() -> None:
    assert find_recipe("paper") == Recipe()
