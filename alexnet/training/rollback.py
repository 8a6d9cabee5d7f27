"""Training that goes back where the loss has run away, and on with half the rate.

A run that stops at midnight has cost the night. It could only have been repeated as far as that, so
nothing is lost by going on; the journal has a line for each time, and the rate stays halved in all
checkpoints from there. After three times, or without a checkpoint to go back to, the run stops.
"""

from alexnet.evaluation.metrics import Counts
from alexnet.training import loop
from alexnet.training.checkpoint import agreed_checkpoint, load_checkpoint
from alexnet.training.runaway import RunawayStop
from alexnet.training.setup import Run

MOST = 3


def train(run: Run) -> Counts:
    """Train as `loop.train` does, and go back where the recipe says so.

    Raises: RunawayStop where the loss has run away for good, and all that `loop.train` does.
    """
    while True:
        try:
            return loop.train(run)
        except RunawayStop as stop:
            reason = str(stop)
            if run.recipe.on_nan == "stop":
                raise
            halvings = run.position.halvings
            if halvings >= MOST:
                raise RunawayStop(
                    f"{reason} (the rate was halved {MOST} times before, which has not helped)"
                ) from None
            if not go_back(run, reason):
                raise RunawayStop(f"{reason} (there is no checkpoint yet to go back to)") from None


def go_back(run: Run, reason: str) -> bool:
    """Put a run back to its newest good checkpoint, with half the rate; return whether it has one.

    It is saved at once, so that whatever happens next the rate is halved.

    Raises: StoreError if there are checkpoints, but no good one.
    """
    halvings = run.position.halvings + 1
    folder = run.folder / "checkpoints"
    path, _ = agreed_checkpoint(folder, run.team, run=run.identity)
    if path is None:
        return False
    net = run.model.net
    run.position = load_checkpoint(path, net, run.optimizer, run.model.classes, run.team.own)
    position = run.position
    position.halvings = halvings
    if not run.team.leads:  # one process has counted the losses before for all
        position.loss_sum = 0.0
    for each in (net, run.worker):
        each.zero_grad()
    run.train.bad.clear()
    run.train.bad.update(position.bad | position.refused)
    run.journal.take_back(after_step=position.step, after_line=position.journal_lines)
    run.journal.write("rollback", position.step, halvings=halvings, reason=reason)
    loop.save(run)
    run.patience.say(f"{reason}; going back to update {position.step}, with half the rate")
    return True
