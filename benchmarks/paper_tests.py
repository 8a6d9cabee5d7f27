"""Test a trained net in all the ways of the paper, and in those of its successors.

    python -m benchmarks.paper_tests RUN OTHER_RUN DATA [--pictures N] [--scales 192,216,240]

prints three Markdown tables over DATA's validation pictures: the errors of one view, of ten, of the
whole picture at one scale and at three, and of two runs together; how far probabilities can be
trusted before and after a temperature; and the errors of each class. Weights and temperatures are
fitted on every other picture and judged on the rest, both ways round. OTHER_RUN is a run with the
same classes.

The intervals hold 95 %: Wilson's for a share; for a change against one view the normal one of
differences within pairs, as both answer the same pictures; for a calibration error 1.96 standard
deviations of 1,000 draws of as many pictures, with a fixed seed.
"""

import argparse
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from alexnet.bench.machine import describe_machine
from alexnet.cli.options import Machine, open_by
from alexnet.cli.tested import Extras, answer_all, check_extras, make_passes
from alexnet.cli.together import together
from alexnet.data.door import Some, among, open_split
from alexnet.data.pictures import Pictures
from alexnet.device import keep_pages
from alexnet.evaluation.calibration import (
    expected_error,
    fit_temperature,
    reliability,
    with_temperature,
)
from alexnet.evaluation.ensemble import Answers, alike, fit_weights, halves, mix, mix_fitted
from alexnet.evaluation.interval import DEVIATIONS, wilson
from alexnet.evaluation.metrics import Counts
from alexnet.evaluation.views import Views, read_scales
from alexnet.model import Model
from alexnet.parallel.team import Team

MACHINE = Machine()
DRAWS = 1000
THREE_SCALES = (1.0, 1.125, 1.25)
"""Of the run's own picture size, so that its crop fits into each."""


@dataclass(frozen=True)
class Test:
    """A way to answer, and what came of it."""

    name: str
    command: str
    """What `alexnet eval` takes to do the same."""
    probabilities: Tensor
    """(N, classes)."""
    paper: str = ""
    """What it changed in the paper, top-1 and top-5 errors."""


@dataclass(frozen=True)
class Place:
    """Where the tests are made."""

    pictures: Pictures
    team: Team


def answer(
    models: list[Model], place: Place, *, views: Views = 1, scales: tuple[int, ...] = ()
) -> Answers:
    """Return what each net says of each picture, as `alexnet eval` asks it."""
    passes = make_passes(models, views, scales=scales, machine=MACHINE)
    extras = Extras(views=views, calibration=True)  # so that the answers are kept
    found, answers = answer_all(
        passes, place.pictures, team=place.team, extras=extras, machine=MACHINE
    )
    assert answers is not None
    if found.bad:
        raise SystemExit(
            f"{len(found.bad)} pictures were not read, such as {next(iter(found.bad))}"
        )
    return answers


def make_tests(
    models: list[Model], place: Place, *, scales: tuple[int, ...]
) -> tuple[list[Test], Tensor, Tensor]:
    """Return all tests, the first being one view; the labels; and the weights fitted on all."""
    one, ten = answer(models, place), answer(models, place, views=10)
    whole = answer(models[:1], place, views="dense").probabilities[0]
    three = answer(models[:1], place, views="dense", scales=scales).probabilities[0]
    p, labels = ten.probabilities, ten.labels
    named = ",".join(map(str, scales))
    tests = [
        Test("one view", "RUN DATA", one.probabilities[0]),
        Test("ten views", "RUN DATA --views 10", p[0], "-1.5, -1.3 (2010)"),
        Test("dense", "RUN DATA --views dense", whole),
        Test(f"dense at {named} pixels", f"RUN DATA --views dense --scales {named}", three),
        Test("the other run, one view", "OTHER_RUN DATA", one.probabilities[1]),
        Test("the other run, ten views", "OTHER_RUN DATA --views 10", p[1]),
        Test(
            "both runs, ten views",
            "RUN OTHER_RUN DATA --views 10",
            mix(p, alike(len(p))),
            "-2.6, -1.8 (five nets, 2012)",
        ),
        Test(
            "both runs, ten views, fitted weights",
            "RUN OTHER_RUN DATA --views 10 --fit-weights",
            mix_fitted(p, labels),
        ),
    ]
    return tests, labels, fit_weights(p, labels)


def share(errors: int, count: int) -> str:
    """Return a share with its interval, in percent."""
    low, high = wilson(errors, count)
    return f"{errors / count:.1%} ({100 * low:.1f} to {100 * high:.1f})"


def change(test: Test, first: Test, *, labels: Tensor) -> str:
    """Return the change of the top-1 error against another test, in points, with its interval.

    d = (worse - better) / n,   variance = (worse + better - (worse - better)^2 / n) / n^2
    """
    n = len(labels)
    wrong, before = (each.probabilities.argmax(1) != labels for each in (test, first))
    worse, better = int((wrong & ~before).sum()), int((before & ~wrong).sum())
    apart = worse - better
    half = DEVIATIONS * math.sqrt(worse + better - apart**2 / n) / n
    return f"{100 * apart / n:+.2f} +- {100 * half:.2f}"


