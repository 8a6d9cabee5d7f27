"""`alexnet export`: a trained net in the form of another program, compared before it is named."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import note, print_json

if TYPE_CHECKING:
    from alexnet.export.way_out import Exported, Sample, To
    from alexnet.model import Model


@Parameter(name="*")
@dataclass(frozen=True)
class Form:
    """In what form."""

    preprocessing: Literal["outside", "inside"] = "outside"
    """inside: the graph takes bytes of pictures and gives probabilities; outside: it takes what the
    net sees and gives logits. For onnx and openvino."""
    weights: Literal["same", "int8", "bf16"] = "same"
    """int8: fully connected layers in a quarter of the bytes; bf16: all weights in half of them.
    For onnx and openvino; what it costs is printed."""


@Parameter(name="*")
@dataclass(frozen=True)
class Trial:
    """What to compare its answers on."""

    data: Path | None = None
    """Labelled pictures; those of the run if they are still there, else some are generated."""
    pictures: int = 64
    """Number of pictures."""


def export(
    run: Path,
    *,
    to: Annotated[
        Literal["onnx", "safetensors", "torch", "caffe", "openvino", "huggingface"], Parameter()
    ],
    out: Path | None = None,
    form: Form = Form(),
    trial: Trial = Trial(),
    as_json: Json = False,
) -> int:
    """Write a trained net for another program, and compare its answers there with ours.

    What differs by more than 1e-4 in a probability is not kept.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    to
        Program: onnx and openvino hold net and weights; safetensors (our names) and torch
        (torchvision's names where it has the net) hold weights; caffe takes nets of a prototxt;
        huggingface is a folder with config.json, model.safetensors and the model's card.
    out
        File or folder to write; model.onnx and so on in the run's folder unless given.
    """
    if trial.pictures < 1:
        raise ValueError(f"pictures is {trial.pictures}; compare on at least 1")
    from alexnet.export.runtimes import exported_path
    from alexnet.export.way_out import Wish, check_wish
    from alexnet.export.way_out import export as write
    from alexnet.model import model_folder, open_model
    from alexnet.store import read_manifest

    folder = model_folder(run)
    manifest = read_manifest(folder)
    digest, record = str(manifest["digest"]), manifest.get("record", {})
    wish = Wish(to, form.weights, form.preprocessing == "inside", digest, record)
    check_wish(wish)
    path = _place(out, exported_path(folder.resolve(), to, form.weights))
    if to == "huggingface":
        from alexnet.hub import card_of

        wish = replace(wish, card=card_of(run))
    model = open_model(run)
    sample, used = _sample(run, model, trial)
    found = write(model, path, wish, sample)
    if as_json:
        print_json(_to_json(found, to, used))
    else:
        _print(found, used, sample)
        print(_next(run, path, to, form.weights, out))
    return 0


def _place(out: Path | None, usual: Path) -> Path:
    """Return where to write.

    Raises: ValueError if a file stands there already that was named, a folder though it was not,
            or the folder to write in does not exist.
    """
    if out is None and not usual.is_dir():
        return usual
    out = out or usual
    if out.exists():
        raise ValueError(f"{out} exists already; give another --out, or remove it first")
    if usual.suffix and out.suffix != usual.suffix:
        raise ValueError(f"{out} does not end in {usual.suffix}; name it {out.stem}{usual.suffix}")
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent} is no folder; make it first, or give another --out")
    return out


def _sample(run: Path, model: "Model", trial: Trial) -> tuple["Sample", str]:
    """Return pictures to compare on, and say which they are."""
    import torch

    from alexnet.cli.answers import choose_pictures
    from alexnet.export.compare import generated_pictures
    from alexnet.export.way_out import Sample
    from alexnet.inspection.subject import Subject
    from alexnet.training.recipe import Recipe, load

    data, count, size = trial.data, trial.pictures, model.preprocessing.picture_size
    if data is None:
        files = [folder / "recipe.toml" for folder in (run, run.parent)]
        recipe = next((load(file) for file in files if file.is_file()), Recipe())
        if recipe.data and Path(recipe.data).exists():
            data = Path(recipe.data)
    if data is None:
        note("the run's own pictures are not there: comparing on generated ones; see --data")
        return Sample(generated_pictures(count, size), None), "generated"
    listing, used = choose_pictures(run, data, "auto", model.classes)
    taken = Subject(str(run), run, model).sample(listing, count)
    return Sample(taken.pictures, torch.tensor(taken.labels)), used


def _to_json(found: "Exported", to: "To", used: str) -> dict[str, object]:
    cost = None
    if found.cost is not None:
        cost = {
            "largest_difference": found.cost.difference.largest,
            "same_first_answers": found.cost.difference.same_first,
            "errors_before": found.cost.errors_before,
            "errors_after": found.cost.errors_after,
        }
    return {
        "to": to,
        "files": [str(file) for file in found.files],
        "bytes": found.bytes,
        "pictures": found.difference.pictures,
        "used": used,
        "largest_difference": found.difference.largest,
        "same_first_answers": found.difference.same_first,
        "cost_of_weights": cost,
    }


def _print(found: "Exported", used: str, sample: "Sample") -> None:
    names = " and ".join(str(file) for file in found.files)
    print(f"{names}: {found.bytes / 1e6:,.1f} MB")
    print(f"compared on {found.difference.text()} ({used})")
    if found.cost is None:
        return
    changed = found.cost.difference
    print(
        f"what the rounded weights change: up to {changed.largest:.1e} of a probability, "
        f"{changed.pictures - changed.same_first} first answers"
    )
    if sample.labels is not None:
        print(
            f"errors of {changed.pictures} pictures: {found.cost.errors_before} before, "
            f"{found.cost.errors_after} after"
        )


def _next(run: Path, path: Path, to: "To", weights: str, out: Path | None) -> str:
    if to == "huggingface":
        call = f"alexnet.push({str(path)!r}, 'OWNER/NAME')"
        return f"try: alexnet predict {path} PICTURE\nto publish it, in Python: {call}"
    if to not in ("onnx", "openvino"):
        return "read it with its own program, or with alexnet convert"
    if out is not None:
        return f"try: alexnet predict {path} PICTURE"
    more = "" if weights == "same" else f" --weights {weights}"
    return f"try: alexnet predict {run} --runtime {to}{more} PICTURE"
