"""What we write is read by BVLC Caffe: needs ALEXNET_CAFFE, the path of its program `caffe`."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.databases import create_database, open_database
from alexnet.text import wire
from alexnet.text.blobs import load_mean
from alexnet.text.datum import decode_datum, make_datum
from alexnet.text.weights import State, load_state, load_weights, save_state, save_weights

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"
CAFFE = os.environ.get("ALEXNET_CAFFE", "")
pytestmark = pytest.mark.skipif(not CAFFE, reason="ALEXNET_CAFFE names no program")


def caffe(folder: Path, program: str, *arguments: str) -> str:
    command = [str(Path(CAFFE).with_name(program)), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("net.prototxt", "solver.prototxt", "solver_h5.prototxt"):
        shutil.copy(GOLDEN / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_caffe_takes_weights_that_we_wrote(folder: Path, suffix: str) -> None:
    net = wire.load(GOLDEN / "tiny_iter_2.caffemodel", "NetParameter")
    path = folder / f"ours.caffemodel{suffix}"
    save_weights(path, net)

    none = (folder / "solver.prototxt").read_text().replace("max_iter: 2", "max_iter: 0")
    (folder / "solver.prototxt").write_text(none)

    caffe(folder, "caffe", "train", "--solver=solver.prototxt", f"--weights={path}")

    after = load_weights(folder / "tiny_iter_0.caffemodel")
    for layer, blobs in load_weights(GOLDEN / "tiny_iter_2.caffemodel").items():
        for ours, theirs in zip(blobs, after[layer], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("solver", "suffix"), [("solver", ""), ("solver_h5", ".h5")])
def test_caffe_resumes_from_a_state_that_we_wrote(folder: Path, solver: str, suffix: str) -> None:
    stem = "tiny_h5_iter_2" if suffix else "tiny_iter_2"
    longer = (folder / f"{solver}.prototxt").read_text().replace("max_iter: 2", "max_iter: 4")
    (folder / f"{solver}.prototxt").write_text(longer)
    after = []
    for ours in (False, True):
        for kind in ("caffemodel", "solverstate"):
            shutil.copy(GOLDEN / f"{stem}.{kind}{suffix}", folder)
        if ours:
            state = load_state(GOLDEN / f"{stem}.solverstate{suffix}")
            (folder / f"{stem}.solverstate{suffix}").unlink()
            save_state(folder / f"{stem}.solverstate{suffix}", state)
        caffe(
            folder,
            "caffe",
            "train",
            f"--solver={solver}.prototxt",
            f"--snapshot={stem}.solverstate{suffix}",
        )
        after.append(load_weights(folder / f"{stem.replace('2', '4')}.caffemodel{suffix}"))
    for layer, blobs in after[0].items():
        for one, other in zip(blobs, after[1][layer], strict=True):
            np.testing.assert_array_equal(one, other)


def test_caffe_refuses_a_state_whose_history_is_too_short(folder: Path) -> None:
    shutil.copy(GOLDEN / "tiny_iter_2.caffemodel", folder)
    state = load_state(GOLDEN / "tiny_iter_2.solverstate")
    save_state(
        folder / "short.solverstate", State(2, 1, "tiny_iter_2.caffemodel", state.history[1:])
    )
    with pytest.raises(AssertionError, match="Incorrect length of history blobs"):
        caffe(folder, "caffe", "train", "--solver=solver.prototxt", "--snapshot=short.solverstate")


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_caffe_takes_the_mean_of_a_database_that_we_wrote(folder: Path, backend: str) -> None:
    with (
        open_database(GOLDEN / "raw_lmdb") as golden,
        create_database(folder / "ours", backend) as ours,
    ):
        for key, value in golden:
            pixels, label = decode_datum(value)
            assert make_datum(pixels, label) == value
            ours.put(key, value)

    caffe(folder, "compute_image_mean", f"-backend={backend.lower()}", "ours", "mean.binaryproto")

    mean, golden_mean = (load_mean(place / "mean.binaryproto") for place in (folder, GOLDEN))
    np.testing.assert_array_equal(mean, golden_mean)


def test_caffe_reads_a_large_database_of_ours(folder: Path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (2500, 1, 40, 40), dtype=np.uint8)
    with create_database(folder / "ours", "LMDB") as ours:
        for index, picture in enumerate(pixels):
            ours.put(b"%08d" % index, make_datum(picture, index % 10))

    caffe(folder, "compute_image_mean", "-backend=lmdb", "ours", "mean.binaryproto")

    expected = pixels.astype(np.float64).mean(axis=0)
    # Caffe sums 2,500 values in float32.
    np.testing.assert_allclose(load_mean(folder / "mean.binaryproto"), expected, rtol=1e-5)
