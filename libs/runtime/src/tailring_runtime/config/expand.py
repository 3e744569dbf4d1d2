"""``${env:NAME}`` in configurations, by the collector's grammar.

* ``${env:NAME}`` and ``${NAME}`` are the variable; ``${env:NAME:-default}`` has a
  default for when it is not set; ``$$`` is a dollar sign; any other ``$`` is itself.
* References may be nested (``${env:A:-${env:B}}``). What a variable holds is data: it
  is not searched for references again.
* The result remembers its text and is typed anew by YAML, so that a number field and a
  text field can both take it (`Expanded`).
* A variable that is not set is empty and a warning, as upstream.

Only values are expanded, never keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tailring_runtime.config.types import Expanded
from tailring_runtime.config.yamltree import Path, parse, plain_value
from tailring_runtime.errors import ConfigError

__all__ = ["Expander", "key_path"]

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?!-)(.*)", re.DOTALL)
SUPPORTED = "supported are ${env:NAME}, ${env:NAME:-default} and ${NAME}"


class Expander:
    """Expands the values of one tree; keeps the problems and warnings it met."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[tuple[Path, str]] = []
        self.warnings: list[str] = []

    def expand(self, value: Any, path: Path = ()) -> Any:
        """``value`` with every text in it expanded."""
        if isinstance(value, dict):
            return {key: self.expand(v, (*path, key)) for key, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v, (*path, i)) for i, v in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return self._text(value, path)
        return value

    def _text(self, text: str, path: Path) -> str:
        try:
            parts, references = self._parts(text)
        except ValueError as error:
            self.problems.append((path, str(error)))
            return text
        joined = "".join(parts)
        if not references:
            return joined
        return Expanded(joined, _retype(joined))

    def _parts(self, text: str) -> tuple[list[str], int]:
        parts: list[str] = []
        references = at = 0
        while (dollar := text.find("$", at)) >= 0:
            parts.append(text[at:dollar])
            end = _closing(text, dollar)
            if text.startswith("$$", dollar):
                parts.append("$")
                at = dollar + 2
            elif end < 0:
                parts.append("$")
                at = dollar + 1
            else:
                parts.append(self._reference(text[dollar + 2 : end]))
                references += 1
                at = end + 1
        return [*parts, text[at:]], references

    def _reference(self, inner: str) -> str:
        scheme = _SCHEME.fullmatch(inner)
        if scheme is not None and scheme[1] != "env":
            raise ValueError(f"${{{scheme[1]}:..}} is not supported; {SUPPORTED}")
        uri = scheme[2] if scheme is not None else inner
        written, separator, default = uri.partition(":-")
        name = "".join(self._parts(written)[0])
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a variable; {SUPPORTED}")
        if name in self._environ:
            return self._environ[name]
        if separator:
            return "".join(self._parts(default)[0])
        warning = f"the environment variable {name} is not set; it counts as empty"
        if warning not in self.warnings:
            self.warnings.append(warning)
        return ""


def _closing(text: str, dollar: int) -> int:
    """Where the ``${`` at ``dollar`` ends, minding nested ones; -1 when it does not."""
    if not text.startswith("${", dollar):
        return -1
    depth = 0
    at = dollar
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


def _retype(text: str) -> object:
    # One line without structure is a scalar; anything else may be a map or a list.
    if not any(char in text for char in "[]{}:#\n\"'&*!|>-"):
        return plain_value(text.strip())
    try:
        return parse(text, "").value
    except ConfigError:
        # As upstream: what is not YAML is the text itself (a password may be anything).
        return text


def key_path(path: Path) -> str:
    """A path as upstream writes it: ``receivers::otlp::hosts[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"::{part}"
    return text.removeprefix("::")
