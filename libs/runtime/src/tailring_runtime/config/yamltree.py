"""YAML text to plain values, with the line of every key, typed as go-yaml types it.

Rules:

* Scalars follow the YAML 1.2 core schema and the few extras of go-yaml v3: ``yes``,
  ``on``, ``12:30`` and ``2026-01-01`` are text, ``1e3`` and ``0o17`` are numbers.
* A key that is written twice in one map is a problem, never a silent overwrite.
* Aliases and merge keys work; what they expand to is bounded, so that a small file
  cannot become a huge tree.

It knows nothing of ``${..}``: see `tailring_runtime.config.expand`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from tailring_runtime.errors import ConfigError, Problem

__all__ = ["Path", "Tree", "parse", "plain_value"]

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
        node = _compose(text)
        builder.tree.value = None if node is None else builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError((Problem(f"not YAML: {why}", source=where),)) from error
    except yaml.YAMLError as error:
        problem = Problem(f"not YAML: {error}".replace("\n", " "), source=source)
        raise ConfigError((problem,)) from error
    if builder.problems:
        raise ConfigError(tuple(builder.problems))
    return builder.tree


def _compose(text: str) -> Any:
    loader_class: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = loader_class(text)
    # Only "unquoted and untagged" is asked of the library; the typing is ours.
    loader.yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}
    try:
        return loader.get_single_node()
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

    def _list(self, node: Any, path: Path) -> list[Any]:
        return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]

    def _map(self, node: Any, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.value == "<<" and key_node.tag == _PLAIN:
                merged = self._merge(value_node, path) | merged
                continue
            key = self._key(key_node)
            if key in own:
                message = f"the key {key!r} is written twice in one map"
                self.problems.append(Problem(message, source=self._where(key_node)))
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
        if kind == _PLAIN or kind in ("null", "bool", "int", "float"):
            return plain_value(text)
        if kind not in ("str", "!"):
            self._fail(node, f"the tag {node.tag} is not supported")
        return text

    def _where(self, node: Any) -> str:
        return f"{self._source}:{node.start_mark.line + 1}"

    def _fail(self, node: Any, message: str) -> None:
        problem = Problem(message, source=self._where(node))
        raise ConfigError((*self.problems, problem))
