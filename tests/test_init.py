"""The package's face: what `import alexnet` offers, and how quickly."""

import subprocess
import sys
from pathlib import Path

import torch

import alexnet
from alexnet.model import save_model
from tests.export.conftest import make_model


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, alexnet; print({'torch', 'numpy', 'huggingface_hub'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"


def test_a_model_is_opened_from_its_folder(tmp_path: Path, tiny_net: str) -> None:
    wanted = make_model(tiny_net)
    save_model(wanted, tmp_path / "model")
    opened = alexnet.from_pretrained(tmp_path / "model")
    assert opened.classes == wanted.classes
    for name, tensor in opened.net.state_dict().items():
        assert torch.equal(tensor, wanted.net.state_dict()[name])
