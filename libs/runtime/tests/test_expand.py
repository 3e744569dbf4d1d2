"""``${env:..}`` by the collector's grammar."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_runtime.config import Expanded
from tailring_runtime.config.expand import Expander, key_path

ENVIRON = {
    "PORT": "4317",
    "HOST": "pod",
    "EMPTY": "",
    "ZEROS": "00",
    "LIST": "[a, b]",
    "MAP": "{a: 1}",
    "ODD": "p@ss: [word",
    "MONEY": "$HOST${HOST}",
    "NAME": "PORT",
    "SELF": "x${SELF}",
    "SELVES": '["${SELVES}"]',
    "DEEP": "[" * 60 + "1" + "]" * 60,
    "PRICE": "a$$b",
    "QUOTED": '"007"',
    "BLOCK": '{a: "${PORT}", b: ["x$$y"]}',
    "WORD": "word",
    "ZIP": "01234",
}


def expand(text: str) -> object:
    expander = Expander(ENVIRON)
    value = expander.expand(text)
    assert expander.problems == []
    return value


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${env:PORT}", "4317"),
        ("${PORT}", "4317"),
        ("0.0.0.0:${env:PORT}", "0.0.0.0:4317"),
        ("${HOST}:${PORT}", "pod:4317"),
        ("5${env:ZEROS}", "500"),
        ("${env:PRICE}", "a$b"),
        ("${env:QUOTED}", '"007"'),
        ("${env:ODD}", "p@ss: [word"),
        ("${yaml:a: b}", "a: b"),
        ("${yaml:${env:HOST}}", "pod"),
        ("${env:NOPE:-x}", "x"),
        ("${NOPE:-x}", "x"),
        ("${env:NOPE:-}", ""),
        ("${env:EMPTY:-x}", ""),
        ("${env:NOPE:-${env:HOST}}", "pod"),
        ("${env:NOPE:-a${HOST}b}c", "apodbc"),
        ("${env:${NAME}}", "4317"),
        ("$$", "$"),
        ("$${env:PORT}", "${env:PORT}"),
        ("$$${env:PORT}", "$4317"),
        ("$PORT", "$PORT"),
        ("a$", "a$"),
        ("${PORT", "${PORT"),
        ("cost: $5", "cost: $5"),
        ("${MONEY}", "$HOSTpod"),
        ("${env:NOPE:-http://x:1/?a=b}", "http://x:1/?a=b"),
    ],
)
def test_references_are_replaced(text: str, expanded: str) -> None:
    """Each form of a reference is replaced, and any other dollar is itself."""
    assert expand(text) == expanded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:PORT}", 4317),
        ("${env:ZIP}", 668),
        ("${env:EMPTY}", None),
        ("${env:LIST}", ["a", "b"]),
        ("${env:MAP}", {"a": 1}),
        ("${env:NOPE:-true}", True),
        ("${env:BLOCK}", {"a": "4317", "b": ["x$y"]}),
        ("${yaml:7}", 7),
    ],
)
def test_an_expansion_is_typed_anew(text: str, value: object) -> None:
    """What a reference becomes is typed by YAML, and its text is kept beside it."""
    found = expand(text)
    assert isinstance(found, Expanded)
    assert found.value == value


@pytest.mark.parametrize("text", ["$$5", "5${env:ZEROS}", "${env:WORD}"])
def test_other_texts_stay_texts(text: str) -> None:
    """Neither an escaped dollar nor a part of a text makes a number of it."""
    assert not isinstance(expand(text), Expanded)


def test_a_file_is_a_reference(tmp_path: Path) -> None:
    """What stands in a file is typed as what stands in a variable."""
    path = tmp_path / "value"
    path.write_text("[1, 2]\n")
    found = expand(f"${{file:{path}}}")
    assert isinstance(found, Expanded)
    assert (found, found.value) == ("[1, 2]\n", [1, 2])


@pytest.mark.parametrize("text", ["${SELF}", "${SELVES}", "${DEEP}"])
def test_references_that_never_end_are_a_problem(text: str) -> None:
    """A variable that holds itself is refused, in a text as in a list."""
    expander = Expander(ENVIRON)
    expander.expand(text)
    assert expander.problems == [((), "too many recursive expansions")]


def test_references_that_explode_are_a_problem() -> None:
    """Variables that double each other end at a limit."""
    doubling = {f"X{i}": f"${{X{i + 1}}}${{X{i + 1}}}" for i in range(40)}
    expander = Expander({**doubling, "X40": "x"})
    expander.expand("${X0}")
    ((_, message),) = expander.problems
    assert "expands to more than" in message


def test_an_unset_variable_is_empty_and_a_warning() -> None:
    """A variable that is not set counts as empty and is named once."""
    expander = Expander({})
    assert expander.expand(["${NOPE}", "${env:NOPE}"]) == ["", ""]
    assert expander.warnings == [
        "the environment variable NOPE is not set; it counts as empty"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${vault:x}", "${vault:..} is not supported"),
        ("${http://x}", "${http:..} is not supported"),
        ("${env:A-B}", "'A-B' is no name of a variable"),
        ("${env:A$B}", "'A$B' holds a dollar sign"),
        ("${}", "'' is no name of a variable"),
        ("${1A}", "'1A' is no name of a variable"),
    ],
)
def test_other_references_are_problems(text: str, message: str) -> None:
    """What is not supported is refused with what is, at the path of the value."""
    expander = Expander(ENVIRON)
    expander.expand({"a": [text]})
    ((path, found),) = expander.problems
    assert path == ("a", 0)
    assert found.startswith(message)
    assert "${env:NAME}" in found


def test_a_file_that_is_missing_is_a_problem() -> None:
    """A reference to a file that cannot be read says which and why."""
    expander = Expander({})
    expander.expand("${file:/nowhere/x}")
    assert expander.problems == [
        ((), "the file /nowhere/x cannot be read: No such file or directory")
    ]


def test_keys_and_other_types_are_left_alone() -> None:
    """Only text values are expanded."""
    tree = {"${PORT}": 1, "b": True, "c": None, "d": ["${PORT}", 2.5]}
    assert Expander(ENVIRON).expand(tree) == {
        "${PORT}": 1,
        "b": True,
        "c": None,
        "d": ["4317", 2.5],
    }


def test_paths_are_written_as_upstream_writes_them() -> None:
    """Keys are joined by two colons and positions stand in brackets."""
    path = ("receivers", "otlp", "hosts", 0, "x")
    assert key_path(path) == "receivers::otlp::hosts[0]::x"


@given(st.text("${}:-aA_env ", max_size=40))
def test_no_text_breaks_the_expander(text: str) -> None:
    """Any text is expanded or becomes a problem."""
    expander = Expander(ENVIRON)
    expander.expand(text)
    assert len(expander.problems) <= 1


@given(st.text(max_size=30))
def test_a_doubled_dollar_escapes_everything(text: str) -> None:
    """With every dollar doubled, any text stays what it was."""
    assert expand(text.replace("$", "$$")) == text
