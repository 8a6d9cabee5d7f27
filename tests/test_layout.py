"""The tree keeps the design's rules, and each rule finds what breaks it."""

import pytest

from tests import layout
from tests.layout import Rule, Source, the_tree

TREE = the_tree()


def hold(rule: Rule) -> None:
    offenders = list(rule(TREE))
    if offenders:
        pytest.fail("\n".join(offenders), pytrace=False)


def test_a_module_imports_only_from_rows_below_its_own() -> None:
    hold(layout.wrong_levels)


def test_imports_have_no_circles() -> None:
    hold(layout.circles)


def test_no_file_is_longer_than_400_lines() -> None:
    hold(layout.long_files)


def test_no_line_is_wider_than_100_columns() -> None:
    hold(layout.long_lines)


def test_no_function_is_longer_than_60_lines() -> None:
    hold(layout.long_functions)


def test_no_function_has_more_than_six_parameters() -> None:
    hold(layout.many_parameters)


def test_folders_are_at_most_two_levels_deep() -> None:
    hold(layout.deep_folders)


def test_files_and_classes_are_named_for_what_they_are() -> None:
    hold(layout.forbidden_names)


def test_imports_name_what_they_take_and_fail_when_it_is_missing() -> None:
    hold(layout.loose_imports)


def test_every_except_names_its_error() -> None:
    hold(layout.bare_excepts)


def test_keywords_are_named_and_not_passed_through() -> None:
    hold(layout.passed_through_keywords)


def test_nothing_is_looked_up_by_a_computed_name() -> None:
    hold(layout.computed_attributes)


def test_open_work_names_its_issue() -> None:
    hold(layout.open_work)


def test_nothing_is_pickled() -> None:
    hold(layout.pickles)


def test_every_module_and_every_public_function_and_class_has_a_docstring() -> None:
    hold(layout.missing_docstrings)


def test_every_module_has_its_test_file() -> None:
    hold(layout.missing_tests)


def test_the_readme_lists_every_module_and_nothing_else() -> None:
    hold(layout.wrong_readme_tree)


def test_no_file_names_a_path_of_a_developers_machine() -> None:
    hold(layout.machine_paths)


def test_code_is_ascii() -> None:
    hold(layout.letters_beyond_ascii)


def sources(files: dict[str, str]) -> list[Source]:
    return [Source(path, text) for path, text in files.items()]


A, B, C = "alexnet/nets/a.py", "alexnet/nets/b.py", "alexnet/nets/__init__.py"
IMPORT_B, IMPORT_A = "from alexnet.nets import b", "def f():\n    import alexnet.nets.a"
LOOP = "alexnet/training/loop.py"
TRY = "try:\n    import x\nexcept ImportError:\n    "
README = "```text\nalexnet/  all\n  nets/  nets\n    a.py  a net\n```\n"
PACKAGE = {"alexnet/__init__.py": "", C: "", A: ""}

