"""Ask BVLC Caffe how its solvers train a small net, and keep the weights that it ends with.

    python -m tests.golden.make_caffe_solvers path/to/caffe

The program given is the `caffe` of BVLC Caffe 1.0, built with CPU_ONLY and HDF5. It trains for 50
updates from fixed weights on fixed data, once for each case below. tests/caffe/test_golden.py
trains the same nets here; both read the texts in this file.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "caffe_solvers"
STEPS, PICTURES, SIDE, CLASSES = 50, 30, 12, 5

NET = """
name: "small"
layer {
  name: "data" type: "HDF5Data" top: "data" top: "label"
  include { phase: TRAIN } hdf5_data_param { source: "list.txt" batch_size: 8 }
}
layer {
  name: "data" type: "HDF5Data" top: "data" top: "label"
  include { phase: TEST } hdf5_data_param { source: "list.txt" batch_size: 10 }
}
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 3 }
}
layer {
  name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
layer {
  name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  param { lr_mult: 0.5 decay_mult: 2 } param { lr_mult: 0 }
  convolution_param { num_output: 12 kernel_size: 3 pad: 1 }
}
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer {
  name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 }
}
layer {
  name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 24 }
}
layer { name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }
layer {
  name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 5 }
}
layer {
  name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss"
}
layer {
  name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include { phase: TEST }
}
"""

SOLVER = """
net: "net.prototxt" max_iter: 50 display: 10 average_loss: 3
test_iter: 3 test_interval: 25 test_compute_loss: true
snapshot: 25 snapshot_prefix: "snapshot" snapshot_format: HDF5
solver_mode: CPU random_seed: 1
"""

SGD = 'type: "SGD" momentum: 0.9 weight_decay: 0.005 base_lr: 0.02 '
INV = 'lr_policy: "inv" gamma: 0.05 power: 0.75 '
CASES = {
    "sgd": SGD + INV,
    "nesterov": SGD.replace("SGD", "Nesterov") + INV,
    "adagrad": 'type: "AdaGrad" weight_decay: 0.005 base_lr: 0.01 lr_policy: "fixed"',
    "rmsprop": 'type: "RMSProp" weight_decay: 0.005 base_lr: 0.002 rms_decay: 0.98 ' + INV,
    "adadelta": 'type: "AdaDelta" momentum: 0.95 weight_decay: 0.005 base_lr: 1 delta: 1e-6 '
    'lr_policy: "fixed"',
    "adam": 'type: "Adam" momentum: 0.9 momentum2: 0.999 weight_decay: 0.005 base_lr: 0.002 ' + INV,
    "iter_size": SGD + INV + "iter_size: 2",
    "clip": SGD + INV + "clip_gradients: 0.35",
    "l1": SGD + INV + 'regularization_type: "L1"',
    "adam_l1_clip_iter_size": 'type: "Adam" momentum: 0.9 weight_decay: 0.005 base_lr: 0.002 '
    'lr_policy: "fixed" regularization_type: "L1" clip_gradients: 0.35 iter_size: 2',
    "fixed": SGD + 'lr_policy: "fixed"',
    "step": SGD + 'lr_policy: "step" gamma: 0.6 stepsize: 12',
    "multistep": SGD
    + 'lr_policy: "multistep" gamma: 0.5 stepvalue: 10 stepvalue: 11 stepvalue: 30',
    "exp": SGD + 'lr_policy: "exp" gamma: 0.97',
    "poly": SGD + 'lr_policy: "poly" power: 1.5',
    "sigmoid": SGD + 'lr_policy: "sigmoid" gamma: 0.2 stepsize: 25',
}


def make_data() -> dict[str, NDArray[np.float32]]:
    """Return pictures whose class shows, and weights to start from."""
    rng = np.random.default_rng(2012)
    labels = np.arange(PICTURES) % CLASSES
    pictures = rng.normal(size=(PICTURES, 1, SIDE, SIDE))
    for picture, label in zip(pictures, labels, strict=True):
        picture[0, 2 * label : 2 * label + 3] += 0.8
    made = {"data": pictures, "label": labels.astype(float)}
    shapes = {"conv1": (8, 1, 3, 3), "conv2": (12, 8, 3, 3), "ip1": (24, 48), "ip2": (5, 24)}
    for layer, shape in shapes.items():
        made[f"{layer}/0"] = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        made[f"{layer}/1"] = rng.normal(size=shape[0]) * 0.1
    return {name: values.astype(np.float32) for name, values in made.items()}


def write_inputs(folder: Path, values: dict[str, NDArray[np.float32]]) -> None:
    """Write the net, its data and its first weights as Caffe reads them."""
    (folder / "net.prototxt").write_text(NET)
    (folder / "list.txt").write_text("data.h5\n")
    with h5py.File(folder / "data.h5", "w") as file:
        for name in ("data", "label"):
            file[name] = values[name]
    with h5py.File(folder / "start.caffemodel.h5", "w") as file:
        for name in values:
            if "/" in name:
                file[f"data/{name}"] = values[name]


def main(program: str) -> None:
    """Write one file with data and first weights, and one with the last weights of each case."""
    FOLDER.mkdir(exist_ok=True)
    values = make_data()
    np.savez_compressed(FOLDER / "start.npz", **values)  # type: ignore[arg-type]
    for case, settings in CASES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_inputs(folder, values)
            (folder / "solver.prototxt").write_text(SOLVER + settings)
            command = [program, "train", "--solver=solver.prototxt"]
            run = subprocess.run(
                [*command, "--weights=start.caffemodel.h5"],
                cwd=folder,
                check=True,
                text=True,
                stderr=subprocess.PIPE,
            )
            keep(case, folder, run.stderr)


def keep(case: str, folder: Path, log: str) -> None:
    """Store the last weights and history of a case, and the lines of its log that we print too."""
    kept: dict[str, NDArray[np.generic]] = {}
    with h5py.File(folder / f"snapshot_iter_{STEPS}.caffemodel.h5") as file:
        for layer in ("conv1", "conv2", "ip1", "ip2"):
            for index in ("0", "1"):
                kept[f"{layer}/{index}"] = file[f"data/{layer}/{index}"][...]
    with h5py.File(folder / f"snapshot_iter_{STEPS}.solverstate.h5") as file:
        kept["current_step"] = file["current_step"][...]
        for index, history in file["history"].items():
            kept[f"history/{index}"] = history[...]
    lines = [line.split("] ", 1)[-1] for line in log.splitlines()]
    words = ("Iteration", "net output", "Gradient", "MultiStep", "Test loss", "Solving", "Optim")
    kept["log"] = np.array([line for line in lines if any(word in line for word in words)])
    np.savez_compressed(FOLDER / f"{case}.npz", **kept)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1])
