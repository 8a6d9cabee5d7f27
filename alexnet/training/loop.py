"""The training loop.

Source: Krizhevsky 2012, sections 4 and 5. Every random number comes from the seed and the number
of the update, so a run that was stopped goes on bit for bit. Whether one process trains or several,
they run these lines; `run.team` knows the others.
"""

import time
from functools import partial

import torch
from torch import Tensor

from alexnet.data.loader import Batch, derive_seed
from alexnet.evaluation.evaluate import evaluate
from alexnet.evaluation.metrics import Counts
from alexnet.model import save_model
from alexnet.parallel.team import Word
from alexnet.training import ledger
from alexnet.training.checkpoint import save_checkpoint
from alexnet.training.guards import LossGuard
from alexnet.training.interrupt import Interrupted, stop_requests
from alexnet.training.look import look
from alexnet.training.memory import refuse
from alexnet.training.progress import Display, Meter
from alexnet.training.runaway import Losses, check_now, check_weights
from alexnet.training.schedule import learning_rate
from alexnet.training.setup import Run


def train(run: Run) -> Counts:
    """Train until the recipe ends and return the last validation's counts.

    Raises: GuardStop if training cannot succeed, Interrupted after Ctrl-C or SIGTERM (a checkpoint
            is written), DataError if too many pictures are bad.
    """
    recipe, position, team = run.recipe, run.position, run.team
    guard = LossGuard(len(run.model.classes), recipe.stuck_after)
    losses = Losses(team, run.train)
    saved_at, meter = time.monotonic(), Meter()
    counts = Counts(run.model.classes)
    with stop_requests() as stop, Display(run.total_steps, recipe.epochs) as display:
        run.patience.stop, run.patience.say = stop, display.say
        while not position.finished:
            batches = run.train.epoch(position.epoch, seed=recipe.seed, start=position.index)
            run.worker.train()
            while run.progress < 1:
                with meter.waiting():
                    batch = next(batches, None)
                if batch is None:
                    break
                batch, rate = team.place(batch, run.train), _rate(run)
                loss = update(run, batch, rate)
                position.loss_sum += loss
                position.loss_steps += 1
                position.step += 1
                losses.keep(position.step, batch, loss)
                ledger.take_in(position, batch)
                due = time.monotonic() - saved_at > 60 * recipe.checkpoint_minutes
                word = Word(stop.reason, due, position.seconds + meter.add(batch.whole))
                word = team.agree(word)
                position.seconds = word.seconds
                display.step(position.step, position.epoch)

                # once in a while: report, and make sure that it is worth going on
                if position.step % recipe.report_every == 0 or run.progress == 1:
                    speed, wait_share = meter.read()
                    total = team.total(position.loss_sum)
                    losses.check(total)
                    values = {
                        "loss": total / position.loss_steps,
                        "lr": rate,
                        "images_per_second": round(speed, 1),
                        "wait_share": round(wait_share, 3),
                        **team.crossing_error(),
                    }
                    position.loss_sum, position.loss_steps = 0.0, 0
                    run.journal.write("train", position.step, epoch=_epoch(run), **values)
                    display.report(position.step, values, seconds_left=_seconds_left(run, speed))
                    guard.check(position.step, values["loss"])

                # once in a while: save
                if word.stopping or word.saving:
                    losses.check(team.total(position.loss_sum))
                    save(run)
                    saved_at = time.monotonic()
                if word.stopping:
                    raise Interrupted(
                        f"{word.stopping}: saved at update {position.step} of {run.total_steps}; "
                        f"go on with: alexnet train --resume {run.folder}"
                    )

            listed = len(run.split.train)
            ledger.close_epoch(position, run.journal, listed=listed, epoch=_epoch(run))
            if run.progress < 1:
                position.epoch, position.index = position.epoch + 1, 0
            if position.epoch % recipe.validate_every and run.progress < 1:
                continue
            counts = validate(run)
            improved = counts.top1_errors < position.plateau.best_error
            ended = position.plateau.update(counts.top1_errors, recipe)
            reached = counts.error(counts.top1_errors) < recipe.target_error
            position.finished = ended or reached or run.progress == 1
            display.say(_describe(run, counts))
            if improved or recipe.keep_model == "last":
                keep_model(run, counts)
            save(run)
            saved_at, meter = time.monotonic(), Meter()
    return counts


