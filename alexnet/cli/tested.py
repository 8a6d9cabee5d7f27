"""What `alexnet eval` does beyond counting one net's errors: several nets, scales, calibration.

A pass is a net over all pictures at one scale. A single pass is counted as it goes; otherwise the
probabilities of all passes are kept, the same in every process, and all else is made from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from alexnet.cli.options import Machine
from alexnet.cli.tables import print_table

if TYPE_CHECKING:
    import torch

    from alexnet.data.augment import Preprocessing
    from alexnet.data.pictures import Pictures
    from alexnet.evaluation.calibration import Calibration
    from alexnet.evaluation.ensemble import Answers
    from alexnet.evaluation.metrics import Counts
    from alexnet.evaluation.submission import Mistake
    from alexnet.evaluation.views import Views
    from alexnet.model import Model
    from alexnet.parallel.team import Team

BATCH = 64
TestViews = Annotated[
    Literal[1, 10, "dense"],
    Parameter(
        help="Windows of each picture: the centre; corners, centre and mirror images; or the whole "
        "picture, by fully connected layers as convolutions, and its mirror image."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Extras:
    """What is tested, and what else is said or written."""

    views: TestViews = 1
    scales: str = ""
    """Sizes of the picture's shorter side to average over, pixels, as 256,288,320; the net's own if
    not given."""
    fit_weights: Annotated[bool, Parameter(negative=())] = False
    """Weigh several runs for the smallest loss, each half of the pictures as fits the other."""
    calibration: Annotated[bool, Parameter(negative=())] = False
    """Say whether the probabilities are true: calibration error, reliability table, temperature."""
    mistakes: int = 0
    """Number of wrong answers to name, those of the highest probability first."""
    submission: Path | None = None
    """File to write as ILSVRC took it: five classes a line; needs classes.json with the pictures,
    as alexnet data imagenet writes it."""

    @property
    def keeps_answers(self) -> bool:
        """Whether the probabilities of all pictures are needed, beyond the counts."""
        return bool(self.fit_weights or self.calibration or self.mistakes or self.submission)


@dataclass(frozen=True)
class Pass:
    """A net at one scale."""

    model: int
    """Position of the run."""
    net: "torch.nn.Module"
    preprocessing: "Preprocessing"
    columns: "torch.Tensor"
    """Where the first run's classes stand among those of this one."""


@dataclass
class Found:
    """What a test found."""

    counts: "Counts"
    bad: dict[str, str]
    """Path -> reason, of the pictures that were not read."""
    weights: tuple[float, ...] = ()
    """The runs' weights, fitted on all pictures or all the same."""
    calibration: "Calibration | None" = None
    mistakes: "list[Mistake]" = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        more: dict[str, Any] = {}
        if len(self.weights) > 1:
            more["weights"] = list(self.weights)
        if self.calibration:
            more["calibration"] = self.calibration.to_json()
        if self.mistakes:
            more["mistakes"] = [vars(each) for each in self.mistakes]
        return self.counts.to_json() | more | {"skipped": self.bad}


def check_extras(extras: Extras, data: Path, models: Sequence["Model"]) -> list[int]:
    """Refuse what cannot be done, before any time is spent; return the ILSVRC IDs, if needed.

    Raises: ValueError or DataError, whose message says what is wrong.
    """
    if extras.mistakes < 0:
        raise ValueError(f"mistakes is {extras.mistakes}; give the number to name, 0 or more")
    if extras.fit_weights and len(models) < 2:
        raise ValueError("weights are fitted for several runs; name two or more before the data")
    for number, model in enumerate(models[1:], start=2):
        lacking = sorted(set(models[0].classes) ^ set(model.classes))
        if lacking:
            raise ValueError(
                f"run {number} has other classes than run 1, {lacking[0]!r} among them; "
                f"average runs that were trained on the same classes"
            )
    return [] if extras.submission is None else ilsvrc_ids(data, models[0].classes)


