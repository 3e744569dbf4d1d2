"""House checks that no linter has: each finding names the cure.

Run as ``python tools/tidy.py [ROOT]``: every file that git tracks or would track is
read, findings are printed as ``path:line: what, and what to do``, and the exit code
is 1 when there is any. Where a rule makes the code worse, the line breaks it and says
why: ``# tidy: allow, <the reason>`` (in code for sizes and nesting: the ``def`` line).

What is checked:

* sizes: a function, a module, the parameters of a function, the nesting of blocks
* tests: each states one fact in one sentence of a docstring; none is skipped
* doors: a package is imported from another one only through what it publishes
* left-overs: open ends, paths of one machine, addresses of package indexes, links of
  pages that lead nowhere
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 400
PARAMETERS_MAX = 5
POSITIONAL_MAX = 2
NESTING_MAX = 3
SENTENCE_CHARS_MAX = 200

# Packages whose public modules are doors of their own (see their `__init__.py`).
OPEN_PACKAGES = frozenset(
    {"tailring_runtime", "tailring_testkit", "tailring_router", "tailring_sampler"}
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_BRANCHES = (
    *(ast.If, ast.For, ast.AsyncFor, ast.While),
    *(ast.Try, ast.TryStar, ast.Match),
)
_BLOCKS = (*_BRANCHES, ast.With, ast.AsyncWith)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule, and the cure."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its path from the root, its text and, for Python, its tree."""

    path: str
    text: str
    tree: ast.Module | None

    def is_test(self) -> bool:
        """Whether pytest collects it."""
        return Path(self.path).name.startswith("test_")

    def package(self) -> str:
        """The import package it lies in; empty for tests and tools."""
        found = re.match(r"(?:libs|services)/\w+/src/(\w+)/", self.path)
        return found.group(1) if found else ""

    def at(self, line: int, text: str) -> Finding:
        """A finding in this file."""
        return Finding(self.path, line, text)


Check = Callable[[Source, ast.Module], Iterator[Finding]]


def _functions(tree: ast.Module) -> Iterator[_Function]:
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            yield node


# ---------------------------------------------------------------- sizes


def _docstring_lines(node: _Function) -> int:
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def check_sizes(source: Source, tree: ast.Module) -> Iterator[Finding]:
    """Functions and modules fit on a screen, or on a few."""
    lines = source.text.count("\n")
    if lines > MODULE_LINES_MAX:
        text = f"{lines} lines, at most {MODULE_LINES_MAX}: cut it where concerns meet"
        yield source.at(1, text)
    for node in _functions(tree):
        size = (node.end_lineno or node.lineno) - node.lineno + 1
        size -= _docstring_lines(node)
        if size > FUNCTION_LINES_MAX:
            yield source.at(
                node.lineno,
                f"{node.name} has {size} lines, at most {FUNCTION_LINES_MAX}: "
                "give its steps names",
            )


def check_parameters(source: Source, tree: ast.Module) -> Iterator[Finding]:
    """Few parameters, and the second half of them by name."""
    if source.is_test():
        return  # fixtures are parameters
    for node in _functions(tree):
        positional = [*node.args.posonlyargs, *node.args.args]
        if positional and positional[0].arg in {"self", "cls"}:
            positional = positional[1:]
        count = len(positional) + len(node.args.kwonlyargs)
        if count > PARAMETERS_MAX and not _is_model_init(node):
            yield source.at(
                node.lineno,
                f"{node.name} has {count} parameters, at most {PARAMETERS_MAX}: "
                "pass an object that holds what belongs together",
            )


def _is_model_init(node: _Function) -> bool:
    """A constructor may take each part by keyword: `app.py` wires by hand."""
    return node.name == "__init__" and len(node.args.args) <= 1 + POSITIONAL_MAX


def check_nesting(source: Source, tree: ast.Module) -> Iterator[Finding]:
    """Blocks inside blocks inside blocks, and no deeper.

    In a test, ``with`` only says how long something lives: it does not count.
    """
    counted = _BRANCHES if source.is_test() else _BLOCKS
    for node in _functions(tree):
        deepest, line = _nesting(node.body, counted, 0)
        if deepest > NESTING_MAX:
            yield source.at(
                node.lineno,
                f"{node.name} nests {deepest} blocks (line {line}), at most "
                f"{NESTING_MAX}: return early or name the inner block",
            )


def _nesting(
    body: list[ast.stmt], counted: tuple[type[ast.stmt], ...], depth: int
) -> tuple[int, int]:
    """The depth of the deepest block under ``body``, and its line."""
    deepest = (depth, body[0].lineno if body else 0)
    for node in body:
        for inner in _bodies(node):
            # `elif` is an `if` in the else branch: the same block to a reader.
            chained = inner == getattr(node, "orelse", None) and _is_chain(inner)
            deeper = isinstance(node, counted) and not chained
            deepest = max(deepest, _nesting(inner, counted, depth + deeper))
    return deepest


def _is_chain(body: list[ast.stmt]) -> bool:
    return len(body) == 1 and isinstance(body[0], ast.If)


def _bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    if not isinstance(node, _BLOCKS):
        return  # an inner function or class is a place of its own
    for name in ("body", "orelse", "finalbody"):
        if inner := getattr(node, name, None):
            yield inner
    for arm in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield arm.body


