"""docs/convolution.md: what it prints is what is printed, and its pictures are those we draw."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from alexnet.cli import run
from tests.layout import ROOT

GUIDE = ROOT / "docs" / "convolution.md"
TEXT = GUIDE.read_text(encoding="ascii")
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[(?P<words>.+?)\]\((?P<path>.+?)\)")
LINK = re.compile(r"\]\((?P<path>[^)#]+)\)")


def blocks(kind: str) -> list[tuple[int, str]]:
    """Return the line before each block of a kind, and its text."""
    return [
        (TEXT.count("\n", 0, each.start("code")), each["code"])
        for each in BLOCK.finditer(TEXT)
        if each["kind"] == kind
    ]


def test_every_piece_of_the_guide_prints_what_the_guide_says() -> None:
    parser, names = doctest.DocTestParser(), {"__name__": "guide"}
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for line, code in blocks("pycon"):
        piece = parser.get_doctest(code, names, "docs/convolution.md", str(GUIDE), line)
        runner.run(piece, out=said.append, clear_globs=False)
        names = piece.globs
    assert not said, "".join(said)
    assert runner.summarize(verbose=False).attempted > 80


def test_every_piece_that_starts_with_a_prompt_is_run() -> None:
    run = sum(code.count(">>> ") for _, code in blocks("pycon"))
    assert TEXT.count("\n>>> ") == run
    assert {each["kind"] for each in BLOCK.finditer(TEXT)} == {"pycon", "bash", "text"}


def test_every_file_that_the_guide_links_to_is_there() -> None:
    paths = [each["path"] for each in LINK.finditer(TEXT)]
    assert len(paths) > 10
    assert not [path for path in paths if not (GUIDE.parent / path).is_file()]


def test_every_option_that_the_guide_types_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for _, code in blocks("bash") for line in code.splitlines()]
    assert len(lines) == 3
    for line in lines:
        program, command, *rest = shlex.split(line)
        assert program == "alexnet"
        assert run([command, "--help"]) == 0
        known = capsys.readouterr().out
        assert not [each for each in rest if each.startswith("--") and f"{each} " not in known]


def test_the_guide_shows_every_picture_that_is_drawn_and_no_other(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import convolution_pictures

    drawn = {file.name for file in convolution_pictures.draw(tmp_path)}
    assert {Path(each["path"]).name for each in PICTURE.finditer(TEXT)} == drawn
    assert {file.name for file in (GUIDE.parent / "convolution").iterdir()} == drawn


def test_pictures_are_drawn_to_the_same_bytes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import convolution_pictures

    first = convolution_pictures.draw(tmp_path)
    before = [file.read_bytes() for file in first]
    convolution_pictures.main(["--folder", str(tmp_path)])
    assert capsys.readouterr().out.split() == [str(file) for file in first]
    assert [file.read_bytes() for file in first] == before


def test_numbers_in_the_pictures_are_those_of_the_definition() -> None:
    pytest.importorskip("matplotlib")
    import numpy as np

    from benchmarks.convolution_pictures import KERNEL, PICTURE, correlate
    from tests.oracles import convolution as oracle

    wanted = oracle.correlate(
        PICTURE[None, None].astype(float), KERNEL[None, None].astype(float), stride=2, padding=1
    )
    found = correlate(np.pad(PICTURE, 1), KERNEL, stride=2)
    assert np.array_equal(found, wanted[0, 0])  # whole numbers
