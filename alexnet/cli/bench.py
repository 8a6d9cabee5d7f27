"""`alexnet bench`: what training, answering, reading and each layer cost here, beside others."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from alexnet.bench.case import Case, Precision
    from alexnet.bench.layers import LayerTimes
    from alexnet.bench.peers import Work

Against = Annotated[
    list[str] | None,
    Parameter(
        negative=(),
        help="Whom to time in turn with ours: torch, compile, onnxruntime, openvino, keras or "
        "caffe; torch:fp32 in another arithmetic than ours. Repeat it for more.",
    ),
]
Repeats = Annotated[int, Parameter(help="Measurements of each, after two warm-ups.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Sizes:
    """The work: which net, on what."""

    net: str = "alexnet"
    """Name of the net, as alexnet summary takes it, or a .prototxt."""
    batch: int = 64
    """Pictures at a time."""
    classes: int = 1000
    """Outputs of the net."""
    input_size: int = 0
    """Width of the input in pixels; 0 takes the net's own."""
    threads: int = 0
    """Threads to compute with; 0 takes as many as torch does."""


bench = App(name="bench", help_format="plaintext")


@bench.command
def train(
    *,
    sizes: Sizes = Sizes(),
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    against: Against = None,
    repeats: Repeats = 7,
    as_json: Json = False,
) -> int:
    """Time a training step, update included, on pictures that are in memory.

    Parameters
    ----------
    precision
        Arithmetic; auto is bf16 where the chip has it.
    """
    return _compare("train", sizes, precision, (against or [], repeats), as_json)


@bench.command
def infer(
    *,
    sizes: Sizes = Sizes(),
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto",
    against: Against = None,
    repeats: Repeats = 7,
    as_json: Json = False,
) -> int:
    """Time the answer to a batch of pictures that are in memory.

    Parameters
    ----------
    precision
        Arithmetic; auto is bf16 where the chip has it, int8 has 8-bit weights in fc6 to fc8.
    """
    return _compare("infer", sizes, precision, (against or [], repeats), as_json)


@bench.command
def layers(
    *,
    sizes: Sizes = Sizes(),
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    repeats: Repeats = 7,
    as_json: Json = False,
) -> int:
    """Time each layer, or those that run as one, forward and backward, on its input in the net.

    Parameters
    ----------
    precision
        Arithmetic; auto is bf16 where the chip has it.
    """
    from alexnet.bench.layers import time_layers
    from alexnet.bench.machine import describe_machine, gemm_ceiling, peak_memory_bytes

    case = _case(sizes, precision)
    rows = time_layers(case, repeats=repeats)
    peak, ceiling = peak_memory_bytes(), gemm_ceiling(case.dtype)
    if as_json:
        about = asdict(case) | {"work": "layers", "input_size": case.side}
        figures = {"machine": describe_machine(), "gemm_ceilings": {case.precision: ceiling}}
        memory = {"peak_memory_mib": peak / 2**20}
        print_json(about | figures | memory | {"rows": [row.to_json() for row in rows]})
        return 0
    print(f"{_heading('layers', case)}; ceiling {ceiling / 1e9:,.0f} GFLOP/s\n")
    _print_layers(rows, ceiling, repeats)
    print(f"\nmachine: {describe_machine()}")
    print(f"peak memory: {peak / 2**20:,.0f} MiB")
    return 0


@bench.command
def data(
    *,
    sizes: Sizes = Sizes(),
    data: Path | None = None,
    against: Annotated[
        list[Literal["torch"]] | None,
        Parameter(negative=(), help="torch: Pillow in torch's DataLoader, in turn with ours."),
    ] = None,
    repeats: Repeats = 7,
    as_json: Json = False,
) -> int:
    """Time reading and cutting pictures, as training does it.

    Parameters
    ----------
    data
        Folder of pictures, one sub-folder per class, of which 256 are read; drawn ones if not
        given.
    """
    from alexnet.bench.data import time_data
    from alexnet.bench.machine import describe_machine, peak_memory_bytes

    case = _case(sizes, "fp32")
    times = time_data(case, data, beside_torch=bool(against), repeats=repeats)
    rows: list[dict[str, Any]] = []
    for name, pictures in times.pictures.items():
        timing = times.rounds.timing(name)
        rows.append(
            {
                "name": name,
                "images_per_second": pictures / timing.median,
                "median_ms": timing.median * 1e3,
                "least_ms": timing.least * 1e3,
                "spread_ms": timing.spread * 1e3,
                "n": timing.n,
                "pictures": pictures,
            }
        )
    about = {"machine": describe_machine(), "peak_memory_mib": peak_memory_bytes() / 2**20}
    if as_json:
        about |= {"work": "data", "source": times.source, "threads": case.threads}
        print_json(about | {"batch": case.batch, "crop": case.side, "rows": rows})
        return 0
    print(f"{times.source}; windows of {case.side} pixels, {case.threads} threads\n")
    header = ("work", "pictures/s", "median ms", "least ms", "spread ms", "n", "pictures")
    keys = ("images_per_second", "median_ms", "least_ms", "spread_ms")
    print_table(
        header,
        [
            (row["name"], *(_number(row[key]) for key in keys), row["n"], row["pictures"])
            for row in rows
        ],
    )
    print(f"\nmachine: {about['machine']}")
    return 0


