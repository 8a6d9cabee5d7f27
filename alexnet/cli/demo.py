"""`alexnet demo`: the first thing to type."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.cli.options import Json, new_folder
from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from alexnet.evaluation.metrics import Counts
    from alexnet.predict import Prediction


def demo(*, out: Path | None = None, as_json: Json = False) -> int:
    """Train the full net on 4,000 digits, test it on 1,000 and predict a few.

    Parameters
    ----------
    out
        Folder for the digits and the run; a new one below runs/ if not given.
    """
    from alexnet.demo import run_demo
    from alexnet.device import keep_pages

    keep_pages()
    began_at = time.monotonic()
    out = out or new_folder("demo")
    note(f"AlexNet, 61 million weights, on 4,000 handwritten digits; everything goes to {out}")
    counts, answers = run_demo(out)
    seconds = round(time.monotonic() - began_at)
    if as_json:
        predictions = [{"picture": a.source, "labels": dict(a.labels)} for a in answers]
        print_json(counts.to_json() | {"seconds": seconds, "predictions": predictions})
        return 0
    _print_tables(counts, answers)
    print(f"\n{seconds // 60} min {seconds % 60} s. What to type next:\n")
    for command, meaning in (
        (f"alexnet eval {out}/run {out}/digits --views 10", "ten views of each digit"),
        (f"alexnet predict {out}/run PICTURE ...", "your own pictures of digits"),
        ("alexnet train PHOTOS", "your photos, a folder for each class"),
        ("alexnet summary alexnet", "the net, layer by layer"),
    ):
        print(f"  {command:<52}  {meaning}")
    return 0


def _print_tables(counts: "Counts", answers: list["Prediction"]) -> None:
    rows = [
        (name, seen, seen - wrong, f"{1 - wrong / seen:.1%}")
        for name, (seen, wrong) in counts.per_class().items()
    ]
    right = counts.seen - counts.top1_errors
    rows.append(("all", counts.seen, right, f"{right / counts.seen:.1%}"))
    print()
    print_table(("digit", "tested", "right", "share"), rows)
    print()
    pictures = [
        ("/".join(Path(a.source).parts[-2:]), *(f"{name} {p:.1%}" for name, p in a.labels))
        for a in answers
    ]
    print_table(("picture", "1.", "2.", "3."), pictures, left=4)
