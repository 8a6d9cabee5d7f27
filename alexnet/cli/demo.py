"""`alexnet demo`: the first thing to type."""

import time
from pathlib import Path

from alexnet.cli.tables import note, print_table


def demo(*, out: Path = Path("runs/demo")) -> int:
    """Train the full net on 4,000 digits, test it on 1,000 and predict a few.

    Parameters
    ----------
    out
        Folder for the digits and the run.
    """
    from alexnet.demo import run_demo
    from alexnet.device import keep_pages

    keep_pages()
    began_at = time.monotonic()
    note(f"AlexNet, 61 million weights, on 4,000 handwritten digits; everything goes to {out}")
    counts, answers = run_demo(out)
    minutes, seconds = divmod(round(time.monotonic() - began_at), 60)

    print()
    table = counts.confusion.tolist()
    rows = [
        (name, sum(row), row[i], f"{row[i] / sum(row):.1%}")
        for i, (name, row) in enumerate(zip(counts.classes, table, strict=True))
    ]
    right = counts.seen - counts.top1_errors
    rows.append(("all", counts.seen, right, f"{right / counts.seen:.1%}"))
    print_table(("digit", "tested", "right", "share"), rows)
    print()
    print_table(
        ("picture", "1.", "2.", "3."),
        [
            (Path(a.source).parent.name + "/" + Path(a.source).name, *_ranked(a.labels))
            for a in answers
        ],
        left=4,
    )
    print(f"\n{minutes} min {seconds} s. What to type next:\n")
    for command, meaning in (
        (f"alexnet eval {out}/run {out}/digits --views 10", "ten views of each digit"),
        (f"alexnet predict {out}/run PICTURE ...", "your own pictures of digits"),
        ("alexnet train PHOTOS", "your photos, a folder for each class"),
        ("alexnet summary alexnet", "the net, layer by layer"),
    ):
        print(f"  {command:<52}  {meaning}")
    return 0


def _ranked(labels: tuple[tuple[str, float], ...]) -> list[str]:
    return [f"{name} {p:.1%}" for name, p in labels]