BROKEN = [
    (layout.wrong_levels, {A: "import x\nimport alexnet.cli", "alexnet/cli.py": ""}, f"{A}:2: "),
    (layout.wrong_levels, {A: "from ..cli import main", "alexnet/cli/__init__.py": ""}, f"{A}:1: "),
    (
        layout.wrong_levels,
        {A: "def f():\n    from alexnet import model", "alexnet/model.py": ""},
        A,
    ),
    (layout.wrong_levels, {A: "from alexnet.text import b", "alexnet/text/b.py": ""}, f"{A}:1: "),
    (
        layout.wrong_levels,
        {
            A: "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import alexnet.cli",
            "alexnet/cli.py": "",
        },
        f"{A}:3: ",
    ),
    (
        layout.wrong_levels,
        {
            "alexnet/parallel/mesh.py": "from alexnet.parallel import columns",
            "alexnet/parallel/columns.py": "",
        },
        "alexnet/parallel/mesh.py:1: ",
    ),
    (layout.wrong_levels, {"alexnet/parallel/other.py": ""}, "has no row"),
    (layout.wrong_levels, {"alexnet/other.py": ""}, "has no row"),
    (
        layout.wrong_levels,
        {"alexnet/__init__.py": "from . import cli", "alexnet/cli.py": ""},
        ":1: ",
    ),
    (layout.circles, {A: IMPORT_B, B: IMPORT_A}, f"{B}:2: alexnet.nets.a -> alexnet.nets.b -> "),
    (layout.circles, {C: "from . import a", A: "from alexnet.nets import NETS"}, "alexnet.nets ->"),
    (layout.long_files, {A: "\n" * 401}, f"{A}:401: "),
    (layout.long_lines, {"tests/a.py": "x = 1\nx = " + "1" * 97}, "tests/a.py:2: 101 columns"),
    (layout.long_functions, {A: "def f():" + "\n    g()" * 60}, f"{A}:1: f has 61 lines"),
    (layout.long_functions, {A: "async def f():" + "\n    g()" * 60}, f"{A}:1: f has 61 lines"),
    (layout.long_functions, {LOOP: "def train():" + "\n    g()" * 120}, "train has 121 lines"),
    (layout.long_functions, {LOOP: "def step():" + "\n    g()" * 60}, "step has 61 lines"),
    (layout.many_parameters, {A: "def f(a, /, b, *c, d, e, f, g): ..."}, "f has 7 parameters"),
    (layout.deep_folders, {"alexnet/nets/more/a.py": ""}, "alexnet/nets/more/a.py:1: "),
    (layout.forbidden_names, {"alexnet/data/utils.py": ""}, "named utils"),
    (layout.forbidden_names, {"alexnet/common/a.py": ""}, "named common"),
    (layout.forbidden_names, {A: "class NetBuilder: ..."}, f"{A}:1: class NetBuilder"),
    (layout.loose_imports, {A: "from torch import *"}, f"{A}:1: "),
    (layout.loose_imports, {A: TRY + "x = None"}, f"{A}:4: "),
    (layout.loose_imports, {A: TRY + "found: bool = False"}, f"{A}:4: "),
    (layout.bare_excepts, {A: "try:\n    f()\nexcept:\n    raise"}, f"{A}:3: "),
    (layout.passed_through_keywords, {A: "def f(**rest):\n    return g(1, **rest)"}, f"{A}:2: "),
    (layout.computed_attributes, {A: "getattr(nets, name)()"}, f"{A}:1: "),
    (layout.open_work, {A: "x = 1\ny = 2  # TODO faster"}, f"{A}:2: "),
    (layout.pickles, {A: "import os, pickle"}, f"{A}:1: "),
    (layout.pickles, {A: "from pickle import loads"}, f"{A}:1: "),
    (layout.pickles, {A: "from torch import load"}, f"{A}:1: "),
    (layout.pickles, {A: "import torch\nx = torch.load(p)"}, f"{A}:2: "),
    (layout.missing_docstrings, {A: ""}, f"{A}:1: the module"),
    (layout.missing_docstrings, {A: "'A.'\ndef f(): ..."}, f"{A}:2: f has"),
    (layout.missing_docstrings, {A: "'A.'\nclass F: ..."}, f"{A}:2: F has"),
    (layout.missing_tests, {A: ""}, "there is no tests/nets/test_a.py"),
    (layout.missing_tests, {"alexnet/__main__.py": ""}, "there is no tests/test_main.py"),
    (layout.missing_tests, {C: "def f(): ..."}, "there is no tests/nets/test_init.py"),
    (layout.wrong_readme_tree, PACKAGE, "alexnet/nets/a.py:1: not in"),
    (layout.wrong_readme_tree, {**PACKAGE, B: "", "README.md": README}, f"{B}:1: not in"),
    (
        layout.wrong_readme_tree,
        {C: "", "README.md": README},
        "README.md:4: alexnet/nets/a.py is not",
    ),
    (
        layout.wrong_readme_tree,
        {**PACKAGE, "README.md": README.replace("a net", "")},
        "README.md:4: ",
    ),
    (layout.machine_paths, {"docs/a.md": "see\n/" + "home/me/a"}, "docs/a.md:2: "),
    (layout.letters_beyond_ascii, {A: "x = '\N{MULTIPLICATION SIGN}'"}, f"{A}:1: "),
]


@pytest.mark.parametrize(("rule", "files", "message"), BROKEN)
def test_each_rule_finds_what_breaks_it(rule: Rule, files: dict[str, str], message: str) -> None:
    offenders = list(rule(sources(files)))
    assert any(message in offender for offender in offenders), offenders


KEPT = [
    (
        layout.wrong_levels,
        {
            A: "from . import b\nimport alexnet.data.c, torch",
            B: "",
            C: "from . import a",
            "alexnet/data/c.py": "from alexnet import __version__",
            "alexnet/__init__.py": "",
        },
    ),
    (layout.circles, {A: "if TYPE_CHECKING:\n    from . import b", B: "from .a import f"}),
    (layout.circles, {C: "from .a import f", A: "from alexnet.nets.b import g", B: ""}),
    (layout.long_functions, {LOOP: "def train():" + "\n    g()" * 119}),
    (layout.many_parameters, {A: "class F:\n    def f(self, a, b, c, d, e, f): ..."}),
    (layout.forbidden_names, {"alexnet/data/databases.py": "class Database: ..."}),
    (layout.loose_imports, {A: TRY + "raise"}),
    (layout.passed_through_keywords, {A: "def f(**rest):\n    return dict(rest), g(**others)"}),
    (
        layout.computed_attributes,
        {A: "[getattr(a, f.name) for f in fields(a)]; getattr(a, 'b', 0)"},
    ),
    (layout.open_work, {A: "x = 'TODO'  # TODO(#12) faster"}),
    (layout.pickles, {A: "from torch import Tensor\nself.load(p)"}),
    (layout.missing_tests, {A: "", "tests/nets/test_a.py": "", C: "NETS = {}"}),
    (layout.wrong_readme_tree, {**PACKAGE, "README.md": README}),
    (layout.machine_paths, {"a.md": "frame/" + "work/a and https://a.org/" + "home/"}),
]


@pytest.mark.parametrize(("rule", "files"), KEPT)
def test_each_rule_lets_pass_what_keeps_it(rule: Rule, files: dict[str, str]) -> None:
    assert list(rule(sources(files))) == []
