"""The design's rules on layout, budgets and names, read from the source with ast.

Each rule is a function from source files to offenders, "file:line: what is wrong".
test_layout.py holds the tree to the rules, and the rules to sources that break them.
"""

import ast
import io
import os
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

ROOT = Path(__file__).parent.parent

# A module imports only from rows below its own, and from siblings of its row in its folder.
# A module without a row is an error: give it one here and in the design.
LEVELS = {
    row: level
    for level, rows in {
        9: ["__main__"],
        8: ["cli"],
        7: ["serve", "demo", "hub"],
        6: ["bench", "caffe", "inspection.report", "inspection.rerun"],
        5: ["training", "predict", "export", "inspection"],
        4: [
            *("model", "packed", "parallel.replicas", "parallel.columns", "parallel.hybrid"),
            *("prediction", "parallel.dropout", "parallel.batch_norm", "parallel.team"),
        ],
        3: ["text"],  # builds the same nets
        2: ["nets", "evaluation"],
        1: [
            "layers",
            "convolution",
            "data",
            *("parallel.mesh", "parallel.collectives", "parallel.watch", "parallel.layout"),
            "parallel.logs",
            "device",
        ],
        0: ["native", "nearest", "measure", "allocations", "store"],
    }.items()
    for row in rows
}
WITHOUT_TEST: dict[str, str] = {}  # module's file -> why it has no test file of its own
FUNCTION_LINES = {("alexnet/training/loop.py", "train"): 120}
PARAMETERS = {  # the field's own signatures, as torch.nn.functional.conv2d has them, and ours
    ("alexnet/convolution/convolve.py", "convolve"): 9,
    ("alexnet/convolution/convolve.py", "transposed_convolve"): 10,
    ("tests/oracles/convolution.py", "correlate"): 7,
    ("tests/oracles/convolution.py", "input_gradient"): 7,
    ("tests/oracles/convolution.py", "weight_gradient"): 7,
    ("tests/oracles/convolution.py", "transposed"): 8,
}
FILE_NAMES = {"util", "utils", "common", "helper", "helpers", "misc", "base"}
CLASS_NAMES = re.compile("(Trainer|Manager|Factory|Builder|Engine|Helper|Base)$")
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
TENSORS_ONLY = "alexnet/export/weights_file.py"  # may call torch.load, with weights_only=True
OPEN_WORK = re.compile(r"\b(TODO|FIXME)\b(?!\(#\d+\))")
MACHINE_PATH = re.compile(r"(?<![\w.>])/(work|root|home)/")
NOT_OURS = re.compile(r"^(\..*|runs|build|dist|__pycache__|.*\.egg-info)$")  # folders' names


@dataclass(frozen=True)
class Source:
    """A file of the tree: its path from the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Return all nodes of the tree; it is walked once for all rules."""
        return list(ast.walk(self.tree))

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.path).parent)

    def lines(self) -> Iterator[tuple[int, str]]:
        return enumerate(self.text.splitlines(), start=1)


Rule = Callable[[Sequence[Source]], Iterable[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)


def the_tree() -> list[Source]:
    """Read every text file that is ours."""
    sources = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name == ".ci" or not NOT_OURS.search(name)]
        for path in (Path(folder, name) for name in names if name != ".git"):
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a binary golden file
            sources.append(Source(path.relative_to(ROOT).as_posix(), text))
    return sorted(sources, key=lambda s: s.path)


def code(sources: Sequence[Source], *folders: str) -> list[Source]:
    parts = folders or ("alexnet", "tests", "benchmarks")
    return [s for s in sources if s.path.endswith(".py") and s.path.split("/")[0] in parts]


def nodes(sources: Sequence[Source], kind: type[Node]) -> Iterator[tuple[Source, Node]]:
    return ((s, n) for s in sources for n in s.nodes if isinstance(n, kind))


def functions(sources: Sequence[Source]) -> Iterator[tuple[Source, Function]]:
    yield from nodes(sources, ast.FunctionDef)
    yield from nodes(sources, ast.AsyncFunctionDef)


def level_of(module: str) -> int | None:
    """Return a module's row; a package's own file stands in the lowest row of its folder."""
    name = module.removeprefix("alexnet").removeprefix(".")
    below = [level for row, level in LEVELS.items() if row.startswith(f"{name}.")]
    known = LEVELS.get(name, LEVELS.get(name.split(".")[0], min(below, default=None)))
    return known if name else -1


def imports(source: Source, modules: Iterable[str]) -> Iterator[tuple[str, int, bool]]:
    """Yield the package's modules that a file imports anywhere: name, line, only for types."""
    guarded = {
        child
        for node in source.nodes
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for child in ast.walk(statement)
    }
    for node in source.nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = source.folder.split("/")[: 1 - node.level or None] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        for name in names:
            while name not in modules and "." in name:
                name = name.rpartition(".")[0]
            if name in modules and isinstance(node, ast.stmt):
                yield name, node.lineno, node in guarded


