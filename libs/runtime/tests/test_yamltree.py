"""YAML as go-yaml reads it, with the line of each key."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailring_runtime.config import dump
from tailring_runtime.config.yamltree import VALUES_MAX, parse, plain_value, split_keys
from tailring_runtime.errors import ConfigError


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("08", 8.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("12:30", "12:30"),
        ("4317:4317", "4317:4317"),
        ("2026-01-01", "2026-01-01"),
        ("1.2.3", "1.2.3"),
        ("5s", "5s"),
        ("0.0.0.0:4317", "0.0.0.0:4317"),
        ("=", "="),
        ("_", "_"),
    ],
)
def test_plain_scalars_are_typed_as_go_types_them(text: str, value: object) -> None:
    """An unquoted scalar has the type that go-yaml v3 gives it."""
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)
    assert parse(f"k: {text}", "f").value["k"] == value


@pytest.mark.parametrize("text", ['"10"', "'true'", "!!str 10", '"null"'])
def test_quoted_scalars_are_text(text: str) -> None:
    """Quotes and the tag !!str make text of everything."""
    assert isinstance(parse(f"k: {text}", "f").value["k"], str)


def test_every_key_has_its_line() -> None:
    """The origin of a key is its own line, also when its value is far below."""
    tree = parse("a:\n  b:\n\n    - x\n    - c: 1\n", "f.yaml")
    assert tree.origins[("a",)] == "f.yaml:1"
    assert tree.origins[("a", "b")] == "f.yaml:2"
    assert tree.origins[("a", "b", 1, "c")] == "f.yaml:5"


def test_a_key_written_twice_is_a_problem() -> None:
    """Every double key is told with its line."""
    assert problems("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        "f.yaml:2: the key 'c' is written twice in one map",
        "f.yaml:3: the key 'a' is written twice in one map",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [1, 2", 1), ("a:\n\t- x", 2), ("a: b: c", 1), ("a: 'x", 1), ("a: *no", 1)],
)
def test_broken_yaml_is_told_with_its_line(text: str, line: int) -> None:
    """A syntax error is one problem with file and line."""
    (problem,) = problems(text)
    assert problem.startswith(f"f.yaml:{line}") or f"f.yaml:{line + 1}" in problem
    assert "not YAML" in problem


def test_two_documents_are_refused() -> None:
    """A file holds one document."""
    (problem,) = problems("a: 1\n---\nb: 2\n")
    assert problem.startswith("f.yaml:3: a second document")


@pytest.mark.parametrize("text", ["---\na: 1\n...\n", "a: 1\n---\n", "a: 1\n---\n# x"])
def test_marks_of_a_document_are_taken(text: str) -> None:
    """A file may mark where its document begins and ends; nothing may follow."""
    assert parse(text, "f").value == {"a": 1}


def test_an_alias_of_nothing_is_named() -> None:
    """An alias without its anchor is told with its name."""
    assert problems("a: 1\nb: [*no, 1]\n") == [
        "f.yaml:2: not YAML: undefined alias *no"
    ]


def test_two_merge_keys_are_a_key_twice() -> None:
    """A map has one merge key; several maps are merged by a list."""
    found = problems("a: &a {x: 1}\nb: {<<: *a, <<: *a}\n")
    assert found == ["f.yaml:2: the key '<<' is written twice in one map"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("!!int '7'", 7), ("!!float 7", 7), ("!!null ''", None), ("!ours 7", "7")],
)
def test_tags_type_a_scalar(text: str, value: object) -> None:
    """A core tag types even what is quoted; a tag nobody knows makes a text."""
    assert parse(f"k: {text}", "f").value["k"] == value


@pytest.mark.parametrize("text", ["!!int seven", "!!int 7.5", "!!int true", "!!bool 1"])
def test_a_tag_that_does_not_fit_is_refused(text: str) -> None:
    """A core tag on a scalar of another type is a problem."""
    assert "does not fit the tag" in problems(f"k: {text}")[0]


def test_two_colons_part_keys() -> None:
    """A key may be a path of keys, at any depth, and is told where it was written."""
    tree = split_keys(parse("a::b: {c::d: 1}\na: {b: {e: 2}}\n", "f"))
    assert tree.value == {"a": {"b": {"c": {"d": 1}, "e": 2}}}
    assert tree.origins[("a", "b", "c", "d")] == "f:1"
    assert tree.origins[("a",)] == "f:2"


def test_aliases_and_merge_keys_work() -> None:
    """A merge key fills in what the map does not say itself."""
    tree = parse(
        "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 4}]}\n", "f"
    )
    assert tree.value["one"] == {"x": 1, "y": 3}
    assert tree.value["two"] == {"x": 1, "y": 2, "z": 4}


def test_a_merge_of_something_else_is_a_problem() -> None:
    """Only maps can be merged."""
    assert problems("a: {<<: 5}") == ["f.yaml:1: << takes a map or a list of maps"]


def test_an_alias_bomb_is_refused() -> None:
    """A small file that expands to millions of values is refused early."""
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for i in range(1, 9):
        text += f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n"
    assert f"more than {VALUES_MAX} values" in problems(text)[0]


def test_an_alias_of_itself_is_refused() -> None:
    """A structure that holds itself is a problem and no endless loop."""
    assert problems("a: &a [*a]") == ["f.yaml:1: an alias holds itself"]


@pytest.mark.parametrize(
    "text", ["k: !!binary aGk=", "k: !!timestamp 2026-01-01", "? [a]\n: b\n"]
)
def test_exotic_yaml_is_refused(text: str) -> None:
    """Tags and keys that no configuration needs are refused by name."""
    assert problems(text)


def test_unprintable_text_is_refused() -> None:
    """Bytes that YAML forbids are a problem, not a crash."""
    assert "not YAML" in problems("a: \x00")[0]


@example("08")
@example("1_000")
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc/_"), inner),
        max_leaves=20,
    )
)
def test_what_was_dumped_reads_back(value: object) -> None:
    """Each value that was written reads back as it was."""
    assert parse(dump({"root": value}), "f").value == {"root": value}


@pytest.mark.parametrize("text", ["a:\n\tb: 1\n", "a:\n  b: 1\n \tc: 1\n"])
def test_a_tab_in_front_is_called_a_tab(text: str) -> None:
    """Editors hide it, and the reader of YAML speaks of tokens."""
    (found,) = problems(text)
    assert "the line is indented by a tab; YAML takes spaces only" in found


def test_a_tab_that_is_allowed_is_not_blamed() -> None:
    """Inside of brackets a line may begin with one; what is wrong there is told."""
    (found,) = problems("a: {\n\tb: 1,\n\tc: @x}\n")
    assert "tab" not in found
