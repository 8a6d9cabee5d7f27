"""The flags of convert_imageset: Caffe's names and defaults, without a heavy import."""

import subprocess
import sys
from dataclasses import asdict

from alexnet.caffe.imageset_options import Options


def test_flags_and_defaults_are_the_originals() -> None:
    assert asdict(Options()) == {
        "gray": False,
        "shuffle": False,
        "backend": "lmdb",
        "resize_width": 0,
        "resize_height": 0,
        "check_size": False,
        "encoded": False,
        "encode_type": "",
    }


def test_the_module_imports_nothing_heavy() -> None:
    code = "import sys, alexnet.caffe.imageset_options; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