def waits(source: Source, line: int) -> bool:
    """Return whether an import of the package's own file waits in a function, until it is called.

    The package's face offers what stands above all rows; importing the package imports none of it.
    """
    return source.module == "alexnet" and line not in {each.lineno for each in source.tree.body}


def wrong_levels(sources: Sequence[Source]) -> Iterator[str]:
    modules = {s.module: s for s in code(sources, "alexnet")}
    for module, source in modules.items():
        own = level_of(module)
        if own is None:
            yield f"{source.path}:1: {module} has no row in LEVELS"
            continue
        for target, line, _ in imports(source, modules):
            if waits(source, line):
                continue
            other = level_of(target)
            sibling = source.folder == modules[target].folder != "alexnet" and own == other
            if other is not None and other >= own and not sibling and target != module:
                yield f"{source.path}:{line}: {module} (row {own}) imports {target} (row {other})"


def circles(sources: Sequence[Source]) -> Iterator[str]:
    modules = {s.module: s for s in code(sources, "alexnet")}
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> Iterator[str]:
        for target, line, typing_only in imports(modules[module], modules):
            if waits(modules[module], line):
                continue
            if target in way and not typing_only and target != module:
                circle = " -> ".join([*way[way.index(target) :], target])
                yield f"{modules[module].path}:{line}: {circle}"
            elif target not in done and not typing_only and target != module:
                yield from visit(target, [*way, target])
        done.add(module)

    for module in modules:
        if module not in done:
            yield from visit(module, [module])


def long_files(sources: Sequence[Source]) -> Iterator[str]:
    for s in code(sources):
        if (count := len(s.text.splitlines())) > 400:
            yield f"{s.path}:401: {count} lines"


def long_lines(sources: Sequence[Source]) -> Iterator[str]:
    for s in code(sources):
        yield from (
            f"{s.path}:{n}: {len(line)} columns" for n, line in s.lines() if len(line) > 100
        )


def long_functions(sources: Sequence[Source]) -> Iterator[str]:
    for s, node in functions(code(sources)):
        count = (node.end_lineno or node.lineno) - node.lineno + 1
        if count > FUNCTION_LINES.get((s.path, node.name), 60):
            yield f"{s.path}:{node.lineno}: {node.name} has {count} lines"


def many_parameters(sources: Sequence[Source]) -> Iterator[str]:
    for s, node in functions(code(sources)):
        a = node.args
        every = [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg]
        names = [p.arg for p in every if p]
        count = len(names) - (names[:1] in (["self"], ["cls"], ["ctx"]))
        if count > PARAMETERS.get((s.path, node.name), 6):
            yield f"{s.path}:{node.lineno}: {node.name} has {count} parameters"


def deep_folders(sources: Sequence[Source]) -> Iterator[str]:
    return (f"{s.path}:1: three levels" for s in code(sources) if s.path.count("/") > 2)


def forbidden_names(sources: Sequence[Source]) -> Iterator[str]:
    for s in code(sources):
        for name in FILE_NAMES & set(s.module.split(".")):
            yield f"{s.path}:1: named {name}"
    for s, node in nodes(code(sources), ast.ClassDef):
        if CLASS_NAMES.search(node.name):
            yield f"{s.path}:{node.lineno}: class {node.name}"


def loose_imports(sources: Sequence[Source]) -> Iterator[str]:
    for s, statement in nodes(code(sources), ast.ImportFrom):
        if any(alias.name == "*" for alias in statement.names):
            yield f"{s.path}:{statement.lineno}: import *"
    for s, node in nodes(code(sources), ast.Try):
        tries = any(isinstance(n, ast.Import | ast.ImportFrom) for n in node.body)
        for n in (n for handler in node.handlers for n in handler.body):
            nothing = isinstance(n, ast.Assign | ast.AnnAssign) and isinstance(
                n.value, ast.Constant
            )
            if tries and nothing:
                yield f"{s.path}:{n.lineno}: a constant instead of a module that is missing"


def bare_excepts(sources: Sequence[Source]) -> Iterator[str]:
    for s, node in nodes(code(sources), ast.ExceptHandler):
        if node.type is None:
            yield f"{s.path}:{node.lineno}: except without a type"


def passed_through_keywords(sources: Sequence[Source]) -> Iterator[str]:
    for s, node in functions(code(sources)):
        if node.args.kwarg is None:
            continue
        stars = f"**{node.args.kwarg.arg}"
        for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
            if stars in [ast.unparse(k) for k in call.keywords]:
                yield f"{s.path}:{call.lineno}: {node.name} passes {stars} on"