def ilsvrc_ids(data: Path, classes: Sequence[str]) -> list[int]:
    """Return the ILSVRC IDs of a net's classes, from the classes.json of the pictures.

    Raises: ValueError if there is none, or it lacks a class.
    """
    from alexnet.data.ilsvrc import read_classes
    from alexnet.evaluation.submission import submission_ids

    found = [each / "classes.json" for each in (data, data.parent)]
    file = next((each for each in found if each.is_file()), None)
    if file is None:
        raise ValueError(
            f"{data} has no classes.json, which tells the ILSVRC IDs of a submission; make the "
            f"data set with alexnet data imagenet"
        )
    known = {synset.wnid: synset.ilsvrc_id for synset in read_classes(file)}
    return submission_ids(classes, known, str(file))


def check_complete(bad: Mapping[str, str]) -> None:
    """Raise DataError if a picture was not read: its line of a submission would be missing."""
    from alexnet.data.folder import DataError

    if bad:
        raise DataError(
            f"{next(iter(bad))} was not read, and a submission needs a line for every picture; "
            f"repair the picture"
        )


def make_passes(
    models: Sequence["Model"], views: "Views", *, scales: Sequence[int], machine: Machine
) -> list[Pass]:
    """Return every net at every scale.

    Raises: ValueError if a net does not fit a scale, or has no dense form.
    """
    import torch

    from alexnet.device import choose_dtype
    from alexnet.evaluation.views import at_scale, whole_picture
    from alexnet.predict import dense, packed

    passes = []
    for number, model in enumerate(models):
        if views == "dense":
            net = dense(model, machine.weights)
        else:
            device = next(model.net.parameters()).device
            net = packed(model, choose_dtype(machine.precision, device), machine.weights)
        columns = torch.tensor([model.classes.index(name) for name in models[0].classes])
        for size in scales or (model.preprocessing.picture_size,):
            preprocessing = at_scale(model.preprocessing, size)
            if views == "dense":
                preprocessing = whole_picture(preprocessing)
            passes.append(Pass(number, net, preprocessing, columns))
    return passes


def answer_all(
    passes: Sequence[Pass],
    listing: "Pictures",
    *,
    team: "Team",
    extras: Extras,
    machine: Machine,
) -> tuple[Found, "Answers | None"]:
    """Answer all pictures; the probabilities are kept only where they are needed."""
    from alexnet.device import choose_dtype
    from alexnet.evaluation.evaluate import evaluate
    from alexnet.evaluation.metrics import Counts

    dtype = choose_dtype(machine.precision, team.mesh.device)
    if len(passes) > 1 or extras.keeps_answers:
        answers, bad = _collect(passes, listing, views=extras.views, team=team, dtype=dtype)
        return _examine(answers, listing.classes, extras, bad), answers
    only = passes[0]
    loader = _loader(listing, only.preprocessing.picture_size, team)
    counts = Counts(listing.classes)
    batches = loader.epoch(0, seed=None)
    evaluate(only.net, batches, only.preprocessing, counts, views=extras.views, dtype=dtype)
    team.merge_bad(loader)
    return Found(team.add_counts(counts), loader.bad), None


def _loader(listing: "Pictures", size: int, team: "Team") -> Any:
    from alexnet.data.loader import Loader

    return Loader(
        listing, batch_size=BATCH * team.size, picture_size=size, cache_bytes=0, share=team.share
    )