def print_errors(tests: list[Test], labels: Tensor, *, classes: tuple[str, ...]) -> None:
    """Print the errors of each test."""
    print(
        "| test | `alexnet eval` | n | top-1 error (95 %) | top-5 error (95 %) | loss "
        "| top-1 against one view, points | in the paper |\n"
        "|---|---|--:|--:|--:|--:|--:|--:|"
    )
    for test in tests:
        counts = Counts(classes)
        counts.add(test.probabilities, labels)
        against = "" if test is tests[0] else change(test, tests[0], labels=labels)
        print(
            f"| {test.name} | `{test.command}` | {counts.seen:,} "
            f"| {share(counts.top1_errors, counts.seen)} "
            f"| {share(counts.top5_errors, counts.seen)} | {counts.loss:.3f} "
            f"| {against} | {test.paper} |"
        )


def tempered(p: Tensor, labels: Tensor) -> Tensor:
    """Return each half of the answers with the temperature of the other half."""
    after = torch.empty(p.shape, dtype=torch.float64)
    even, odd = halves(len(labels))
    for measured, fitted in ((even, odd), (odd, even)):
        temperature = fit_temperature(p[fitted], labels[fitted])
        after[measured] = with_temperature(p[measured], temperature)
    return after


def calibration_error(p: Tensor, labels: Tensor) -> str:
    """Return the expected calibration error with its interval, in percent."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(DRAWS):
        places = torch.randint(len(labels), (len(labels),), generator=generator)
        drawn.append(expected_error(reliability(p[places], labels[places])))
    half = DEVIATIONS * statistics.stdev(drawn)
    found = expected_error(reliability(p, labels))
    low, high = max(found - half, 0.0), min(found + half, 1.0)
    return f"{found:.1%} ({100 * low:.1f} to {100 * high:.1f})"


def log_loss(p: Tensor, labels: Tensor) -> float:
    """Return the mean of -ln(probability of the true class)."""
    return -float(p.double().gather(1, labels[:, None]).clamp(min=1e-30).log().mean())


def print_calibration(tests: list[Test], labels: Tensor) -> None:
    """Print how far the probabilities of each test can be trusted."""
    print(
        "| test | n | calibration error (95 %) | after the temperature (95 %) "
        "| temperature, on all | loss | loss after |\n|---|--:|--:|--:|--:|--:|--:|"
    )
    for test in tests:
        p = test.probabilities
        after = tempered(p, labels)
        print(
            f"| {test.name} | {len(labels):,} | {calibration_error(p, labels)} "
            f"| {calibration_error(after, labels)} | {fit_temperature(p, labels):.3f} "
            f"| {log_loss(p, labels):.3f} | {log_loss(after, labels):.3f} |"
        )


def print_classes(tests: list[Test], labels: Tensor, *, classes: tuple[str, ...]) -> None:
    """Print the errors of each class, the worst of the first test first."""
    counted = []
    for test in tests:
        counts = Counts(classes)
        counts.add(test.probabilities, labels)
        counted.append(counts.per_class())
    print(f"| class | n | {' | '.join(f'{test.name} (95 %)' for test in tests)} |")
    print(f"|---|--:|{'--:|' * len(tests)}")
    seen = [(name, n, errors) for name, (n, errors) in counted[0].items() if n]
    for name, n, _ in sorted(seen, key=lambda row: -row[2] / row[1]):
        cells = (share(each[name][1], n) for each in counted)
        print(f"| {name} | {n} | {' | '.join(cells)} |")


def main() -> None:
    """Test and print."""
    parser = argparse.ArgumentParser(description="All ways of testing, on one trained net.")
    for name in ("run", "other_run", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--pictures", type=int, default=0, help="spread over all; 0 takes all")
    parser.add_argument("--scales", default="", help="pixels; three around the run's own")
    options = parser.parse_args()
    keep_pages()
    with together(MACHINE.device) as (team, _):
        runs = (options.run, options.other_run)
        models = [open_by(run, team.mesh.device, MACHINE.convolution) for run in runs]
        check_extras(Extras(fit_weights=True), options.data, models)
        classes, own = models[0].classes, models[0].preprocessing.picture_size
        validation = open_split(options.data).validation
        pictures = among(validation, classes, place=str(options.data))
        if options.pictures:
            pictures = Some.spread(pictures, options.pictures)
        scales = read_scales(options.scales) or tuple(round(own * each) for each in THREE_SCALES)
        tests, labels, weights = make_tests(models, Place(pictures, team), scales=scales)
    print(f"{describe_machine()}\n")
    for number, model in enumerate(models, start=1):
        seen = model.preprocessing
        print(
            f"- run {number}: `{model.name}`, pictures of {seen.picture_size} pixels, windows of "
            f"{seen.crop_size}; fitted weight of its ten views {float(weights[number - 1]):.3f}"
        )
    print()
    print_errors(tests, labels, classes=classes)
    print()
    print_calibration([tests[0], tests[1], tests[-2]], labels)
    print()
    print_classes(tests[:2], labels, classes=classes)


if __name__ == "__main__":
    main()