def computed_attributes(sources: Sequence[Source]) -> Iterator[str]:
    """Find getattr by a computed name; a dataclass field's name, x.name, is no dispatch."""
    for s, call in nodes(code(sources, "alexnet"), ast.Call):
        called = call.func.id if isinstance(call.func, ast.Name) else ""
        if called == "getattr" and len(call.args) > 1:
            name = call.args[1]
            field = isinstance(name, ast.Attribute) and name.attr == "name"
            if not isinstance(name, ast.Constant) and not field:
                yield f"{s.path}:{call.lineno}: {ast.unparse(call)}"


def open_work(sources: Sequence[Source]) -> Iterator[str]:
    for s in (s for s in code(sources) if OPEN_WORK.search(s.text)):
        for token in tokenize.generate_tokens(io.StringIO(s.text).readline):
            if token.type == tokenize.COMMENT and OPEN_WORK.search(token.string):
                yield f"{s.path}:{token.start[0]}: {token.string} names no issue, as in (#12)"


def pickles(sources: Sequence[Source]) -> Iterator[str]:
    package = code(sources, "alexnet")
    for s, node in nodes(package, ast.stmt):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            loads = node.module == "torch" and any(a.name == "load" for a in node.names)
            names = [node.module or "", *(["pickle"] if loads else [])]
        if PICKLES & {name.split(".")[0] for name in names}:
            yield f"{s.path}:{node.lineno}: {ast.unparse(node)}"
    for s, attribute in nodes(package, ast.Attribute):
        named = attribute.attr == "load" and ast.unparse(attribute) == "torch.load"
        if named and s.path != TENSORS_ONLY:
            yield f"{s.path}:{attribute.lineno}: torch.load"
    for s, call in nodes(package, ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "load"):
            continue
        keywords = [ast.unparse(keyword) for keyword in call.keywords]
        if ast.unparse(call.func) == "torch.load" and "weights_only=True" not in keywords:
            yield f"{s.path}:{call.lineno}: torch.load without weights_only=True"


def missing_docstrings(sources: Sequence[Source]) -> Iterator[str]:
    for s in code(sources, "alexnet", "benchmarks"):
        if not ast.get_docstring(s.tree):
            yield f"{s.path}:1: the module has no docstring"
        for node in (n for n in s.tree.body if isinstance(n, Function | ast.ClassDef)):
            if not node.name.startswith("_") and not ast.get_docstring(node):
                yield f"{s.path}:{node.lineno}: {node.name} has no docstring"


def missing_tests(sources: Sequence[Source]) -> Iterator[str]:
    """Find alexnet/x/y.py without tests/x/test_y.py; a package's own file may hold no code."""
    present = {s.path for s in sources}
    for s in code(sources, "alexnet"):
        path = PurePosixPath(s.path)
        defines = any(isinstance(n, Function | ast.ClassDef) for n in s.nodes)
        test = f"tests{s.folder.removeprefix('alexnet')}/test_{path.stem.strip('_')}.py"
        if path.stem == "__init__" and not defines:
            continue
        if s.path not in WITHOUT_TEST and test not in present:
            yield f"{s.path}:1: there is no {test}"


def wrong_readme_tree(sources: Sequence[Source]) -> Iterator[str]:
    """Compare README.md's tree with the package.

    The tree is the text block that starts with the line alexnet/. Below it, indented by folder,
    stands one line a module: its name, at least two spaces, and what it is. A folder's line ends
    its name in a slash and speaks for the folder's __init__.py.
    """
    modules = {s.path.replace("__init__.py", "") for s in code(sources, "alexnet")}
    readme = next((s for s in sources if s.path == "README.md"), Source("README.md", ""))
    listed: set[str] = set()
    way: list[tuple[int, str]] = []
    inside = False
    for number, line in readme.lines():
        inside = not line.startswith("```") and (
            inside or re.match(r"alexnet/(\s|$)", line) is not None
        )
        if not inside or not line.strip():
            continue
        name, _, sentence = line.strip().partition("  ")
        indent = len(line) - len(line.lstrip())
        way = [(column, folder) for column, folder in way if column < indent]
        path = "".join(folder for _, folder in way) + name
        way.append((indent, name))
        if path not in modules:
            yield f"README.md:{number}: {path} is not in the package"
        elif path in listed or not sentence.strip():
            yield f"README.md:{number}: {path} stands twice or has nothing said of it"
        listed.add(path)
    yield from (f"{path}:1: not in README.md's tree" for path in sorted(modules - listed))


def machine_paths(sources: Sequence[Source]) -> Iterator[str]:
    for s in sources:
        yield from (f"{s.path}:{n}: {line}" for n, line in s.lines() if MACHINE_PATH.search(line))


def letters_beyond_ascii(sources: Sequence[Source]) -> Iterator[str]:
    tools = [s for s in sources if s.folder in ("scripts", ".ci") or s.path == "Makefile"]
    for s in [*code(sources), *tools]:
        yield from (f"{s.path}:{n}: {line!a}" for n, line in s.lines() if not line.isascii())
