"""The examples of README.md and docs/: found, checked against the program, run or given a reason.

A block of bash is a list of commands. Of each the program must be there, and what it is given must
be understood: by the command line's own parser, without running anything.
"""

import ast
import re
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from alexnet.cli import ONE_DASH, app
from tests.layout import ROOT

BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
KINDS = {"bash", "python", "pycon", "text"}
OTHERS = {"chmod", "curl", "openssl", "source", "ssh"}
"""Programs of the system that examples call."""
SCRIPT = re.compile(r"code=\$\?$|if \[|#!")

NOT_RUN = (
    (r"^make ", "it sets up a machine, or takes long"),
    (r"^pip install ", "it installs packages"),
    (r"^source ", "it is for the shell of a person"),
    (r"^(ssh|openssl|chmod) ", "it is a program of the system"),
    (r"^python -m benchmarks", "it measures"),
    (r"^\w+=\S+ python", "it measures, with a program that is not here"),
    (r"^(srun )?torchrun ", "several processes, which tests/parallel have"),
    (r"alexnet (train|demo|ablate|figure1)\b", "it trains; tests/cli/test_train.py has short ones"),
    (r"alexnet (bench|convolution|doctor|plan)\b", "it measures this machine, or counts long"),
    (
        r"alexnet (caffe|convert bvlc)",
        "it needs files of Caffe's; tests/cli/test_caffe.py has some",
    ),
    (r"my-alexnet", "it needs published weights; tests/export has the way without"),
    (r"alexnet data (fetch|imagenet)", "it needs the network, or ILSVRC"),
    (r"alexnet (figures|data explore)", "it draws for long; tests/cli has both"),
    (r"alexnet localize", "it needs boxes; tests/cli/test_localize.py has some"),
    (r"alexnet serve", "it runs until it is stopped; requests here go to one in a thread"),
    (r"\b(RUN|DATA|FILE|NAME|OLD|NEW)\b", "a word in capitals stands for what a reader has"),
    (r"^code=\$\?|^if \[|^alexnet explain", "it follows a training in a script"),
    (r"cat token", "it asks with a token; tests/serve/test_guard.py does"),
)
"""Which commands are not run, and why."""
PYTHON_NOT_RUN = (('"OWNER/NAME")', "it asks Hugging Face; tests/export asks a server of its own"),)
"""Which pieces of Python are only compiled, and why."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    """Where its code begins."""
    kind: str
    code: str


@dataclass(frozen=True)
class Command:
    """A command of a block."""

    place: str
    """page:line."""
    text: str

    @property
    def words(self) -> list[str]:
        """What the program is given, itself first, without assignments and redirections."""
        words = shlex.split(self.text, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        ends = [place for place, word in enumerate(words) if word in (">", "|", ";", "&&")]
        return words[: ends[0]] if ends else words

    @property
    def reason(self) -> str:
        """Why it is not run, "" if it is."""
        return next((why for what, why in NOT_RUN if re.search(what, self.text)), "")


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, each.start("code")) + 1, each["kind"], each["code"])
        for each in BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """Return the commands of a block of bash; a script is one command, its first line's."""
    if block.code.startswith("#!"):
        lines = block.code.splitlines()
        begins = next(i for i, line in enumerate(lines) if line.startswith("srun "))
        text = " ".join(line.rstrip("\\").strip() for line in lines[begins:])
        return [Command(f"{block.page}:{block.line + begins}", text)]
    found, text, start = [], "", 0
    for number, line in enumerate(block.code.splitlines(), start=block.line):
        start, text = (start, text + " ") if text else (number, "")
        text += line.rstrip("\\").strip()
        if not line.endswith("\\"):
            if shlex.split(text, comments=True):
                found.append(Command(f"{block.page}:{start}", text))
            text = ""
    return found


def wrong(command: Command) -> str:
    """Return what is wrong with a command, or ""."""
    if SCRIPT.match(command.text):
        return ""
    words = command.words
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "srun":
        program, rest = rest[0], rest[1:]
    if program == "torchrun":
        found = [i for i, word in enumerate(rest) if rest[i : i + 2] == ["-m", "alexnet"]]
        return wrong_arguments(rest[found[0] + 2 :]) if found else "torchrun runs no -m alexnet"
    if program == "alexnet":
        return wrong_arguments(rest)
    if program == "python":
        return wrong_module(rest)
    if program == "make":
        return wrong_targets(rest)
    if program == "pip":
        return wrong_extras(rest)
    return "" if program in OTHERS else f"what is {program}?"


def wrong_arguments(words: Sequence[str]) -> str:
    """Return what alexnet's own parser says against its arguments; nothing is run."""
    if any("$" in word for word in words) or "--help" in words or "--version" in words:
        return ""
    if words[:1] == ["caffe"]:
        words = [f"-{word}" if ONE_DASH.match(word) else word for word in words]
    try:
        command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    except Exception as error:  # of many kinds; the message is what a user would meet
        return f"{type(error).__name__}: {error}"
    lists = [value for value in bound.arguments.values() if isinstance(value, tuple)]
    taken = [each for value in lists for each in value if str(each).startswith("--")]
    if taken:  # by a list of files, which may be named -
        return f"Unknown option: {taken[0]}"
    known = command.__module__.startswith("alexnet.")
    return "" if known else f"alexnet {' '.join(words)} is no command"


def wrong_module(words: Sequence[str]) -> str:
    """Return whether there is a module to run, and options that it does not know."""
    if words[:1] != ["-m"]:
        return "python runs no module"
    path = ROOT / f"{words[1].replace('.', '/')}.py"
    if words[1] == "alexnet":
        return wrong_arguments(words[2:])
    if not path.is_file():
        return f"there is no module {words[1]}"
    source = path.read_text(encoding="utf-8")
    for module in ast.walk(ast.parse(source)):  # options may be those of a neighbour
        if isinstance(module, ast.ImportFrom) and (module.module or "").startswith("benchmarks"):
            names = [module.module, *(f"{module.module}.{each.name}" for each in module.names)]
            files = [ROOT / f"{str(name).replace('.', '/')}.py" for name in names]
            source += "".join(file.read_text("utf-8") for file in files if file.is_file())
    options = [word.split("=")[0] for word in words[2:] if word.startswith("--")]
    unknown = [each for each in options if each not in source]
    return f"{words[1]} knows no {', '.join(unknown)}" if unknown else ""


def wrong_targets(words: Sequence[str]) -> str:
    """Return which targets the Makefile lacks."""
    known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    unknown = [word for word in words if "=" not in word and word not in known]
    return f"make has no {', '.join(unknown)}" if unknown else ""


def wrong_extras(words: Sequence[str]) -> str:
    """Return which extras the package lacks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*?)\]", " ".join(words))))
    unknown = [each for each in asked if each not in project["optional-dependencies"]]
    return f"there is no extra {', '.join(unknown)}" if unknown else ""
