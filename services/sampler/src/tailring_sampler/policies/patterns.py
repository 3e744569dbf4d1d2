"""Regular expressions of the configuration: RE2, as upstream's, in linear time.

Go's package and the RE2 library take the same syntax but for rare names of Unicode
classes (docs/compatibility.md) and for ``\\C``, one byte, which Go refuses and so do
we. A byte that is no UTF-8 is one unknown character to Go, which ``.`` matches, and
nothing to the library: it is replaced before.
"""

from __future__ import annotations

from typing import Any, Final

import re2  # type: ignore[import-untyped]  # it brings none

__all__ = ["Pattern", "to_utf8"]

# Go bounds the repetitions of a pattern, the library the memory of what it compiles to,
# and what that leaves it fills with states while it searches: made-up texts fill all of
# it. So the least is taken in which a pattern fits; the first is the library's default.
_MEMORY_BYTES: Final = (8 << 20, 32 << 20, 128 << 20, 256 << 20)
_NOT_UTF8: Final = dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")


class Pattern:
    """One regular expression, searched for anywhere in a text."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for what is no pattern, with upstream's beginning."""
        if _wants_one_byte(text):
            raise ValueError(f"invalid regex `{text}`: invalid escape sequence: \\C")
        try:
            self._compiled = _compiled(text)
        except re2.error as error:
            raise ValueError(f"invalid regex `{text}`: {_told(error)}") from error
        self._found = self._compiled.search

    @property
    def memory_bytes(self) -> int:
        """What the pattern and the states of its searches may take."""
        return int(self._compiled.options.max_mem)

    def found_in(self, text: bytes) -> bool:
        """Whether the pattern occurs in a text, which is UTF-8."""
        return self._found(text) is not None


def _wants_one_byte(text: str) -> bool:
    at = text.find("\\")
    while 0 <= at < len(text) - 1:
        escaped = text[at + 1]
        if escaped == "C":
            return True
        after = at + 2
        if escaped == "Q":
            end = text.find("\\E", after)
            after = end + 2 if end >= 0 else len(text)
        at = text.find("\\", after)
    return False


def _compiled(text: str) -> Any:
    *less, most = _MEMORY_BYTES
    for memory_bytes in less:
        try:
            return re2.compile(text, _options(memory_bytes))
        except re2.error as error:
            if "too large" not in _told(error):
                raise
    return re2.compile(text, _options(most))


def _options(memory_bytes: int) -> Any:
    options: Any = re2.Options()
    options.log_errors = False
    options.max_mem = memory_bytes
    return options


def _told(error: Exception) -> str:
    reason = error.args[0] if error.args else "?"
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def to_utf8(text: bytes) -> bytes:
    """The text with U+FFFD in place of every byte that is no UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode(errors="surrogateescape").translate(_NOT_UTF8).encode()
    return text