def update(run: Run, batch: Batch, rate: float) -> float | Tensor:
    """Make one update from one batch.

    Returns this process's part of the loss, the mean over the pictures of all processes: those of
    all add up to it.
    """
    if not batch.whole:
        return 0.0
    recipe, step = run.recipe, run.position.step
    labels, x = batch.labels.to(run.device), None
    torch.manual_seed(derive_seed(recipe.seed, "dropout", step))
    try:
        x = look(
            batch,
            run.model.preprocessing,
            recipe=recipe,
            step=step,
            device=run.device,
            dtype=run.dtype,
        )
        loss = run.gradients(x, labels, batch.whole, rate)
    except (RuntimeError, MemoryError) as error:
        refuse(error, recipe, worker=run.worker, x=x, labels=labels, team=run.team)
        raise
    paths = [run.train.listing.paths[index] for index in batch.indices.tolist()]
    check_now(run.team, run.worker, x=x, loss=loss, step=step + 1, paths=paths)
    if recipe.clip_norm:
        run.team.clip(run.worker, recipe.clip_norm)
    run.optimizer.step(rate)
    return loss


def validate(run: Run) -> Counts:
    """Count the errors on the validation set, centre window, and write them to the journal."""
    model = run.model
    batches = run.validation.epoch(0, seed=None)
    counts = Counts(model.classes)
    evaluate(model.net, batches, model.preprocessing, counts, dtype=run.dtype)
    run.team.merge_bad(run.validation)
    counts, bad = run.team.add_counts(counts), run.validation.bad
    run.journal.write(
        "validation",
        run.position.step,
        epoch=_epoch(run),
        pictures=counts.seen,
        top1_errors=counts.top1_errors,
        top5_errors=counts.top5_errors,
        top1_error=counts.error(counts.top1_errors),
        top5_error=counts.error(counts.top5_errors),
        loss=counts.loss,
        bad_pictures=len(run.position.bad) + len(bad),
        listed=len(run.split.validation),
        files=bad,
    )
    return counts


def save(run: Run) -> None:
    """Write a checkpoint of the run as it stands, in the layout of a process alone.

    Raises: RunawayStop in all processes if a weight is not finite; nothing is written.
    """
    position, team = run.position, run.team
    check_weights(run.model.net, team, position.step)
    whole = team.total(position.loss_sum)
    position.loss_sum = whole if team.leads else 0.0
    weights = team.whole(run.model.net.state_dict())
    velocities = team.whole(run.optimizer.velocities())
    if team.leads:
        position.journal_lines = run.journal.lines
        needed_bytes = sum(t.nbytes for group in (weights, velocities) for t in group.values())
        run.patience.write(needed_bytes, partial(_save, run, weights, velocities))


def _save(run: Run, weights: dict[str, Tensor], velocities: dict[str, Tensor]) -> None:
    folder, classes = run.folder / "checkpoints", run.model.classes
    save_checkpoint(folder, run.position, weights, velocities, classes, run=run.identity)


def keep_model(run: Run, counts: Counts) -> None:
    """Write the model that the run leaves."""
    weights = run.team.whole(run.model.net.state_dict())
    if run.team.leads:
        record = {"step": run.position.step, "validation": counts.to_json()}
        write = partial(save_model, run.model, run.folder / "model", weights=weights, record=record)
        run.patience.write(sum(t.nbytes for t in weights.values()), write)


def _rate(run: Run) -> float:
    step = run.position.step
    return (
        learning_rate(
            run.recipe,
            run.progress,
            epoch=step / run.steps_per_epoch,
            drops=run.position.plateau.drops,
        )
        * 0.5**run.position.halvings
    )


def _seconds_left(run: Run, images_per_second: float) -> float:
    pictures = (run.total_steps - run.position.step) * run.recipe.batch
    left = pictures / max(images_per_second, 1e-9)
    if run.recipe.minutes:
        left = min(left, 60 * run.recipe.minutes - run.position.seconds)
    return max(left, 0.0)


def _epoch(run: Run) -> float:
    return round(run.position.step / run.steps_per_epoch, 3)


def _describe(run: Run, counts: Counts) -> str:
    return (
        f"after {_epoch(run):g} epochs: {counts.top1_errors} of {counts.seen} validation pictures "
        f"wrong ({counts.error(counts.top1_errors):.1%}), "
        f"{counts.error(counts.top5_errors):.1%} not among the first five"
    )
