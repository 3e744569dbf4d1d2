"""YAML text to plain values, with the line of every key, typed as go-yaml types it.

Rules:

* Scalars follow the YAML 1.2 core schema and the few extras of go-yaml v3: ``yes``,
  ``on``, ``12:30`` and ``2026-01-01`` are text, ``1e3`` and ``0o17`` are numbers.
* A key that is written twice in one map is a problem, never a silent overwrite.
* A key may be a path of keys, joined by two colons (`split_keys`).
* A file is one document; a second one that is not empty is a problem.
* Aliases and merge keys work; what they expand to is bounded, so that a small file
  cannot become a huge tree.

It knows nothing of ``${..}``: see `tailring_runtime.config.expand`.
"""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from tailring_runtime.errors import ConfigError, Problem

__all__ = ["Path", "Tree", "merge", "parse", "plain_value", "read_text", "split_keys"]

# Keys and list positions from the root to a value.
Path = tuple[str | int, ...]

# Values in one document, aliases expanded; real files have hundreds.
VALUES_MAX = 100_000

_TAG = "tag:yaml.org,2002:"
_PLAIN = "plain"
_INT = re.compile(r"[-+]?(0b[01]+|0o[0-7]+|0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_BASES = {"b": 2, "o": 8, "x": 16}
_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}


@dataclass(slots=True)
class Tree:
    """A parsed document and where each of its paths was written (``file:line``)."""

    value: Any = None
    origins: dict[Path, str] = field(default_factory=dict)


def plain_value(text: str) -> object:
    """What an unquoted scalar of this text is."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace("_", "") if text[:1].isdigit() else text
    if _INT.fullmatch(digits):
        return _int(digits)
    return float(digits) if _FLOAT.fullmatch(digits) else text


def _int(digits: str) -> int:
    sign = -1 if digits.startswith("-") else 1
    body = digits.lstrip("+-")
    if len(body) > 1 and body[0] == "0":
        base = _BASES.get(body[1], 8)
        return sign * int(body[2:] if body[1] in _BASES else body, base)
    return sign * int(body)


def parse(text: str, source: str) -> Tree:
    """Read one document. Raises `ConfigError` with the line of each problem."""
    builder = _Builder(source)
    try:
        node = _compose(text, builder)
        builder.tree.value = None if node is None else builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        why = ", ".join(part for part in (error.context, error.problem) if part)
        if mark and "undefined alias" in why:
            # Of the two readers only one tells the name.
            why = f"undefined alias {_word_at(text, mark)}"
        elif mark and _is_of_a_tab(text, mark, why):
            why = "the line is indented by a tab; YAML takes spaces only"
        raise ConfigError((Problem(f"not YAML: {why}", source=where),)) from error
    except yaml.YAMLError as error:
        problem = Problem(f"not YAML: {error}".replace("\n", " "), source=source)
        raise ConfigError((problem,)) from error
    if builder.problems:
        raise ConfigError(tuple(builder.problems))
    return builder.tree


def _word_at(text: str, mark: Any) -> str:
    return re.split(r"[\s,\]}]", text.splitlines()[mark.line][mark.column :])[0]


def _is_of_a_tab(text: str, mark: Any, why: str) -> bool:
    if "tab character that violates indentation" in why:
        return True
    if "cannot start any token" not in why:
        return False
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    return line[mark.column : mark.column + 1] == "\t"


def _compose(text: str, builder: _Builder) -> Any:
    loader_class: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = loader_class(text)
    # Only "unquoted and untagged" is asked of the library; the typing is ours.
    loader.yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}
    try:
        node = loader.get_node() if loader.check_node() else None
        while loader.check_node():
            builder.check_empty(loader.get_node())
        return node
    finally:
        loader.dispose()


class _Builder:
    """Turns nodes into values; one per document."""

    def __init__(self, source: str) -> None:
        self.tree = Tree()
        self.problems: list[Problem] = []
        self._source = source
        self._left = VALUES_MAX
        self._open: list[Any] = []

    def build(self, node: Any, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            self._fail(node, f"more than {VALUES_MAX} values")
        self.tree.origins[path] = self._where(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if any(node is one for one in self._open):
            self._fail(node, "an alias holds itself")
        self._open.append(node)
        build = self._map if isinstance(node, yaml.MappingNode) else self._list
        value = build(node, path)
        self._open.pop()
        return value

    def check_empty(self, node: Any) -> None:
        """Keep the problem of a second document that says something."""
        if not isinstance(node, yaml.ScalarNode) or node.value:
            message = "a second document: one file holds one; give it by a --config"
            self.problems.append(Problem(message, source=self._where(node)))

    def _list(self, node: Any, path: Path) -> list[Any]:
        return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]

    def _map(self, node: Any, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in seen:
                message = f"the key {key!r} is written twice in one map"
                self.problems.append(Problem(message, source=self._where(key_node)))
            seen.add(key)
            if key == "<<" and key_node.tag == _PLAIN:
                merged = self._merge(value_node, path)
                continue
            own[key] = self.build(value_node, (*path, key))
            # A problem of a key points at the key, also when its value is far below.
            self.tree.origins[(*path, key)] = self._where(key_node)
        return merged | own

    def _merge(self, node: Any, path: Path) -> dict[str, Any]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for one in nodes:
            if not isinstance(one, yaml.MappingNode):
                self._fail(one, "<< takes a map or a list of maps")
            merged = self.build(one, path) | merged
        return merged

    def _key(self, node: Any) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._fail(node, "a key must be a single word")
        return str(node.value)

    def _scalar(self, node: Any) -> object:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        value = plain_value(text)
        if kind == _PLAIN:
            return value
        if kind in _TYPES:
            if type(value) not in _TYPES[kind]:
                self._fail(node, f"{text!r} does not fit the tag !!{kind}")
            return value
        if kind in ("binary", "timestamp"):
            self._fail(node, f"the tag !!{kind} is not supported")
        # As upstream: a tag that nobody knows makes a text.
        return text

    def _where(self, node: Any) -> str:
        return f"{self._source}:{node.start_mark.line + 1}"

    def _fail(self, node: Any, message: str) -> None:
        problem = Problem(message, source=self._where(node))
        raise ConfigError((*self.problems, problem))


def read_text(path: str) -> str:
    """The text of a file. Raises ValueError with the reason; waits for the disk."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text: byte {error.start}") from error


def split_keys(tree: Tree) -> Tree:
    """``{"a::b": 1}`` as ``{"a": {"b": 1}}``, at every depth outside lists."""
    if not any("::" in str(part) for path in tree.origins for part in path):
        return tree
    origins = {_split(path): where for path, where in tree.origins.items()}
    for path, where in list(origins.items()):
        for length in range(1, len(path)):
            origins.setdefault(path[:length], where)
    return Tree(_split_value(tree.value), origins)


def _split(path: Path) -> Path:
    parts: list[str | int] = []
    for part in path:
        parts += part.split("::") if isinstance(part, str) else [part]
    return tuple(parts)


def _split_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    whole: dict[str, Any] = {}
    for joined, item in value.items():
        nested = _split_value(item)
        for part in reversed(joined.split("::")):
            nested = {part: nested}
        merge(whole, nested)
    return whole


def merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    """Put ``values`` over ``into``: maps key by key, anything else whole."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
