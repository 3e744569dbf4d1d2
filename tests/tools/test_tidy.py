"""The house checks find what they are for, and leave the rest alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import tidy

_ROUTER = "services/router/src/tailring_router/app.py"


def _findings(text: str, path: str = _ROUTER) -> list[str]:
    return [str(finding) for finding in tidy.check(tidy.read(path, text))]


def _body(lines: int) -> str:
    return "    x = 1\n" * lines


def test_longest_function_passes() -> None:
    """Sixty lines are allowed, the docstring not counted."""
    assert not _findings('def f():\n    """One.\n\n    Two.\n    """\n' + _body(59))


def test_longer_function_is_found() -> None:
    """A function of 61 lines is named with its line and its size."""
    (finding,) = _findings("\ndef f():\n" + _body(60))
    assert finding.startswith(f"{_ROUTER}:2: f has 61 lines")


def test_long_module_is_found() -> None:
    """A module of 401 lines is too long."""
    (finding,) = _findings("x = 1\n" * 401)
    assert "401 lines" in finding


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("(a, b, c, d, e)", 0),
        ("(self, a, b, *, c, d, e)", 0),
        ("(a, b, c, *, d, e, f)", 1),
    ],
)
def test_parameters_are_counted(signature: str, expected: int) -> None:
    """Five parameters pass, six do not; ``self`` is none of them."""
    assert len(_findings(f"def f{signature}:\n    pass\n")) == expected


def test_keyword_constructor_may_take_more() -> None:
    """A constructor that takes its parts by keyword is wiring."""
    text = "class A:\n    def __init__(self, *, a, b, c, d, e, f):\n        pass\n"
    assert not _findings(text)


_NESTED = """\
def f(x):
    for a in x:
        if a:
            while b:
{deepest}
"""


def test_three_blocks_pass() -> None:
    """An ``elif`` chain in the third block is still the third block."""
    chain = "if a:\n    for b in a:\n        if b:\n            pass\n        elif c:\n"
    text = "def f(a):\n" + "".join(f"    {line}\n" for line in chain.splitlines())
    assert not _findings(text + "                pass\n")


def test_fourth_block_is_found() -> None:
    """A block inside three others is named with its function."""
    deepest = (
        "                try:\n                    b()\n                finally:\n"
    )
    text = _NESTED.format(deepest=deepest + "                    c()")
    (finding,) = _findings(text)
    assert "f nests 4 blocks" in finding


def test_with_does_not_count_in_tests() -> None:
    """In a test file a fourth block passes where one of them is a ``with``."""
    text = _NESTED.format(deepest="                pass").replace("while b", "with b")
    text = text.replace("pass", "if c:\n                    pass")
    assert not _findings(text, "tests/test_x.py")
    assert len(_findings(text)) == 1


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        '"""Test that it works."""',
        '"""It works"""',
        '"""It works. It also does more."""',
    ],
)
def test_bad_sentences_are_found(docstring: str) -> None:
    """A test without one whole sentence that states a fact is named."""
    text = f"def test_x():\n    {docstring}\n    assert x\n"
    assert len(_findings(text, "libs/hashring/tests/test_ring.py")) == 1


@pytest.mark.parametrize(
    "docstring",
    [
        "It works; its second half says how.",
        "Values such as 1.5 s, e.g. of ``a.b``, and v0.161.0 are read.",
        "A sentence that is too long for a line\n    goes on in the next.",
    ],
)
def test_good_sentences_pass(docstring: str) -> None:
    """One sentence passes, whatever dots and lines it has."""
    text = f'def test_x():\n    """{docstring}"""\n    assert x\n'
    assert not _findings(text, "libs/hashring/tests/test_ring.py")


@pytest.mark.parametrize(
    "line",
    ["pytest.skip('later')", "pytest.mark.xfail()", "pytest.importorskip('grpc')"],
)
def test_skips_are_found(line: str) -> None:
    """Whatever keeps a test from running is named."""
    assert len(_findings(f"x = {line}\n", "tests/test_x.py")) == 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import tailring_hashring", 0),
        ("from tailring_router.part import Part", 0),
        ("from tailring_runtime.config import load", 0),
        ("from tailring_testkit import otlp", 0),
        ("from tailring_hashring.ring import Ring", 1),
        ("from tailring_runtime.config.model import X", 1),
        ("import tailring_runtime._parse", 1),
        ("from tailring_sampler.app import build", 0),
    ],
)
def test_doors(statement: str, expected: int) -> None:
    """Another package is entered through its door only."""
    assert len(_findings(statement + "\n")) == expected


def test_own_tests_may_enter() -> None:
    """A package's tests import its inner modules."""
    path = "libs/hashring/tests/test_ring.py"
    assert not _findings("from tailring_hashring._inner import x\n", path)


@pytest.mark.parametrize(
    "line",
    [
        "# TO" + "DO: later",
        "raise NotImplemented" + "Error",
        "cd /ho" + "me/somebody/tailring",
        "--index" + "-url somewhere",
    ],
)
def test_left_overs_are_found(line: str) -> None:
    """Open ends, machine paths and index addresses are found in any text file."""
    assert len(_findings(line + "\n", "docs/operating.md")) == 1


def test_reason_allows_a_line() -> None:
    """A finding is allowed by a reason on its line, not by the mark alone."""
    text = "def f(a, b, c, d, e, g):  # tidy: allow{}\n    pass\n"
    assert not _findings(text.format(", the wire's own six columns"))
    assert len(_findings(text.format(""))) == 1


def test_dead_links_are_found(tmp_path: Path) -> None:
    """A page's link to a file that is not there is found; addresses are left alone."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").touch()
    text = "[a](../README.md#part) [b](gone.md) [c](http://a.test/x) [d](#here)\n"
    page = tidy.read("docs/page.md", text)
    (finding,) = tidy.check_links(page, tmp_path)
    assert str(finding).startswith("docs/page.md:1: gone.md is not there")
