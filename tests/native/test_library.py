"""Finding the kernels, and doing without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from alexnet.native import library


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process look for kernels anew."""
    monkeypatch.setattr(library, "_found", [])
    library.load.cache_clear()


def test_this_machine_has_kernels() -> None:
    """The tests of the kernels would skip silently otherwise; a C++ compiler is required here."""
    assert library.library() is not None


def test_the_widest_form_that_the_processor_runs_is_taken() -> None:
    assert library._paths_of("AVX512") == ("avx512", "avx2", "portable")
    assert library._paths_of("AVX2") == ("avx2", "portable")
    assert library._paths_of("DEFAULT") == ("portable",)


@pytest.mark.usefixtures("fresh")
def test_that_form_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(library, "_open", lambda file: opened.append(file.name))
    library.library()
    widest = library._paths_of(torch.backends.cpu.get_cpu_capability())[0]
    assert opened[0].startswith(f"kernels_{widest}.")


@pytest.mark.usefixtures("fresh")
def test_without_kernels_one_warning_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_file", lambda path: None)
    with pytest.warns(RuntimeWarning, match="Install a C\\+\\+ compiler") as seen:
        assert library.library() is None
    assert library.library() is None
    assert len(seen) == 1


@pytest.mark.usefixtures("fresh")
def test_the_environment_can_choose_a_form_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.CHOICE, "portable")
    chosen = library.library()
    assert chosen is library.load("portable")
    library._found.clear()
    monkeypatch.setenv(library.CHOICE, "torch")
    assert library.library() is None


def test_an_unknown_form_names_the_known() -> None:
    with pytest.raises(
        ValueError, match="no kernels are called 'avx521'; choose one of avx512, avx2, portable"
    ):
        library.load("avx521")


@pytest.mark.usefixtures("fresh")
def test_a_form_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(OSError, match="this processor cannot run the kernels avx2"):
        library.load("avx2")


@pytest.mark.usefixtures("fresh")
def test_a_form_that_is_not_built_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_file", lambda path: None)
    with pytest.raises(OSError, match="portable are not built; install a C\\+\\+ compiler"):
        library.load("portable")


def test_kernels_are_not_older_than_their_source() -> None:
    """After a change of the source: pip install -e . again, or make test."""
    folder = Path(library.__file__).parent
    newest = max(path.stat().st_mtime for path in folder.glob("*.[ch]*") if path.suffix != ".so")
    for path in library.PATHS:
        file = library._file(path)
        assert file is None or file.stat().st_mtime >= newest, f"{file} is older than its source"


def test_a_net_answers_without_kernels_in_a_process_of_its_own() -> None:
    code = (
        "import torch; from alexnet.nets import find\n"
        "net = find('alexnet').build(classes=3, input_size=67).eval()\n"
        "net.init_weights(torch.Generator().manual_seed(0))\n"
        "x = torch.randn(2, 3, 67, 67, generator=torch.Generator().manual_seed(1))\n"
        "print(net(x).flatten().tolist())\n"
    )
    answers = []
    for choice in ("torch", ""):
        environment = {**os.environ, library.CHOICE: choice}
        command = [sys.executable, "-W", "error", "-c", code]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        answers.append(torch.tensor([float(v) for v in result.stdout.strip("[]\n").split(",")]))
    torch.testing.assert_close(*answers)
