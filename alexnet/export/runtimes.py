"""Exported files as nets that answer: by ONNX Runtime or OpenVINO, without torch.

What differs from `alexnet.predict`: a picture is answered by its centre alone.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alexnet.data.digits import PackageMissing
from alexnet.data.folder import DataError
from alexnet.data.image import Picture
from alexnet.export.numpy_inputs import Numbers, inputs_of, probabilities_of
from alexnet.export.onnx_file import METADATA, OnnxHead, head_of, read_head
from alexnet.native.resize_numpy import resize_numpy
from alexnet.nearest import nearest_beside
from alexnet.prediction import Prediction, open_picture

Runtime = Literal["onnx", "openvino"]
SUFFIXES: dict[str, Runtime] = {".onnx": "onnx", ".xml": "openvino"}
BATCH_SIZE = 32
QUICK_START = 16
"""Pictures for whose answers a longer preparation of the net takes more time than it saves."""


@dataclass(frozen=True)
class Runner:
    """A net in a runtime."""

    head: OnnxHead
    """What its file says of itself."""
    run: Callable[[Any], Numbers]
    """What it is given, pictures for a graph with the preprocessing inside, to what it gives."""

    def answer(self, pictures: Picture) -> Numbers:
        """Return the probability of each class.

        Shapes:  (N, H, W, 3) uint8 -> (N, classes) float32.
        """
        if self.head.inside:
            return self.run(pictures)
        return probabilities_of(self.run(inputs_of(pictures, self.head)))


def check_packages(packages: Iterable[str]) -> None:
    """Check that packages are there, without importing them.

    Raises: PackageMissing if one is not; the message says how to install it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        extra = "openvino" if "openvino" in missing else "onnx"
        raise PackageMissing(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed; "
            f"pip install 'alexnet[{extra}]'"
        )


def open_file(path: Path, runtime: Runtime, *, quick: bool = False) -> Runner:
    """Open an exported file. `quick` leaves out what pays off for many pictures only.

    Raises: DataError if it is damaged, is not ours or is not for this runtime; PackageMissing if
            the runtime is not installed; OSError if the file cannot be read.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist{nearest_beside(path)}")
    return open_onnx(path, quick=quick) if runtime == "onnx" else open_openvino(path)


def open_onnx(path: Path, *, quick: bool = False, threads: int = 0) -> Runner:
    """Open a file in ONNX Runtime.

    Raises: as `open_file`.
    """
    check_packages(("onnxruntime",))
    head = read_head(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what is wrong is said in an exception
    if quick:
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # each kind of damage has a class of its own there
        raise DataError(f"{path} is refused by ONNX Runtime: {_first_line(error)}") from None
    (given,), (made,) = session.get_inputs(), session.get_outputs()

    def run(inputs: Any) -> Numbers:
        found: Numbers = session.run([made.name], {given.name: inputs})[0]
        return found

    return Runner(head, run)


def open_openvino(path: Path) -> Runner:
    """Open a file in OpenVINO, in float32.

    Raises: as `open_file`.
    """
    check_packages(("openvino",))
    import openvino

    core = openvino.Core()
    try:
        model = core.read_model(path)
        texts = {
            key: model.get_rt_info([key]).astype(str)
            for key in model.get_rt_info()
            if key.startswith(METADATA)
        }
        head = head_of(json_texts(texts), path)
        compiled = core.compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        )
    except RuntimeError as error:
        raise DataError(f"{path} is refused by OpenVINO: {_first_line(error)}") from None

    def run(inputs: Any) -> Numbers:
        found: Numbers = np.array(compiled(inputs)[0])
        return found

    return Runner(head, run)


def json_texts(texts: dict[str, str]) -> dict[str, str]:
    """Return OpenVINO's metadata under the names of ONNX's, which may have a dot."""
    return {key.replace("_mean_image", ".mean_image"): value for key, value in texts.items()}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def find_file(run: Path, runtime: Runtime, weights: str = "same") -> Path:
    """Return the exported file of a run or model, or the file itself if one is given.

    Raises: DataError if there is none, or it was made of other weights than the run has now.
    """
    if run.suffix in SUFFIXES and not run.is_dir():
        return run
    folder = run / "model" if (run / "model").is_dir() else run
    path = exported_path(folder, runtime, weights)
    if not run.exists():
        raise DataError(f"{run} does not exist{nearest_beside(run)}")
    if not path.is_file():
        more = "" if weights == "same" else f" --weights {weights}"
        raise DataError(
            f"{run} has no {path.name}; make it with: alexnet export {run} --to {runtime}{more}"
        )
    return path


def exported_path(folder: Path, to: str, weights: str = "same") -> Path:
    """Return where the export of a model's folder is written unless told otherwise: beside it."""
    suffixes = {
        "onnx": ".onnx",
        "openvino": ".xml",
        "safetensors": ".safetensors",
        "torch": ".pth",
        "caffe": ".caffemodel",
        "huggingface": "-huggingface",
    }
    rounded = "" if weights == "same" else f"-{weights}"
    return folder.parent / f"{folder.name}{rounded}{suffixes[to]}"


def check_same_model(run: Path, runner: Runner, path: Path) -> None:
    """Refuse a file that was made of other weights than a run has now.

    Raises: DataError if it was.
    """
    manifest = next(
        (
            each
            for each in (run / "model" / "manifest.json", run / "manifest.json")
            if each.is_file()
        ),
        None,
    )
    if manifest is None or not runner.head.model:
        return
    try:
        digest = json.loads(manifest.read_bytes()).get("digest")
    except (ValueError, AttributeError):
        raise DataError(f"{manifest} is damaged: it is not JSON; use another copy") from None
    if digest != runner.head.model:
        raise DataError(
            f"{path} was made of other weights than {run} has now; export it again, or give the "
            "file itself"
        )


def predict_by(runner: Runner, sources: Iterable[str], *, top: int = 5) -> Iterator[Prediction]:
    """Yield the ranked labels of each picture, in the order given.

    A picture that cannot be read yields a Prediction with its error; the others go on.
    """
    size = int(runner.head.preprocessing["picture_size"])
    remaining = iter(sources)

    def read(name: str) -> Picture | str:
        return open_picture(name, size, scale=resize_numpy)

    with ThreadPoolExecutor() as pool:
        while names := list(islice(remaining, BATCH_SIZE)):
            pictures = list(pool.map(read, names))
            good = [picture for picture in pictures if not isinstance(picture, str)]
            answers = iter(runner.answer(np.stack(good)) if good else ())
            for name, picture in zip(names, pictures, strict=True):
                if isinstance(picture, str):
                    yield Prediction(name, error=picture)
                else:
                    yield Prediction(name, labels=_rank(next(answers), runner.head.classes, top))


def _rank(p: Numbers, classes: tuple[str, ...], top: int) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-p, kind="stable")[:top].tolist()
    return tuple((classes[i], float(p[i])) for i in order)
