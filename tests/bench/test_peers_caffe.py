"""Caffe: the definition that it is given, and the reading of what it prints."""

from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.bench.case import Case
from alexnet.bench.peers_caffe import inference, prototxt, training

PRINTED = """\
I0101 10:00:00.000001  4711 caffe.cpp:352] Use CPU.
I0101 10:00:02.000001  4711 caffe.cpp:364] Performing Forward
I0101 10:00:02.500001  4711 caffe.cpp:369] Initial loss: 6.9
I0101 10:00:02.500002  4711 caffe.cpp:370] Performing Backward
I0101 10:00:03.000001  4711 caffe.cpp:378] *** Benchmark begins ***
I0101 10:00:03.000002  4711 caffe.cpp:379] Testing for 3 iterations.
I0101 10:00:04.000001  4711 caffe.cpp:407] Iteration: 1 forward-backward time: 903 ms.
I0101 10:00:06.000001  4711 caffe.cpp:410] Average time per layer:
I0101 10:00:06.000002  4711 caffe.cpp:413]      conv1	forward: 101.5 ms.
I0101 10:00:06.000003  4711 caffe.cpp:416]      conv1	backward: 90.2 ms.
I0101 10:00:06.000004  4711 caffe.cpp:421] Average Forward pass: 431.25 ms.
I0101 10:00:06.000005  4711 caffe.cpp:423] Average Backward pass: 470.1 ms.
I0101 10:00:06.000006  4711 caffe.cpp:425] Average Forward-Backward: 901.5 ms.
I0101 10:00:06.000007  4711 caffe.cpp:427] Total Time: 2704.5 ms.
I0101 10:00:06.000008  4711 caffe.cpp:428] *** Benchmark ends ***
"""


@pytest.fixture
def caffe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a caffe that notes how it was called and prints what the real one prints."""
    program = tmp_path / "caffe"
    (tmp_path / "printed").write_text(PRINTED)
    program.write_text(
        f'#!/bin/sh\necho "$@" threads $OMP_NUM_THREADS > {tmp_path}/words\n'
        f'cp "${{2#-model=}}" {tmp_path}/net.prototxt\ncat {tmp_path}/printed >&2\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("ALEXNET_CAFFE", str(program))
    return program


def test_its_own_averages_are_taken(case: Case, caffe: Path) -> None:
    theirs = training(replace(case, threads=2))
    assert theirs.lap(3) == 0.9015
    words = (caffe.parent / "words").read_text().split()
    assert words[0] == "time"
    assert words[2:] == ["-phase=TRAIN", "-iterations=3", "threads", "2"]
    assert (caffe.parent / "net.prototxt").read_text() == prototxt(replace(case, threads=2))
    assert (theirs.precision, theirs.answer) == ("fp32", None)
    assert inference(case).lap(1) == 0.43125
    assert "-phase=TEST" in (caffe.parent / "words").read_text()


def test_what_it_says_when_it_fails_is_passed_on(case: Case, caffe: Path) -> None:
    caffe.write_text("#!/bin/sh\necho unknown layer type >&2\nexit 3\n")
    message = "caffe time ended with code 3 and no average; it said: unknown layer type"
    with pytest.raises(OSError, match=message):
        training(case).lap(1)


def test_the_definition_is_the_published_net() -> None:
    text = prototxt(Case(net="bvlc-alexnet", batch=64))
    assert "dim: 64 dim: 3 dim: 227 dim: 227" in text
    assert 'type: "Convolution" bottom: "pool1" top: "conv2"' in text
    assert "num_output: 256 kernel_size: 5 stride: 1 pad: 2 group: 2" in text
    assert "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 k: 1 }" in text
    assert text.count('type: "Convolution"') == 5
    assert text.count('type: "InnerProduct"') == 3
    assert text.count("{") == text.count("}")
    assert "round_mode" not in text
    assert "alpha: 0.0005 beta: 0.75 k: 2" in prototxt(Case())  # the paper's, not divided
    # 56 maps do not divide by two: Caffe would round up, the paper's net rounds down
    assert prototxt(Case(input_size=231)).count("round_mode: FLOOR") == 3


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        ("keras", 0, "caffe pads all sides alike, keras does not; use --net bvlc-alexnet"),
        ("torchvision", 67, "caffe has no average pool from 1 to 6 pixels; use --input-size 224"),
    ],
)
def test_what_caffe_lacks_is_refused(case: Case, net: str, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prototxt(replace(case, net=net, input_size=size))


def test_torchvisions_net_needs_no_pool_of_averages() -> None:
    text = prototxt(Case(net="torchvision"))
    assert "pad: 2 group: 1" in text
    assert 'name: "fc6" type: "InnerProduct" bottom: "pool5"' in text
