"""Sources: files, variables, the command line, merged in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailring_runtime.config.sources import read_sources
from tailring_runtime.errors import ConfigError


def problems(*uris: str, sets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_sources(uris, sets=sets, environ={})
    return [str(problem) for problem in caught.value.problems]


def test_later_files_win_and_maps_are_merged(tmp_path: Path) -> None:
    """Maps are merged key by key, lists and scalars are replaced whole."""
    (tmp_path / "a.yaml").write_text("m: {x: 1, y: [1, 2]}\nk: 1\n")
    (tmp_path / "b.yaml").write_text("m: {y: [3], z: 4}\nk: {deep: 1}\n")
    uris = [str(tmp_path / "a.yaml"), f"file:{tmp_path / 'b.yaml'}"]
    tree = read_sources(uris, sets=(), environ={})
    assert tree.value == {"m": {"x": 1, "y": [3], "z": 4}, "k": {"deep": 1}}
    assert tree.origins[("m", "x")].endswith("a.yaml:1")
    assert tree.origins[("m", "z")].endswith("b.yaml:1")


def test_keys_of_a_file_may_be_joined(tmp_path: Path) -> None:
    """Two colons part keys in a file as on the command line."""
    path = tmp_path / "a.yaml"
    path.write_text("a: {b: 1}\na::c: 2\n")
    tree = read_sources([str(path)], sets=(), environ={})
    assert tree.value == {"a": {"b": 1, "c": 2}}
    assert tree.origins[("a", "c")] == f"{path}:2"


def test_null_replaces_a_block() -> None:
    """A later key without a value empties an earlier block."""
    tree = read_sources(["yaml:a: {b: 1}", "yaml:a:"], sets=(), environ={})
    assert tree.value == {"a": None}


def test_a_variable_can_hold_the_configuration() -> None:
    """The form env:NAME reads YAML from the environment."""
    tree = read_sources(["env:CONF"], sets=(), environ={"CONF": "a: {b: 1}"})
    assert tree.value == {"a": {"b": 1}}
    assert tree.origins[("a", "b")] == "env:CONF:1"


def test_inline_yaml_has_keys_with_colons() -> None:
    """In the form yaml: the two colons separate keys, several at once."""
    tree = read_sources(
        ["yaml:a::b::c: 2s", "yaml:{a::b::d: 1, a::e: 2}"], sets=(), environ={}
    )
    assert tree.value == {"a": {"b": {"c": "2s", "d": 1}, "e": 2}}


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("a.b=c", {"a": {"b": "c"}}),
        ("a.b=5", {"a": {"b": 5}}),
        ("a.b=[1, 2]", {"a": {"b": [1, 2]}}),
        ("a.b=", {"a": {"b": None}}),
        ("a=x=y", {"a": "x=y"}),
        ("a/x.b=true", {"a/x": {"b": True}}),
        ("a::b.c=1", {"a": {"b": {"c": 1}}}),
        (" a.b = 7s ", {"a": {"b": "7s"}}),
    ],
)
def test_set_writes_one_key(assignment: str, value: object) -> None:
    """An assignment sets the key, its value is YAML."""
    tree = read_sources([], sets=[assignment], environ={})
    assert tree.value == value


def test_set_comes_last() -> None:
    """Assignments win over every file, whatever their order."""
    tree = read_sources(["yaml:a::b: 1"], sets=["a.b=2", "a.b=3"], environ={})
    assert tree.value == {"a": {"b": 3}}
    assert tree.origins[("a", "b")] == "--set a.b=3"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_source_is_an_empty_map(text: str) -> None:
    """A file without content adds nothing."""
    tree = read_sources(["env:X"], sets=(), environ={"X": text})
    assert tree.value == {}


def test_every_source_that_fails_is_told(tmp_path: Path) -> None:
    """Problems of all sources are in one answer."""
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"a: \xff\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [\n")
    found = problems(
        str(tmp_path / "missing.yaml"),
        str(bad),
        str(broken),
        "env:NOPE",
        "https://example.com/c.yaml",
        "yaml:[1]",
        sets=("a.b", "a..b=1", "=1"),
    )
    assert len(found) == 9
    assert "missing.yaml: cannot be read: No such file or directory" in found[0]
    assert "is not UTF-8 text: byte 3" in found[1]
    assert "not YAML" in found[2]
    assert "'NOPE' is not set" in found[3]
    assert "the scheme 'https' is not supported; supported are" in found[4]
    assert "is not a map of keys" in found[5]
    assert all("must be written as a.b=value" in text for text in found[6:])


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    """A file that an editor of Windows wrote is read."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_sources([str(path)], sets=(), environ={}).value == {"a": 1, "b": 2}