# ---------------------------------------------------------------- tests


def check_tests(source: Source, tree: ast.Module) -> Iterator[Finding]:
    """Each test says which fact it proves."""
    if not source.is_test():
        return
    for node in _functions(tree):
        if node.name.startswith("test"):
            problem = _sentence_problem(ast.get_docstring(node))
            if problem:
                yield source.at(node.lineno, f"{node.name}: {problem}")


def _sentence_problem(docstring: str | None) -> str:
    if not docstring:
        return "state the fact that it proves in one sentence, as a docstring"
    text = " ".join(docstring.split())
    if re.match(r"(Test|Tests|Check|Checks|Verify)\b", text):
        return "state the fact itself, not that it is tested"
    if not text.endswith("."):
        return "end the sentence with a full stop"
    if len(text) > SENTENCE_CHARS_MAX or re.search(r"\w{3,}[.!?] [A-Z]", text):
        return "one fact, one sentence: split the test or shorten the docstring"
    return ""


_SKIPS = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")


def check_skips(source: Source, tree: ast.Module) -> Iterator[Finding]:
    """A test that does not run proves nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _SKIPS.match(ast.unparse(node)):
            yield source.at(
                node.lineno, "no skip, no xfail: make it run, or delete the test"
            )


# ---------------------------------------------------------------- doors


def check_doors(source: Source, tree: ast.Module) -> Iterator[Finding]:
    """Another package is imported by its name; see `OPEN_PACKAGES`."""
    for line, module in _imported(tree):
        package, *inner = module.split(".")
        if not package.startswith("tailring_") or package == _owner(source):
            continue
        if any(part.startswith("_") for part in inner):
            yield source.at(line, f"{module} is private to {package}")
        elif len(inner) > (package in OPEN_PACKAGES):
            yield source.at(
                line,
                f"import from {package}, not from {module}: what others need is "
                "re-exported at the package's door",
            )


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The modules that are imported by their full names, and where."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def _owner(source: Source) -> str:
    """The package that a file belongs to; a package's tests belong to it too."""
    found = re.match(r"(?:libs|services)/(\w+)/", source.path)
    return f"tailring_{found.group(1)}" if found else ""


# ---------------------------------------------------------------- left-overs

# Spelled so that this line does not find itself.
_OPEN_END = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b")
_UNWRITTEN = re.compile(r"\braise NotImplementedError(\(\))?\s*$")
_MACHINE_PATH = re.compile(r"""(?<![\w.])/(home|root|work|farm|Users)/[\w.-]+""")
_INDEX = re.compile(
    r"--(extra-)?index-url|\b(pypi\.org|pythonhosted\.org|registry\.npmjs\.org)\b"
    r"|\"resolved\": \"http"
)
_LINES: tuple[tuple[re.Pattern[str], str], ...] = (
    (_OPEN_END, "left open: finish it, or write an issue and take the mark away"),
    (_UNWRITTEN, "left unwritten: a thing that does not exist yet is absent"),
    (_MACHINE_PATH, "a path of one machine: make it relative or an argument"),
    (_INDEX, "an address of a package index: whoever installs chooses the index"),
)


def check_lines(source: Source) -> Iterator[Finding]:
    """Every text file, line by line."""
    for number, line in enumerate(source.text.split("\n"), 1):
        for pattern, cure in _LINES:
            if found := pattern.search(line):
                yield source.at(number, f"{found.group().strip()!r}: {cure}")


_LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def check_links(source: Source, root: Path) -> Iterator[Finding]:
    """Links of a page to files of the project lead somewhere."""
    if not source.path.endswith(".md"):
        return
    folder = (root / source.path).parent
    for number, line in enumerate(source.text.split("\n"), 1):
        for found in _LINK.finditer(line):
            if not (folder / found.group(1)).exists():
                yield source.at(number, f"{found.group(1)} is not there: mend the link")


# ---------------------------------------------------------------- all of it

CHECKS: tuple[Check, ...] = (
    check_sizes,
    check_parameters,
    check_nesting,
    check_tests,
    check_skips,
    check_doors,
)


_ALLOWED = re.compile(r"# tidy: allow, \w.{8,}")


def check(source: Source) -> list[Finding]:
    """Every finding in one file, but those that their line allows with a reason."""
    findings = list(check_lines(source))
    if source.tree is not None:
        findings += (found for one in CHECKS for found in one(source, source.tree))
    lines = source.text.split("\n")
    return [one for one in findings if not _ALLOWED.search(lines[one.line - 1])]


def read(path: str, text: str) -> Source:
    """A source out of its path and its text; raises SyntaxError for bad Python."""
    return Source(path, text, ast.parse(text) if path.endswith(".py") else None)


def sources(root: Path) -> Iterator[Source]:
    """The text files that git tracks under ``root``, and those it would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True)
    for path in sorted(set(listed.stdout.decode().split("\0"))):
        file = root / path
        if not path or not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a corpus of bytes
        yield read(path, text)


def main(arguments: list[str]) -> int:
    """Print the findings under a root; 1 when there is any."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[1]
    findings: list[Finding] = []
    for source in sources(root):
        findings += (*check(source), *check_links(source, root))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
