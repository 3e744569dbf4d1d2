"""Where a configuration comes from: files, the environment, the command line.

``--config`` takes a path, ``file:PATH``, ``env:NAME`` (the variable holds YAML) and
``yaml:a::b: value``; it may be repeated. Maps are merged, later values win, lists are
replaced whole. ``--set a.b=value`` comes last.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tailring_runtime.config.yamltree import Path, Tree, parse
from tailring_runtime.errors import ConfigError, Problem

__all__ = ["read_sources"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
SUPPORTED = "supported are a path, file:PATH, env:NAME and yaml:KEYS"


def read_sources(
    uris: Sequence[str], *, sets: Iterable[str], environ: Mapping[str, str]
) -> Tree:
    """The merged tree of all sources. Raises `ConfigError` with all their problems."""
    merged = Tree({})
    problems: list[Problem] = []
    for read, what in (
        *((_read_uri, uri) for uri in uris),
        *((_read_set, one) for one in sets),
    ):
        try:
            _merge(merged, _rooted(read(what, environ), what))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    return merged


def _read_uri(uri: str, environ: Mapping[str, str]) -> Tree:
    match = _SCHEME.fullmatch(uri)
    scheme, rest = (match[1], match[2]) if match else ("file", uri)
    if scheme == "file":
        return parse(_file(rest), rest)
    if scheme == "env":
        if rest not in environ:
            _fail(f"the environment variable {rest!r} is not set", uri)
        return parse(environ[rest], uri)
    if scheme == "yaml":
        tree = parse(rest, "yaml:")
        return _split_keys(tree, separator="::")
    _fail(f"the scheme {scheme!r} is not supported; {SUPPORTED}", uri)
    raise AssertionError("unreachable")


def _file(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _error(f"cannot be read: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise _error(f"is not UTF-8 text: byte {error.start}", path) from error


def _read_set(assignment: str, _environ: Mapping[str, str]) -> Tree:
    key, equals, text = assignment.partition("=")
    source = f"--set {assignment}"
    if not equals or not all(key.split(".")):
        _fail("must be written as a.b=value", source)
    tree = parse(text, source)
    return _split_keys(
        Tree({key: tree.value}, {(key,): source}), separator=".", source=source
    )


def _split_keys(tree: Tree, *, separator: str, source: str = "") -> Tree:
    """``{"a::b": 1}`` as ``{"a": {"b": 1}}``."""
    if not isinstance(tree.value, dict):
        return tree
    whole = Tree({})
    for joined, value in tree.value.items():
        path: Path = tuple(joined.split(separator))
        nested: Any = value
        for part in reversed(path):
            nested = {part: nested}
        where = source or tree.origins.get((joined,), "")
        origins = {path[:n]: where for n in range(1, len(path) + 1)}
        _merge(whole, Tree(nested, origins))
    return whole


def _rooted(tree: Tree, source: str) -> Tree:
    if tree.value is None:
        return Tree({})
    if not isinstance(tree.value, dict):
        _fail("the configuration is not a map of keys", source)
    return tree


def _merge(into: Tree, tree: Tree) -> None:
    _merge_maps(into.value, tree.value)
    into.origins |= tree.origins


def _merge_maps(into: dict[str, Any], values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge_maps(into[key], value)
        else:
            into[key] = value


def _error(message: str, source: str) -> ConfigError:
    return ConfigError((Problem(message, source=source),))


def _fail(message: str, source: str) -> None:
    raise _error(message, source)
