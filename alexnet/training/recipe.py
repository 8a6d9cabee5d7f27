"""A recipe: every choice of a training run in one frozen value.

The command line's options are its fields, a run saves it as `recipe.toml`, and that file runs the
same training again. This module imports nothing heavy: `--help` is made from it.
"""

import ast
import inspect
import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from alexnet.nearest import nearest

Schedule = Literal["plateau", "constant", "steps", "dexp", "poly", "cosine"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome of a training run."""

    data: str = ""
    """Folder with a sub-folder of pictures per class; the command line gives it first."""
    net: str = "alexnet"
    """Net to train: a name that `alexnet summary` knows, or a .prototxt of Caffe's."""
    init: Literal["source", "normalised"] = "source"
    """Initial weights as the net's source has them, or scaled to outputs of deviation 1, which
    nets with batch norm need not."""
    epochs: int = 90
    """Passes over the training pictures."""
    steps: int = 0
    """Stop after this many updates; 0 leaves it to the epochs."""
    minutes: float = 0.0
    """End after this much training if the epochs take longer, the rate falling in time; 0 does not.
    How far such a run comes depends on the machine, so it is not repeatable bit for bit."""
    batch: int = 128
    """Pictures per update."""
    fc_batch: int = 0
    """Variable batch of one weird trick (2014): the fully connected layers are updated after each
    so many pictures, the convolutional ones after the whole batch; 0 updates all together."""
    lr: float = 0.01
    """Learning rate at the start, for weights."""
    lr_batch: int = 0
    """Pictures per update that lr is meant for: the rate grows in proportion to the batch, that of
    the fully connected layers to fc_batch where it is given; 0 takes lr as it is."""
    schedule: Schedule = "plateau"
    """How the rate falls. plateau: by ten whenever the validation error stops improving."""
    warmup_epochs: float = 0.0
    """Epochs over which the rate rises from a tenth; 0 starts with the whole rate."""
    patience: int = 5
    """plateau: validations without a better error before the rate is divided by ten."""
    drops: int = 3
    """plateau: divisions by ten; training ends when one more would be due."""
    milestones: tuple[float, ...] = ()
    """steps: epochs at which the rate is divided by ten."""
    lr_factor: float = 250.0
    """dexp: by how much the rate has fallen at the end."""
    lr_steps: int = 4
    """dexp: number of rates."""
    power: float = 1.0
    """poly: the exponent."""
    early_stop: int = 0
    """Validations without a better error before training ends; 0 goes on to the last epoch."""
    target_error: float = 0.0
    """End with the first validation whose top-1 error is below this share; 0 goes on."""
    optimizer: Literal["sgd", "lars"] = "sgd"
    """The paper's update, or lars, where each tensor has a rate in proportion to its norm, for
    batches of thousands of pictures."""
    trust: float = 0.001
    """lars: the share of its norm that a tensor moves by in an update at rate 1. Biases and the
    like keep the rate as it is, times bias_lr."""
    momentum: float = 0.9
    """Share of the velocity that is kept from update to update."""
    weight_decay: float = 0.0005
    """Decay of the weights, times the rate."""
    bias_lr: float = 1.0
    """Factor on the rate for biases; the program of 2012 had 2."""
    bias_decay: float = 1.0
    """Factor on the decay for biases; the program of 2012 had 0."""
    layer_lr: dict[str, float] = field(default_factory=dict)
    """Factors on the rate by layer or parameter, such as conv1=0 (frozen) or fc8.bias=2."""
    clip_norm: float = 0.0
    """Largest Euclidean norm of the whole gradient; 0 does not clip."""
    accumulate: int = 1
    """Parts into which a batch is cut to save memory; only dropout's masks and what batch norm
    takes its statistics over change."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    crop: Literal["random", "random-resized", "centre"] = "random"
    """Training windows: the paper's crops, windows of random area and shape, or the centre only."""
    smallest_area: float = 0.35
    """random-resized: smallest share of the picture's area in a window."""
    flip: bool = True
    """Mirror half of the training pictures; switch off where left and right mean something."""
    lighting: float = 0.1
    """PCA lighting, in standard deviations of the training set's principal colours; 0 is off."""
    subtract: Literal["mean-image", "mean-value", "none"] = "mean-image"
    """Subtract the mean of each pixel (the paper), of each colour, or nothing."""
    divide_by: float = 1.0
    """Divide the inputs by this many grey levels; the paper does not, 64 gives a deviation of 1."""
    picture_size: int = 256
    """Pictures are resized to this shorter side and their centre square is kept, in pixels."""
    input_size: int = 0
    """Width of the crop that the net sees, in pixels; 0 takes the net's own."""
    validation_share: float = 0.1
    """Share of each class that is held out where the data have no val/ folder."""
    validate_on: Literal["held-out", "training"] = "held-out"
    """What errors are counted on: the validation pictures, or as many of those trained on, evenly
    spread and seen as at a test, which tells how well they are learned and nothing more."""
    keep_model: Literal["best", "last"] = "best"
    """The model that a run leaves: with the lowest validation error, or the last."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the net; weights are float32 always. auto: bf16 where the chip has it."""
    convolution: str = "native"
    """What convolutions are computed by: native (torch's own), auto (measures each once and takes
    the quickest), direct, im2col, fft, winograd, or winograd-M for tiles of M outputs a side. All
    but native need a CPU. auto repeats a run bit for bit where its choices are remembered."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the net runs."""
    seed: int = 0
    """Seed of weights, order, crops, lighting and dropout."""
    workers: int = 0
    """Threads that decode pictures; 0 takes one per core."""
    cache_gib: float = 4.0
    """Decoded pictures are kept in memory if all of them fit into this many GiB."""
    on_bad_image: Literal["skip", "stop"] = "skip"
    """What a picture that cannot be read does; more than 1 % of them stop the run always."""
    on_nan: Literal["rollback", "stop"] = "rollback"
    """What a loss that is no number does. rollback: training goes back to the last checkpoint and
    on with half the rate, three times at most; where that is depends on the clock, so such a run
    is not repeatable bit for bit. Without a checkpoint it stops."""
    validate_every: int = 1
    """Epochs between two validations; the last epoch always ends with one."""
    report_every: int = 20
    """Updates between two lines of the journal."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints; one is written at each epoch's end in any case."""
    disk_wait_minutes: float = 5.0
    """Minutes to wait for room on a full disk before the run ends, to be resumed later. Several
    processes wait for the one that writes for 10 at most."""
    stuck_after: int = 5000
    """Updates after which a loss that still is ln(classes) stops the run; 0 never does. On ImageNet
    runs have left that plateau after some thousand updates."""

    def __post_init__(self) -> None:
        for name, rule, holds in self._rules():
            if not holds:
                value = asdict(self)[name]
                raise ValueError(f"{name} is {value!r}; it must be {rule}")

    def _rules(self) -> list[tuple[str, str, bool]]:
        highest = 100 if self.optimizer == "lars" else 10  # of a rate that still is no slip
        return [
            ("epochs", "at least 1", self.epochs >= 1),
            ("steps", "0 or more", self.steps >= 0),
            ("minutes", "0 or more", self.minutes >= 0),
            ("batch", "at least 1", self.batch >= 1),
            (
                "fc_batch",
                f"0 or a divisor of the batch, {self.batch}",
                self.fc_batch == 0 or (self.fc_batch > 0 and self.batch % self.fc_batch == 0),
            ),
            ("lr", f"above 0 and at most {highest}", 0 < self.lr <= highest),
            ("lr_batch", "0 or more", self.lr_batch >= 0),
            ("warmup_epochs", "0 or more", self.warmup_epochs >= 0),
            ("patience", "at least 1", self.patience >= 1),
            ("drops", "0 or more", self.drops >= 0),
            ("lr_factor", "at least 1", self.lr_factor >= 1),
            ("lr_steps", "at least 1", self.lr_steps >= 1),
            ("power", "0 or more", self.power >= 0),
            ("early_stop", "0 or more", self.early_stop >= 0),
            ("target_error", "at least 0 and below 1", 0 <= self.target_error < 1),
            ("trust", "above 0", self.trust > 0),
            ("momentum", "at least 0 and below 1", 0 <= self.momentum < 1),
            ("weight_decay", "at least 0 and below 1", 0 <= self.weight_decay < 1),
            ("bias_lr", "0 or more", self.bias_lr >= 0),
            ("bias_decay", "0 or more", self.bias_decay >= 0),
            ("layer_lr", "0 or more for each", all(v >= 0 for v in self.layer_lr.values())),
            ("clip_norm", "0 or more", self.clip_norm >= 0),
            ("accumulate", "from 1 to the batch", 1 <= self.accumulate <= self.batch),
            ("label_smoothing", "at least 0 and below 1", 0 <= self.label_smoothing < 1),
            ("smallest_area", "above 0 and at most 1", 0 < self.smallest_area <= 1),
            ("lighting", "0 or more", self.lighting >= 0),
            (
                "subtract",
                "mean-value or none where crop is random-resized: a mean image means nothing there",
                self.crop != "random-resized" or self.subtract != "mean-image",
            ),
            ("divide_by", "above 0", self.divide_by > 0),
            (
                "picture_size",
                "at least 1 and the input size",
                self.picture_size >= max(1, self.input_size),
            ),
            ("input_size", "0 or more", self.input_size >= 0),
            ("validation_share", "above 0 and below 1", 0 < self.validation_share < 1),
            ("workers", "0 or more", self.workers >= 0),
            ("cache_gib", "0 or more", self.cache_gib >= 0),
            ("validate_every", "at least 1", self.validate_every >= 1),
            ("report_every", "at least 1", self.report_every >= 1),
            ("checkpoint_minutes", "above 0", self.checkpoint_minutes > 0),
            ("disk_wait_minutes", "0 or more", self.disk_wait_minutes >= 0),
            ("stuck_after", "0 or more", self.stuck_after >= 0),
        ]

    def to_toml(self) -> str:
        """Return the recipe as a TOML file that `load` reads back equal."""
        return tomli_w.dumps(asdict(self))


def load(path: Path) -> Recipe:
    """Read a recipe file; fields that it leaves out have the values of `paper`.

    Raises: ValueError for TOML errors (line and column), unknown keys (nearest named) and values
            of the wrong type or outside their rule.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from None
    try:
        return override(Recipe(), values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def override(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return the recipe with some fields replaced.

    Raises: ValueError for unknown names (nearest named), wrong types and broken rules.
    """
    hints = get_type_hints(Recipe)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"unknown key {name!r}{nearest(name, hints)}")
        _check_type(name, value, hints[name])
    known = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return replace(recipe, **known)  # type: ignore[arg-type]  # checked against the hints above


