"""`alexnet report`: a run in one page that needs nothing else, and the card of its model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import note, print_json

if TYPE_CHECKING:
    from alexnet.inspection.account import Account

FILE = "report.html"
SUFFIXES = (".html", ".htm")


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """What is looked at, and where."""

    pictures: int = 1000
    """The most pictures to answer, spread evenly over the data; 0 answers all."""
    mistakes: int = 12
    """The most mistakes to show with their pictures."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the net runs."""


def report(
    run: Path,
    data: Path | None = None,
    *,
    out: Path | None = None,
    asked: Asked = Asked(),
    as_json: Json = False,
) -> int:
    """Write a run's report, one page that needs nothing else, and the card of its model.

    Parameters
    ----------
    run
        Folder of a run, finished or not.
    data
        Pictures to test on, in any form that can be trained on; without them, those that the run
        was trained with, if they are still there.
    out
        File to write instead of report.html in the run's folder; the model's card then stands
        beside it, as .md, and else in the run's model/ as README.md.
    """
    file = _check(run, out, asked)
    from alexnet.device import choose_device, keep_pages
    from alexnet.inspection.model_card import CARD, write_card
    from alexnet.inspection.panels import check_matplotlib
    from alexnet.inspection.report import Wanted, gather
    from alexnet.inspection.report_page import make_page
    from alexnet.store import make_folder, write_atomically

    check_matplotlib()
    keep_pages()
    wanted = Wanted(data, asked.pictures, asked.mistakes, choose_device(asked.device))
    account = gather(run, wanted, environment=_environment())
    page = make_page(account)
    make_folder(file.parent)
    write_atomically(file, page)
    card = run / "model" / CARD if out is None else out.with_suffix(".md")
    written = bool(account.classes) and write_card(card, account)
    for sentence in account.left_out:
        note(f"left out {sentence}")
    if account.classes and not written:
        note(f"{card} is not as this command writes it, and stays; remove it for a new card")
    if as_json:
        files = {"report": str(file), "card": str(card) if written else None}
        print_json(files | account.to_json())
        return 0
    _print(account, file, len(page), card if written else None)
    return 0


def _check(run: Path, out: Path | None, asked: Asked) -> Path:
    """Return the file to write, after all that can be refused at once.

    Raises: ValueError for numbers below 0, or a file that is no page.
    """
    for name, value in (("pictures", asked.pictures), ("mistakes", asked.mistakes)):
        if value < 0:
            raise ValueError(f"{name} is {value}; it must be 0 or more")
    if out is not None and (out.suffix.lower() not in SUFFIXES or out.is_dir()):
        raise ValueError(
            f"out is {out}, which is no file ending in .html; name one, such as {out / FILE}"
        )
    return out or run / FILE


def _environment() -> tuple[tuple[str, str], ...]:
    """Return when and on what the report is made."""
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import version

    import torch

    from alexnet import __version__
    from alexnet.bench.machine import describe_machine

    names = ("numpy", "pillow", "safetensors", "simplejpeg")
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return (
        ("report written", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("alexnet", __version__),
        ("machine", describe_machine()),
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("GPUs", ", ".join(gpus) or "none"),
        ("packages", ", ".join(f"{name} {version(name)}" for name in names)),
    )


def _print(account: "Account", file: Path, size: int, card: Path | None) -> None:
    from alexnet.inspection.account import NARROW, result_of

    if account.measured:
        print(result_of(account.measured[0]).replace(NARROW, " "))
    print(account.state)
    print(f"{file}: the report, {size / 1e6:.1f} MB")
    if card:
        print(f"{card}: the model's card")
