"""The learning rate, as a function of progress; only the plateau rule has a memory."""

import math
from dataclasses import dataclass

from alexnet.training.recipe import Recipe


@dataclass
class Plateau:
    """Watches the validation error: when to divide the rate by ten, when to stop.

    Source: Krizhevsky 2012, section 5: "divide the learning rate by 10 when the validation error
    rate stopped improving with the current learning rate ... reduced three times prior to
    termination".
    """

    best_error: float = math.inf
    epochs_without_gain: int = 0
    """Validations since the best error at this rate."""
    drops: int = 0
    """How often the rate has been divided by ten."""

    def update(self, error: float, recipe: Recipe) -> bool:
        """Take in a validation error; return True if training should end."""
        if error < self.best_error:
            self.best_error, self.epochs_without_gain = error, 0
            return False
        self.epochs_without_gain += 1
        if recipe.schedule == "plateau" and self.epochs_without_gain >= recipe.patience:
            self.drops, self.epochs_without_gain = self.drops + 1, 0
            return self.drops > recipe.drops
        return 0 < recipe.early_stop <= self.epochs_without_gain


def batch_factor(recipe: Recipe, batch: int = 0) -> float:
    """Return by how much the rate is scaled for so many pictures per update; 0 is the whole batch.

        batch / lr_batch,   1 where the recipe names no lr_batch

    With a variable batch the fully connected layers have the factor of their own, `fc_batch`.

    Source:  Krizhevsky 2014, section 5: theory suggests the root of the ratio, the ratio itself
             worked best; Goyal et al. 2017, section 2.1, the same with a warm-up, from the unscaled
             rate where ours starts at a tenth.
    """
    return (batch or recipe.batch) / recipe.lr_batch if recipe.lr_batch else 1.0


def learning_rate(
    recipe: Recipe, progress: float, *, epoch: float, drops: int, batch: int = 0
) -> float:
    """Return the rate at `progress` (share of the run that is done, 0 to 1).

        constant  lr
        plateau   lr / 10^drops
        steps     lr / 10^(milestones passed)
        dexp      lr / lr_factor^(floor(progress * lr_steps) / (lr_steps - 1))
        poly      lr * (1 - progress)^power
        cosine    lr * (1 + cos(pi * progress)) / 2

    Over the first `warmup_epochs` it rises from a tenth of that to the whole in a straight line.
    All of it is scaled by `batch_factor` for updates of `batch` pictures; 0 is the whole batch.

    Source:  plateau: Krizhevsky 2012, section 5; dexp: the 2012 program, src/lr.cu; poly: Caffe.
    """
    progress = min(max(progress, 0.0), 1.0)
    rate = recipe.lr * batch_factor(recipe, batch)
    match recipe.schedule:
        case "plateau":
            rate /= 10**drops
        case "steps":
            rate /= 10 ** sum(epoch >= milestone for milestone in recipe.milestones)
        case "dexp":
            stage = min(math.floor(progress * recipe.lr_steps), recipe.lr_steps - 1)
            rate /= recipe.lr_factor ** (stage / max(recipe.lr_steps - 1, 1))
        case "poly":
            rate *= (1 - progress) ** recipe.power
        case "cosine":
            rate *= (1 + math.cos(math.pi * progress)) / 2
    if recipe.warmup_epochs:
        rate *= min(0.1 + 0.9 * epoch / recipe.warmup_epochs, 1.0)
    return rate