def _compare(
    kind: "Work",
    sizes: Sizes,
    precision: Literal["auto", "fp32", "bf16", "int8"],
    how: tuple[list[str], int],
    as_json: bool,
) -> int:
    from alexnet.bench.peers import choose
    from alexnet.bench.report import compare

    against, repeats = how
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    case = _case(sizes, precision)
    say: Callable[[str], None] = (lambda _: None) if as_json else note
    report = compare(kind, case, choose(against, kind, case.precision), repeats=repeats, say=say)
    if as_json:
        print_json(report.to_json())
        return 0
    print(_heading(kind, case) + "\n")
    header = (
        *("who", "precision", "images/s", "median ms", "least ms", "spread ms", "n"),
        *("of ceiling", "x ours", "difference", "peak MiB"),
    )
    print_table(
        header,
        [
            (
                row.name.partition(":")[0],
                row.precision,
                *map(_number, (row.images_per_second, row.median_ms, row.least_ms, row.spread_ms)),
                row.n,
                "-" if row.share_of_gemm_ceiling is None else f"{row.share_of_gemm_ceiling:.1%}",
                f"{row.times_ours:.2f}",
                "-" if row.difference is None else f"{row.difference:.1e}",
                "-" if row.peak_memory_mib is None else f"{row.peak_memory_mib:,.0f}",
            )
            for row in report.rows
        ],
        left=2,
    )
    print(f"\nmachine: {report.machine}")
    for name, flop in report.gemm_ceilings.items():
        print(f"ceiling: {name} {flop / 1e9:,.0f} GFLOP/s")
    for text in report.notes:
        print(f"note: {text}")
    return 0


def _case(sizes: Sizes, precision: Literal["auto", "fp32", "bf16", "int8"]) -> "Case":
    """Return the case, after setting threads and memory as the commands that work do."""
    import torch

    from alexnet.bench.case import Case
    from alexnet.device import choose_dtype, keep_pages

    if sizes.threads < 0:
        raise ValueError(f"threads is {sizes.threads}; it must be at least 1, or 0 for torch's")
    used: Precision = "int8"
    if precision != "int8":
        half = choose_dtype(precision, torch.device("cpu")) == torch.bfloat16
        used = "bf16" if half else "fp32"
    case = Case(
        net=sizes.net,
        batch=sizes.batch,
        precision=used,
        classes=sizes.classes,
        input_size=sizes.input_size,
        threads=sizes.threads or torch.get_num_threads(),
    )
    torch.set_num_threads(case.threads)
    keep_pages()
    return case


def _heading(kind: str, case: "Case") -> str:
    what = {"train": "a training step", "infer": "an answer", "layers": "layers alone"}[kind]
    return (
        f"{what} of {case.net}, batch {case.batch}, {case.side} pixels, {case.classes:,} classes, "
        f"{case.threads} threads, {case.precision}"
    )


def _print_layers(rows: list["LayerTimes"], ceiling: float, repeats: int) -> None:
    from alexnet.bench.layers import total

    header = (
        *("layer", "type", "forward ms", "spread", "GFLOP", "MB", "of ceiling", "GB/s"),
        *("backward ms", "spread", "GFLOP", "MB", "of ceiling", "GB/s"),
    )
    cells: list[tuple[object, ...]] = []
    for row in rows:
        forward = (row.forward.median, row.forward.spread, row.forward_flop, row.forward_bytes)
        backward = (row.backward.median, row.backward.spread, row.backward_flop, row.backward_bytes)
        passes = (*_pass(*forward, ceiling), *_pass(*backward, ceiling))
        cells.append((row.name, row.type, *passes))
    sums = total(rows)
    passes = tuple(
        cell
        for which in ("forward", "backward")
        for cell in _pass(
            sums[f"{which}_seconds"],
            None,
            sums[f"{which}_flop"],
            sums[f"{which}_bytes"],
            ceiling,
        )
    )
    print_table(header, [*cells, ("sum", "", *passes)], left=2)
    print(f"\nn = {repeats} after warm-ups")


def _pass(
    seconds: float, spread: float | None, flop: float, size: float, ceiling: float
) -> tuple[object, ...]:
    """Return the cells of one pass: time, spread, work, bytes, share of the ceiling, bandwidth."""
    return (
        f"{seconds * 1e3:.2f}",
        "" if spread is None else f"{spread * 1e3:.2f}",
        f"{flop / 1e9:.2f}" if flop else "",
        f"{size / 1e6:.1f}",
        f"{flop / max(seconds, 1e-9) / ceiling:.0%}" if flop else "",
        f"{size / max(seconds, 1e-9) / 1e9:.1f}",
    )


def _number(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