def field_help() -> dict[str, str]:
    """Return the docstring below each field of Recipe, by name."""
    body = ast.parse(inspect.getsource(Recipe)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for line, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(line.target, ast.Name) and isinstance(below.value, ast.Constant)
            texts[line.target.id] = str(below.value.value)
    assert list(texts) == [f.name for f in fields(Recipe)]
    return texts


def field_rules(recipe: Recipe) -> dict[str, str]:
    """Return what each field must be that has a rule, beside a recipe's other values."""
    return {name: rule for name, rule, _ in recipe._rules()}


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Raise ValueError unless `value` is what a field of type `hint` may hold."""
    if get_origin(hint) is Literal:
        allowed = get_args(hint)
        if value not in allowed:
            close = nearest(str(value), allowed)
            raise ValueError(f"{name} is {value!r}{close}; it must be one of {', '.join(allowed)}")
        return
    kind: type = get_origin(hint) or hint
    accepted: dict[type, tuple[type, ...]] = {float: (int, float), tuple: (list, tuple)}
    if not isinstance(value, accepted.get(kind, (kind,))) or (
        kind in (int, float) and isinstance(value, bool)
    ):
        raise ValueError(f"{name} is {value!r}; it must be of type {kind.__name__}")
    numbers: list[object] = [value] if kind is float else []
    if isinstance(value, dict):
        numbers = list(value.values())
    elif isinstance(value, list | tuple):
        numbers = list(value)
    for part in numbers:
        if isinstance(part, bool) or not isinstance(part, int | float) or not math.isfinite(part):
            raise ValueError(f"{name} holds {part!r}; it must be a finite number")
