"""The recipes that have a name. Each docstring gives command, hours and expected error."""

from pathlib import Path

from alexnet.nearest import nearest
from alexnet.training.recipe import Recipe, load

PAPER = Recipe()
"""The text of the paper (section 5): batch 128, rate .01 divided by ten when the validation error
stops improving, momentum .9, decay .0005, all layers alike, 90 epochs.

`alexnet train ILSVRC2012 --recipe paper`; the paper: 5 to 6 days on two GTX 580, 40.7 % / 18.2 %.
"""

QUICK = Recipe(
    init="normalised",
    epochs=24,
    batch=64,
    lr=0.004,
    schedule="cosine",
    warmup_epochs=1.0,
    bias_lr=2.0,
    bias_decay=0.0,
    crop="random-resized",
    subtract="mean-value",
    divide_by=64.0,
    keep_model="last",
    stuck_after=500,
)
"""A few thousand photos on a laptop: weights that start to learn at once, windows of random area,
the rate along a cosine, biases as in 2012.

`alexnet train imagenette --recipe quick --epochs 40 --minutes 55 --label-smoothing 0.1
--picture-size 192 --input-size 163`: 26.3 % error after an hour on 2 slow cores, 17.8 epochs
(docs/RESULTS.md).
"""

DIGITS = Recipe(
    init="normalised",
    epochs=4,
    minutes=3.3,
    batch=16,
    lr=0.001,
    schedule="cosine",
    bias_lr=2.0,
    bias_decay=0.0,
    flip=False,
    lighting=0.0,
    divide_by=64.0,
    keep_model="last",
    validate_every=4,
    stuck_after=150,
)
"""`alexnet demo`: 4,000 MNIST digits, as many epochs as 3.3 minutes hold, four at the most; 5 %
error after 1.2 epochs on 2 slow cores. With the paper's initial weights the first hundred updates
and more would be spent at ln(10).
"""

RECIPES = {"paper": PAPER, "quick": QUICK, "digits": DIGITS}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name, or of that .toml file.

    Raises: ValueError if there is neither.
    """
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".toml"):
        if Path(name).is_file():
            return load(Path(name))
        raise ValueError(f"recipe file {name} does not exist; give a path, or one of {_names()}")
    raise ValueError(
        f"no recipe is called {name!r}{nearest(name, RECIPES)}; "
        f"the recipes are {_names()}, or a .toml file"
    )


def _names() -> str:
    return ", ".join(RECIPES)
