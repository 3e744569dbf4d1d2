"""Where a configuration comes from: files, the environment, the command line.

``--config`` takes a path, ``file:PATH``, ``env:NAME`` (the variable holds YAML) and
``yaml:a::b: value``; two colons part keys, in files too. It may be repeated: maps are
merged, later values win, lists are replaced whole. ``--set a.b=value`` comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tailring_runtime.config.yamltree import Tree, merge, parse, read_text, split_keys
from tailring_runtime.errors import ConfigError, Problem

__all__ = ["files_of", "read_sources"]

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


def files_of(uris: Sequence[str]) -> tuple[str, ...]:
    """The paths of those sources that are files, which may change."""
    matches = ((uri, _SCHEME.fullmatch(uri)) for uri in uris)
    return tuple(
        uri if match is None else match[2]
        for uri, match in matches
        if match is None or match[1] == "file"
    )


def _read_uri(uri: str, environ: Mapping[str, str]) -> Tree:
    match = _SCHEME.fullmatch(uri)
    scheme, rest = (match[1], match[2]) if match else ("file", uri)
    if scheme == "file":
        return split_keys(parse(_file(rest), rest))
    if scheme == "env":
        if rest not in environ:
            _fail(f"the environment variable {rest!r} is not set", uri)
        return split_keys(parse(environ[rest], uri))
    if scheme == "yaml":
        return split_keys(parse(rest, "yaml:"))
    _fail(f"the scheme {scheme!r} is not supported; {SUPPORTED}", uri)
    raise AssertionError("unreachable")


def _file(path: str) -> str:
    try:
        return read_text(path)
    except ValueError as error:
        raise _error(str(error), path) from error


def _read_set(assignment: str, _environ: Mapping[str, str]) -> Tree:
    # As upstream: a point and two colons both part keys, blanks around do not count.
    key, equals, text = assignment.partition("=")
    joined = key.strip().replace(".", "::")
    source = f"--set {assignment}"
    if not equals or not all(joined.split("::")):
        _fail("must be written as a.b=value", source)
    tree = parse(text.strip(), source)
    return split_keys(Tree({joined: tree.value}, {(joined,): source}))


def _rooted(tree: Tree, source: str) -> Tree:
    if tree.value is None:
        return Tree({})
    if not isinstance(tree.value, dict):
        _fail("the configuration is not a map of keys", source)
    return tree


def _merge(into: Tree, tree: Tree) -> None:
    merge(into.value, tree.value)
    into.origins |= tree.origins


def _error(message: str, source: str) -> ConfigError:
    return ConfigError((Problem(message, source=source),))


def _fail(message: str, source: str) -> None:
    raise _error(message, source)