def _collect(
    passes: Sequence[Pass],
    listing: "Pictures",
    *,
    views: "Views",
    team: "Team",
    dtype: "torch.dtype",
) -> tuple["Answers", dict[str, str]]:
    """Return each net's probabilities, the mean over its scales, and what could not be read.

    A picture is decoded once for each size.
    """
    import torch

    from alexnet.evaluation.ensemble import Answers
    from alexnet.evaluation.evaluate import probabilities

    models = 1 + max(each.model for each in passes)
    scales = len(passes) // models
    total = torch.zeros(models, len(listing), len(listing.classes))
    times = torch.zeros(len(listing), dtype=torch.int64)
    bad: dict[str, str] = {}
    for size in sorted({each.preprocessing.picture_size for each in passes}):
        here = [each for each in passes if each.preprocessing.picture_size == size]
        loader = _loader(listing, size, team)
        for batch in loader.epoch(0, seed=None):
            pictures = batch.pictures.to(team.mesh.device)
            for each in here:
                p = probabilities(each.net, pictures, each.preprocessing, views=views, dtype=dtype)
                total[each.model, batch.indices] += p.cpu()[:, each.columns] / scales
                times[batch.indices] += 1
        team.merge_bad(loader)
        bad |= loader.bad
    total, times = team.add_up(total), team.add_up(times)
    good = torch.where(times == len(passes))[0]
    labels = torch.tensor(listing.labels)[good]
    return Answers(total[:, good], labels, tuple(listing.paths[i] for i in good.tolist())), bad


def _examine(
    answers: "Answers", classes: tuple[str, ...], extras: Extras, bad: dict[str, str]
) -> Found:
    from alexnet.evaluation.calibration import calibrate
    from alexnet.evaluation.ensemble import alike, fit_weights, mix, mix_fitted
    from alexnet.evaluation.metrics import Counts
    from alexnet.evaluation.submission import surest_mistakes

    labels = answers.labels
    weights = alike(len(answers.probabilities))
    p = mix(answers.probabilities, weights)
    if extras.fit_weights:
        p = mix_fitted(answers.probabilities, labels)
        weights = fit_weights(answers.probabilities, labels)
    counts = Counts(classes)
    counts.add(p, labels)
    found = Found(counts, bad, tuple(weights.tolist()))
    if extras.calibration:
        found.calibration = calibrate(p, labels)
    if extras.mistakes:
        found.mistakes = surest_mistakes(
            p, labels, classes=classes, paths=answers.paths, count=extras.mistakes
        )
    return found


def write_submission(
    answers: "Answers", extras: Extras, ids: Sequence[int], bad: Mapping[str, str]
) -> None:
    """Write the file that was asked for.

    Raises: DataError if a picture was not read.
    """
    from alexnet.evaluation.ensemble import alike, mix, mix_fitted
    from alexnet.evaluation.submission import write_labels
    from alexnet.store import write_atomically

    assert extras.submission is not None
    check_complete(bad)
    if extras.fit_weights:
        p = mix_fitted(answers.probabilities, answers.labels)
    else:
        p = mix(answers.probabilities, alike(len(answers.probabilities)))
    write_atomically(extras.submission, write_labels(p, answers.paths, ids))


def print_found(found: Found, runs: Sequence[Path]) -> None:
    """Print what stands beside the counts."""
    if len(found.weights) > 1:
        print("\nweights of the runs")
        rows = [(str(run), f"{w:.3f}") for run, w in zip(runs, found.weights, strict=True)]
        print_table(("run", "weight"), rows)
    if found.calibration:
        _print_calibration(found.calibration, found.counts.loss)
    if found.mistakes:
        print("\nwrong answers, the surest first")
        named = [
            (m.picture, m.truth, m.answer, f"{m.probability:.1%}", f"{m.truth_probability:.1%}")
            for m in found.mistakes
        ]
        header = ("picture", "class", "answer", "at", "class at")
        print_table(header, named, left=3)


def _print_calibration(found: "Calibration", loss: float) -> None:
    print(
        f"\ncalibration error {found.error:.2%}, loss {loss:.4f}\n"
        f"temperature {found.temperature:.3f} on the logits would make them "
        f"{found.error_after:.2%} and {found.loss_after:.4f}\n"
    )
    rows = [
        (
            f"{b.low:.1%} to {b.high:.1%}",
            b.pictures,
            *(f"{x:.1%}" if b.pictures else "-" for x in (b.confidence, b.accuracy)),
        )
        for b in found.bins
    ]
    print_table(("answers given at", "pictures", "mean", "right"), rows)
