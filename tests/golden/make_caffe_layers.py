"""Ask the original Caffe what its layers give, and keep the answers as golden files.

    python -m tests.golden.make_caffe_layers BUILD/tools/caffe norms vision ...

runs each case of tests/golden/caffe_layers/NAME.txt and writes NAME.npz beside it; the tests only
read these. Bottoms are `Parameter` layers. Each top y is multiplied by a `Parameter` w of its
shape, and the loss is the sum of all products. One step of `caffe train` with rate 1 then leaves
every gradient in the snapshot's HDF5 file (snapshot_diff): that of a bottom or a blob is dloss/dx,
that of w is the top itself. The arrays of a case are x0.. (bottoms), blob0.. (the layer's blobs),
w0.., y0.. (tops), dx0.. and dblob0.. (gradients), and after0.. for blobs that the layer changes.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from tests.golden.layer_cases import FOLDER, Array, Case, read_cases

SOLVER = """
net: "net.prototxt" base_lr: 1 lr_policy: "fixed" momentum: 0 weight_decay: 0 max_iter: {steps}
snapshot_prefix: "made" snapshot_format: HDF5 snapshot_diff: true solver_mode: CPU
display: 0 random_seed: 1
"""
Group = dict[str, Array]


def parameter(name: str, shape: tuple[int, ...]) -> str:
    """Return layers that give a learnable blob.

    A Power layer that does nothing stands behind it: Flatten and Reshape make their top's gradient
    that of their bottom, which a Parameter layer would not see.
    """
    dims = " ".join(f"dim: {size}" for size in shape)
    shape_text = f"parameter_param {{ shape {{ {dims} }} }}"
    return (
        f'layer {{ name: "{name}" type: "Parameter" top: "{name}_own" {shape_text} }}\n'
        f'layer {{ name: "{name}_copy" type: "Power" bottom: "{name}_own" top: "{name}" }}\n'
    )


def net_text(case: Case, tops: list[tuple[int, ...]]) -> str:
    """Return the net of a case; without shapes of the tops it has no loss."""
    text = "".join(parameter(f"x{i}", b.shape) for i, b in enumerate(case.bottoms)) + case.layer
    learns = str(any(b.learns for b in case.bottoms)).lower()
    for i, shape in enumerate(tops):
        text += parameter(f"w{i}", shape)
        text += (
            f'layer {{ name: "loss{i}" type: "Eltwise" bottom: "y{i}" bottom: "w{i}" '
            f'top: "loss{i}" propagate_down: {learns} propagate_down: true loss_weight: 1 '
            "eltwise_param { operation: PROD } }\n"
        )
    return text


def run(caffe: Path, folder: Path, steps: int) -> str:
    """Run `caffe train` in a folder that has net.prototxt and return its log.

    Raises: SystemExit with the log if it fails.
    """
    (folder / "solver.prototxt").write_text(SOLVER.format(steps=steps))
    command = [str(caffe), "train", "--solver", "solver.prototxt"]
    if (folder / "given.h5").exists():
        command += ["--weights", "given.h5"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{(folder / 'net.prototxt').read_text()}")
    return done.stderr


def top_shapes(log: str) -> list[tuple[int, ...]]:
    """Return the shapes of the tops of the layer called "layer", from the log."""
    part = log.split("Setting up layer\n", 1)[1]
    shapes = []
    for line in part.splitlines():
        found = re.search(r"Top shape: ([\d ]*)\(\d+\)", line)
        if not found:
            break
        shapes.append(tuple(int(word) for word in found[1].split()))
    return shapes


def read_groups(path: Path) -> dict[str, dict[str, list[Array]]]:
    """Return the blobs of a snapshot: "data" and "diff", then the layer's name."""
    with h5py.File(path, "r") as file:
        return {
            kind: {
                name: [np.array(layer[str(i)], np.float32) for i in range(len(layer))]
                for name, layer in file[kind].items()
            }
            for kind in ("data", "diff")
        }


def draw(
    content: str, shape: tuple[int, ...], generator: np.random.Generator, limit: int = 0
) -> Array:
    """Return numbers in steps of 1/64, which pack well and make a few of them equal."""
    match content:
        case "labels":
            return generator.integers(limit, size=shape).astype(np.float32)
        case "positive":
            values = generator.uniform(0.25, 2.0, shape)
        case "coarse":
            return np.asarray(generator.integers(-2, 3, shape) / 2, np.float32)
        case "normal":
            values = generator.standard_normal(shape)
        case _:
            raise SystemExit(f"content {content!r} is not known")
    return np.asarray(np.round(values * 64) / 64, np.float32)


def ask(caffe: Path, case: Case, generator: np.random.Generator) -> Group:
    """Return the arrays of a case, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.prototxt").write_text(net_text(case, []))
        shapes = top_shapes(run(caffe, folder, 0))
        own = read_groups(folder / "made_iter_0.caffemodel.h5")["data"].get("layer", [])
        given = {
            f"x{i}": draw(b.content, b.shape, generator, b.limit)
            for i, b in enumerate(case.bottoms)
        }
        given |= {f"w{i}": draw("normal", shape, generator) for i, shape in enumerate(shapes)}
        given |= {f"blob{i}": draw(case.blobs, b.shape, generator) for i, b in enumerate(own)}
        with h5py.File(folder / "given.h5", "w") as file:
            for key, array in given.items():
                blob = key.startswith("blob")
                place = f"data/layer/{key[4:]}" if blob else f"data/{key}/0"
                file[place] = array
        (folder / "net.prototxt").write_text(net_text(case, shapes))
        run(caffe, folder, 1)
        made = read_groups(folder / "made_iter_1.caffemodel.h5")
    found = dict(given)
    for i, bottom in enumerate(case.bottoms):
        if bottom.learns:
            found[f"dx{i}"] = made["diff"][f"x{i}"][0]
    for i in range(len(shapes)):
        found[f"y{i}"] = made["diff"][f"w{i}"][0]
    for i in range(len(own)):
        before, change = given[f"blob{i}"], made["diff"]["layer"][i]
        after = made["data"]["layer"][i]
        if np.array_equal(after, before - change):
            found[f"dblob{i}"] = change
        else:
            found[f"after{i}"] = after
    return found


def main(caffe: Path, names: list[str]) -> None:
    """Make the golden files of these names."""
    for name in names:
        stored: Group = {}
        for number, case in enumerate(read_cases(name)):
            generator = np.random.default_rng([2012, number])
            arrays = ask(caffe, case, generator)
            stored |= {f"{case.name}/{key}": value for key, value in arrays.items()}
        path = FOLDER / f"{name}.npz"
        np.savez_compressed(path, **stored)  # type: ignore[arg-type]  # numpy's hints miss this use
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
