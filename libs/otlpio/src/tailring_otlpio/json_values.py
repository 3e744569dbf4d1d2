"""Readers of single JSON values: what each type of protobuf may be written as.

A reader takes what `json.loads` made of a value and returns what the field is set to,
None to leave it unset (which null does, except for text). Raises ValueError with what
was expected.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = [
    "Reader",
    "base64_bytes",
    "boolean",
    "double",
    "enum",
    "hex_id",
    "integer",
    "text",
]

Reader = Callable[[Any], Any]

# More digits than any number has; int() of very long text is slow.
_WHOLE: Final = re.compile(r"-?[0-9]{1,40}")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"nan|[+-]?inf(inity)?", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def text(value: Any) -> str:
    """Text; null is empty text, as the Collector has it."""
    if value is None:
        return ""
    if type(value) is not str:
        raise ValueError("text was expected")
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def boolean(value: Any) -> bool | None:
    """true or false."""
    if value is not None and type(value) is not bool:
        raise ValueError("true or false was expected")
    return value


def integer(least: int, most: int) -> Reader:
    """A reader of whole numbers in this range, as numbers or text."""

    def read(value: Any) -> int | None:
        if value is None:
            return None
        if _is_whole(value):
            value = int(value)
        if type(value) is not int:
            raise ValueError("a whole number was expected")
        if not least <= value <= most:
            raise ValueError("a number out of range")
        return value

    return read


def _is_whole(value: Any) -> bool:
    """Whether text or a float stands for a whole number."""
    if type(value) is str:
        return _WHOLE.fullmatch(value) is not None
    return type(value) is float and value.is_integer()


def enum(numbers: Mapping[str, int]) -> Reader:
    """A reader of an enum: its names, or any number of 32 bits."""
    number = integer(-(2**31), 2**31 - 1)

    def read(value: Any) -> int | None:
        if type(value) is not str:
            return number(value)  # type: ignore[no-any-return]  # a reader of numbers
        if value not in numbers:
            raise ValueError("a name that the enum does not have")
        return numbers[value]

    return read


def double(value: Any) -> float | None:
    """A number, or text of one; NaN and the infinities are text only."""
    if value is None:
        return None
    if type(value) is str:
        if _NO_NUMBER.fullmatch(value):
            return float(value)
        if not _DECIMAL.fullmatch(value):
            raise ValueError("a number was expected")
    elif type(value) not in (int, float):
        raise ValueError("a number was expected")
    try:
        read = float(value)
    except OverflowError as error:
        raise ValueError("a number out of range") from error
    if not math.isfinite(read):
        raise ValueError("a number out of range")
    return read


def base64_bytes(value: Any) -> bytes | None:
    """Base64 in the standard or the URL-safe alphabet, padded or not."""
    if value is None:
        return None
    if type(value) is not str:
        raise ValueError("base64 was expected")
    unpadded = value.translate(_URL_SAFE).rstrip("=")
    return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)


def hex_id(size: int) -> Reader:
    """A reader of an id of ``size`` bytes in hex; it may be empty."""

    def read(value: Any) -> bytes | None:
        if value is None:
            return None
        if type(value) is not str or not _HEX.fullmatch(value):
            raise ValueError("hex was expected")
        if len(value) not in (0, 2 * size):
            raise ValueError(f"an id of {size} bytes was expected")
        return bytes.fromhex(value)

    return read
