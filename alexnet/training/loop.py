"""The training loop.

Source: Krizhevsky 2012, sections 4 and 5. Every random number comes from the seed and the number
of the update, so a run that was stopped goes on bit for bit.
"""

import time

import torch
from torch import Tensor

from alexnet.data import augment
from alexnet.data.loader import Batch, derive_seed
from alexnet.evaluation.evaluate import evaluate
from alexnet.evaluation.metrics import Counts
from alexnet.model import save_model
from alexnet.training.checkpoint import save_checkpoint
from alexnet.training.guards import LossGuard, check_finite
from alexnet.training.initialise import normalise_outputs
from alexnet.training.interrupt import Interrupted, stop_requests
from alexnet.training.progress import Display, Meter
from alexnet.training.schedule import learning_rate
from alexnet.training.setup import Run
from alexnet.training.step import gradients

NORMALISED_ON = 128
"""Pictures on which `init = "normalised"` measures means and deviations."""


def train(run: Run) -> Counts:
    """Train until the recipe ends and return the last validation's counts.

    Raises: GuardStop if training cannot succeed, Interrupted after Ctrl-C or SIGTERM (a checkpoint
            is written), DataError if too many pictures are bad.
    """
    recipe, position = run.recipe, run.position
    guard = LossGuard(len(run.model.classes), recipe.stuck_after)
    saved_at, meter = time.monotonic(), Meter()
    counts = Counts(run.model.classes)
    if recipe.init == "normalised" and position.step == 0:
        normalise_outputs(run.model.net, _first_look(run))
    run.optimizer.refresh()
    with stop_requests() as stop, Display(run.total_steps, recipe.epochs) as display:
        while not position.finished:
            batches = run.train.epoch(position.epoch, seed=recipe.seed, start=position.index)
            run.worker.train()
            while run.progress < 1:
                with meter.waiting():
                    batch = next(batches, None)
                if batch is None:
                    break
                rate = _rate(run)
                position.loss_sum += update(run, batch, rate)
                position.loss_steps += 1
                position.step, position.index = position.step + 1, batch.end
                position.seconds += meter.add(len(batch.labels))
                display.step(position.step, position.epoch)

                # once in a while: report, and make sure that it is worth going on
                if position.step % recipe.report_every == 0 or run.progress == 1:
                    speed, wait_share = meter.read()
                    values = {
                        "loss": float(position.loss_sum) / position.loss_steps,
                        "lr": rate,
                        "images_per_second": round(speed, 1),
                        "wait_share": round(wait_share, 3),
                    }
                    position.loss_sum, position.loss_steps = 0.0, 0
                    run.journal.write("train", position.step, epoch=_epoch(run), **values)
                    display.report(position.step, values, seconds_left=_seconds_left(run, speed))
                    guard.check(position.step, values["loss"])

                # once in a while: save
                if stop.reason or time.monotonic() - saved_at > 60 * recipe.checkpoint_minutes:
                    check_finite(position.step, float(position.loss_sum))
                    save(run)
                    saved_at = time.monotonic()
                if stop.reason:
                    raise Interrupted(
                        f"{stop.reason}: saved at update {position.step} of {run.total_steps}; "
                        f"go on with: alexnet train --resume {run.folder}"
                    )

            if run.progress < 1:
                position.epoch, position.index = position.epoch + 1, 0
            if position.epoch % recipe.validate_every and run.progress < 1:
                continue
            counts = validate(run)
            improved = counts.top1_errors < position.plateau.best_error
            ended = position.plateau.update(counts.top1_errors, recipe)
            position.finished = ended or run.progress == 1
            display.say(_describe(run, counts))
            if improved or recipe.keep_model == "last":
                record = {"step": position.step, "validation": counts.to_json()}
                save_model(run.model, run.folder / "model", record=record)
            save(run)
            saved_at, meter = time.monotonic(), Meter()
    return counts


def update(run: Run, batch: Batch, rate: float) -> float | Tensor:
    """Make one update from one batch and return its loss, the mean over the pictures."""
    if not len(batch.labels):
        return 0.0
    recipe, step = run.recipe, run.position.step
    x = _look(run, batch)
    labels = batch.labels.to(run.device)
    torch.manual_seed(derive_seed(recipe.seed, "dropout", step))
    loss = gradients(
        run.worker, x, labels, parts=recipe.accumulate, smoothing=recipe.label_smoothing
    )
    if recipe.clip_norm:
        torch.nn.utils.clip_grad_norm_(run.worker.parameters(), recipe.clip_norm)
    run.optimizer.step(rate)
    return loss


def validate(run: Run) -> Counts:
    """Count the errors on the validation set, centre window, and write them to the journal."""
    model = run.model
    batches = run.validation.epoch(0, seed=None)
    counts = Counts(model.classes)
    evaluate(model.net, batches, model.preprocessing, counts, dtype=run.dtype)
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
        bad_pictures=len(run.train.bad) + len(run.validation.bad),
    )
    return counts


def save(run: Run) -> None:
    """Write a checkpoint of the run as it stands."""
    folder = run.folder / "checkpoints"
    save_checkpoint(folder, run.position, run.model.net, run.optimizer, run.model.classes)


def _look(run: Run, batch: Batch) -> Tensor:
    """Return a training batch as the net sees it: random windows, mirrored, relit."""
    recipe, preprocessing = run.recipe, run.model.preprocessing
    seed = derive_seed(recipe.seed, "augment", run.position.step)
    generator = torch.Generator().manual_seed(seed)
    count, pictures = len(batch.labels), batch.pictures.to(run.device)
    shift = None
    if recipe.lighting:
        statistics = preprocessing.statistics
        shift = augment.lighting(count, statistics, strength=recipe.lighting, generator=generator)
    if recipe.crop == "random-resized":
        return augment.random_resized_cut(
            pictures,
            preprocessing,
            generator,
            smallest_area=recipe.smallest_area,
            flip=recipe.flip,
            shift=shift,
        ).to(run.dtype)
    windows = augment.random_windows(count, preprocessing.border, generator, flip=recipe.flip)
    return augment.cut(pictures, windows, preprocessing, shift=shift, dtype=run.dtype)


def _first_look(run: Run) -> Tensor:
    """Return the first `NORMALISED_ON` pictures of the run, or a few more, as the net sees them."""
    looks: list[Tensor] = []
    for batch in run.train.epoch(0, seed=run.recipe.seed):
        looks.append(_look(run, batch))
        if sum(map(len, looks)) >= NORMALISED_ON:
            break
    return torch.cat(looks).float()


def _rate(run: Run) -> float:
    step = run.position.step
    return learning_rate(
        run.recipe,
        run.progress,
        epoch=step / run.steps_per_epoch,
        drops=run.position.plateau.drops,
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
