"""``${env:NAME}`` in configurations, by the collector's grammar.

* ``${env:NAME}`` and ``${NAME}`` are a variable, ``${env:NAME:-default}`` has a default
  for when it is not set; ``${file:PATH}`` is a file's text, ``${yaml:TEXT}`` the text.
* References may be nested; the innermost is replaced first, and what it is replaced
  with is searched again.
* ``$$`` is a dollar sign, in what was replaced too; any other ``$`` is itself.
* A reference that is the whole text is typed by YAML and remembers its text, so that a
  number field and a text field can both take it (`Expanded`). One that is a part of a
  text makes a text.
* A variable that is not set is empty and a warning, as upstream.

Only values are expanded, never keys. What references become is bounded, so that
variables that name each other end as a problem.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tailring_runtime.config.types import Expanded
from tailring_runtime.config.yamltree import (
    Path,
    parse,
    plain_value,
    read_text,
    split_keys,
)
from tailring_runtime.errors import ConfigError

__all__ = ["Expander", "key_path"]

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# NAME:-default has no scheme; upstream takes a default only behind env:.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?!-)(.*)", re.DOTALL)
SUPPORTED = (
    "supported are ${env:NAME}, ${env:NAME:-default}, ${NAME}, ${file:PATH} and"
    " ${yaml:TEXT}"
)

# References of one value, those that references bring included.
REFERENCES_MAX = 1000
# How deep a value may nest what references bring, and how long a text may become.
DEPTH_MAX = 50
CHARS_MAX = 1 << 20


class Expander:
    """Expands the values of one tree; keeps the problems and warnings it met."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._left = REFERENCES_MAX
        self.problems: list[tuple[Path, str]] = []
        self.warnings: list[str] = []

    def expand(self, value: Any, path: Path = ()) -> Any:
        """``value`` with every text in it expanded."""
        if isinstance(value, dict):
            return {key: self.expand(v, (*path, key)) for key, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v, (*path, i)) for i, v in enumerate(value)]
        if not isinstance(value, str) or "$" not in value:
            return value
        self._left = REFERENCES_MAX
        try:
            return self._text(value, 0)
        except ValueError as error:
            self.problems.append((path, str(error)))
            return value

    def _nested(self, value: Any, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ValueError("too many recursive expansions")
        if isinstance(value, dict):
            return {key: self._nested(v, depth + 1) for key, v in value.items()}
        if isinstance(value, list):
            return [self._nested(v, depth + 1) for v in value]
        return self._text(value, depth + 1) if isinstance(value, str) else value

    def _text(self, text: str, depth: int) -> Any:
        while reference := _innermost(text):
            self._left -= 1
            if self._left < 0:
                raise ValueError("too many recursive expansions")
            found = self._retrieve(reference[2:-1])
            value = _typed(found)
            if reference == text and not isinstance(value, str):
                original = self._text(found, depth + 1)
                return Expanded(str(original), self._nested(value, depth))
            text = text.replace(reference, found)
            if len(text) > CHARS_MAX:
                raise ValueError(f"expands to more than {CHARS_MAX} characters")
        return text.replace("$$", "$")

    def _retrieve(self, inner: str) -> str:
        scheme = _SCHEME.fullmatch(inner)
        kind, rest = (scheme[1], scheme[2]) if scheme else ("env", inner)
        if "$" in rest:
            raise ValueError(f"{rest!r} holds a dollar sign; {SUPPORTED}")
        if kind == "yaml":
            return rest
        if kind == "file":
            return self._file(rest)
        if kind != "env":
            raise ValueError(f"${{{kind}:..}} is not supported; {SUPPORTED}")
        return self._variable(rest)

    @staticmethod
    def _file(path: str) -> str:
        try:
            return read_text(path)
        except ValueError as error:
            raise ValueError(f"the file {path} {error}") from error

    def _variable(self, written: str) -> str:
        name, separator, default = written.partition(":-")
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a variable; {SUPPORTED}")
        if name in self._environ:
            return self._environ[name]
        if not separator:
            warning = f"the environment variable {name} is not set; it counts as empty"
            if warning not in self.warnings:
                self.warnings.append(warning)
        return default


def _innermost(text: str) -> str:
    """The first ``${..}`` that holds no other and is not escaped; "" for none."""
    start = 0
    while (close := text.find("}", start)) >= 0:
        dollar = text.rfind("${", start, close)
        if dollar >= 0:
            before = text[start:dollar]
            escaping = len(before) - len(before.rstrip("$"))
            if escaping % 2 == 0:
                return text[dollar : close + 1]
        start = close + 1
    return ""


def _typed(text: str) -> Any:
    # One line without structure is a scalar; anything else may be a map or a list.
    if not any(char in text for char in "[]{}:#\n\"'&*!|>-"):
        return plain_value(text.strip())
    try:
        return split_keys(parse(text, "")).value
    except ConfigError:
        # As upstream: what is not YAML is the text itself (a password may be anything).
        return text


def key_path(path: Path) -> str:
    """A path as upstream writes it: ``receivers::otlp::hosts[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"::{part}"
    return text.removeprefix("::")
