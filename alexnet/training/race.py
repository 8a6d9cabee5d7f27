"""Figure 1 of the paper: how many epochs ReLU and tanh take to 25 % training error on CIFAR-10.

Source: Krizhevsky 2012, figure 1: a four-layer convolutional net with ReLUs reaches that error six
times faster than an equivalent net with tanh; "the learning rates for each network were chosen
independently to make training as fast as possible. No regularization of any kind was employed".

How much quicker depends on how the weights start and how large the inputs are; the paper says
neither. RECIPE takes both from the program of 2012; `--init normalised --divide-by 64` begins where
both kinds of neuron learn best.

Here each rate is tried for some epochs, from the same weights; the one with the lowest error goes
on from the beginning. The error is that of the net as it stands after an epoch, on training
pictures, and between two epochs a straight line tells when it fell below the target.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from alexnet.training.guards import GuardStop
from alexnet.training.recipe import Recipe
from alexnet.training.series import complete, curve

RIVALS = {"relu": "four-layer", "tanh": "four-layer-tanh"}
RECIPE = Recipe(
    net=RIVALS["relu"],
    epochs=60,
    batch=128,
    schedule="constant",
    target_error=0.25,
    weight_decay=0.0,
    bias_decay=0.0,
    crop="centre",
    flip=False,
    lighting=0.0,
    picture_size=32,
    input_size=32,
    validate_on="training",
    keep_model="last",
    stuck_after=0,
)
"""No regularisation: no decay, no crops, no mirror images, no lighting, no dropout. Inputs are grey
levels minus the mean image and the weights start as in the program's example for CIFAR-10."""
RATES = (0.001, 0.003, 0.01, 0.03)


@dataclass(frozen=True)
class Course:
    """How the error of one net fell."""

    name: str
    """relu or tanh."""
    lr: float
    """Its rate, the best of those tried."""
    points: tuple[tuple[float, float], ...]
    """Epochs and error after them."""
    tried: dict[float, float]
    """Rate -> error after the trial."""

    def epochs_to(self, target: float) -> float | None:
        """Return the epochs after which the error fell below `target`; None if it never did."""
        before = (0.0, 1.0)
        for point in self.points:
            if point[1] < target:
                share = (before[1] - target) / (before[1] - point[1])
                return before[0] + share * (point[0] - before[0])
            before = point
        return None


def race(
    recipe: Recipe,
    folder: Path,
    say: Callable[[str], None],
    *,
    rates: tuple[float, ...] = RATES,
    trial_epochs: int = 2,
) -> dict[str, Course]:
    """Train both nets to the recipe's target error; what is in `folder` already is not run again.

    Raises: ValueError for a recipe without a target or no rates, and all that training does.
    """
    if not recipe.target_error:
        raise ValueError("target_error is 0; a race needs one, such as 0.25")
    if not rates or trial_epochs < 1:
        raise ValueError("a race needs a rate or more to try, and an epoch or more to try each for")
    courses = {}
    for name, net in RIVALS.items():
        own, tried = replace(recipe, net=net), {}
        for lr in rates:
            trial = replace(own, lr=lr, epochs=min(trial_epochs, own.epochs), target_error=0.0)
            tried[lr] = _try(trial, folder / f"trial-{name}-{lr:g}", f"{name} at rate {lr:g}", say)
        best = min(tried, key=tried.__getitem__)
        complete(replace(own, lr=best), folder / name, say)
        courses[name] = Course(name, best, curve(folder / name), tried)
    return courses


def _try(recipe: Recipe, run: Path, name: str, say: Callable[[str], None]) -> float:
    """Return the error after a trial; 1 if its rate is so large that a guard stopped it."""
    try:
        ended = complete(recipe, run, say)
    except GuardStop as stop:
        say(f"{name}: {stop}")
        return 1.0
    say(f"{name}: error {ended.top1_error:.1%} after {ended.epochs:g} epochs")
    return ended.top1_error
