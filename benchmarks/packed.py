"""Time the packed forms of a net beside the net, and count what they cost in answers.

    python -m benchmarks.packed [--net alexnet] [--repeats 15] [--run RUN --data DATA]

prints Markdown tables. The forms answer the same pictures in turn, in one process, channels last
and in inference mode; the time is the median. With a run and its pictures the second table counts
errors, and the pictures whose first answer differs from the float32 net's.
"""

import argparse
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet.bench.machine import describe_machine
from alexnet.data.folder import VALIDATION_NAMES, list_folder
from alexnet.data.loader import Loader
from alexnet.device import keep_pages
from alexnet.evaluation.evaluate import probabilities
from alexnet.model import open_model
from alexnet.nets import find
from alexnet.packed import FullyConnected, pack

WARM_UPS = 2
FORMS: dict[str, FullyConnected] = {
    "packed, float32": "same",
    "packed, bfloat16 weights in fc6-8": "bf16",
    "packed, int8 weights in fc6-8": "int8",
}


def forms_of(net: nn.Module) -> dict[str, nn.Module]:
    """Return the net and its packed forms."""
    return {"net": net.eval()} | {n: pack(net, fully_connected=f) for n, f in FORMS.items()}


def weight_bytes(net: nn.Module) -> int:
    """Return the bytes of weights and biases."""
    return sum(each.nbytes for each in (*net.parameters(), *net.buffers()))


@torch.inference_mode()
def milliseconds(calls: list[partial[Tensor]], repeats: int) -> list[float]:
    """Return the median time of each call; they take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(WARM_UPS + repeats):
        for call, kept in zip(calls, times, strict=True):
            started_at = time.perf_counter()
            call()
            kept.append(1e3 * (time.perf_counter() - started_at))
    return [statistics.median(kept[WARM_UPS:]) for kept in times]


def print_times(name: str, repeats: int) -> None:
    """Print the table of times."""
    variant = find(name)
    net: nn.Module = variant.build(classes=1000)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forms = forms_of(net)
    columns = []
    for batch in (1, 64):
        x = torch.randn(batch, 3, variant.input_size, variant.input_size)
        x = x.contiguous(memory_format=torch.channels_last)
        calls = [partial(form, x) for form in forms.values()]
        columns.append(milliseconds(calls, repeats))
    print(f"| {name}, {repeats} repeats | batch 1, ms | batch 64, ms | img/s | weights, MB |")
    print("|---|--:|--:|--:|--:|")
    for (form, module), one, many in zip(forms.items(), *columns, strict=True):
        size = weight_bytes(module) / 1e6
        print(f"| {form} | {one:.1f} | {many:.0f} | {64e3 / many:.1f} | {size:.0f} |")


def print_errors(run: Path, data: Path) -> None:
    """Print the table of errors."""
    model = open_model(run)
    held_out = next((data / name for name in VALIDATION_NAMES if (data / name).is_dir()), data)
    listing = list_folder(held_out, classes=model.classes)
    size = model.preprocessing.picture_size
    loader = Loader(listing, batch_size=64, picture_size=size, cache_bytes=0)
    forms = forms_of(model.net)
    wrong, changed = dict.fromkeys(forms, 0), dict.fromkeys(forms, 0)
    largest = dict.fromkeys(forms, 0.0)
    seen = 0
    for batch in loader.epoch(0, seed=None):
        seen += len(batch.labels)
        pictures = [
            probabilities(form, batch.pictures, model.preprocessing) for form in forms.values()
        ]
        first = pictures[0].argmax(1)
        for form, p in zip(forms, pictures, strict=True):
            wrong[form] += int((p.argmax(1) != batch.labels).sum())
            changed[form] += int((p.argmax(1) != first).sum())
            largest[form] = max(largest[form], float((p - pictures[0]).abs().max()))
    print(f"\n| {seen:,} pictures | top-1 error | wrong | changed | probability differs by |")
    print("|---|--:|--:|--:|--:|")
    for form in forms:
        error = f"{wrong[form] / seen:.2%} | {wrong[form]:,} | {changed[form]:,}"
        print(f"| {form} | {error} | {largest[form]:.1e} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Time packed nets beside the net.")
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    keep_pages()
    print(f"{describe_machine()}\n")
    print_times(arguments.net, arguments.repeats)
    if arguments.run and arguments.data:
        print_errors(arguments.run, arguments.data)


if __name__ == "__main__":
    main()
