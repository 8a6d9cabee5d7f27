"""The whole way once, on real pictures that come with a package: train, test, predict.

4,000 MNIST digits train the full net at 227 x 227 pixels, 1,000 others test it.
"""

from dataclasses import replace
from pathlib import Path

from alexnet.data.digits import write_digits
from alexnet.evaluation.metrics import Counts
from alexnet.model import open_model
from alexnet.predict import Prediction, predict
from alexnet.training import setup
from alexnet.training.loop import train
from alexnet.training.recipes import DIGITS

SHOWN = 6


def run_demo(folder: Path) -> tuple[Counts, list[Prediction]]:
    """Train on the digits, test, and predict a few from the saved model.

    The run is written to `folder`, the pictures to `folder`/digits.

    Raises: PackageMissing if the package with the digits is not installed, GuardStop if training
            fails, ValueError if `folder` is not empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; choose another --out, or remove it")
    digits = folder / "digits"
    write_digits(digits)
    counts = train(setup.start(replace(DIGITS, data=str(digits)), folder / "run"))
    pictures = [str(sorted((digits / "val" / str(n)).iterdir())[n]) for n in range(SHOWN)]
    answers = list(predict(open_model(folder / "run"), pictures, top=3))
    return counts, answers
