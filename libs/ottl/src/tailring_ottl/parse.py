"""Text to tree: the grammar of `ottl.lark`, and Go's escapes in strings."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from tailring_ottl.errors import ConditionError

__all__ = ["parse", "unquote"]

_DEPTH_MAX = 200  # nested brackets; the compiler walks the tree by recursion
_ESCAPE = re.compile(
    r'\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})'
    r"|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.|$))",
    re.DOTALL,
)
_SHORT = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


@cache
def _grammar() -> Lark:
    text = resources.files("tailring_ottl").joinpath("ottl.lark").read_text("utf-8")
    return Lark(text, parser="lalr", lexer="contextual", propagate_positions=True)


def parse(text: str) -> Tree[Token]:
    """The tree of a condition; ConditionError with line and column."""
    depth = deepest = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    if deepest > _DEPTH_MAX:
        raise ConditionError(f"more than {_DEPTH_MAX} brackets inside each other")
    try:
        return _grammar().parse(text)
    except UnexpectedToken as error:
        if error.token.type == "$END":
            raise ConditionError("condition ends too early") from error
        raise _misplaced(text, error) from error
    except UnexpectedInput as error:
        raise _misplaced(text, error) from error


def _misplaced(text: str, error: UnexpectedInput) -> ConditionError:
    near = text[error.pos_in_stream :][:10].strip()
    where = f"{error.line}:{error.column} near `{near}`"
    return ConditionError(f"condition has invalid syntax at {where}")


def unquote(literal: str) -> str:
    """The string that a quoted literal means; ConditionError for an unknown escape."""
    return _ESCAPE.sub(_replace, literal[1:-1])


def _replace(match: re.Match[str]) -> str:
    short, byte, octal, low, high, other = match.groups()
    if short:
        return _SHORT[short]
    code = int(octal, 8) if octal else int(byte or low or high or "110000", 16)
    bad_octal = octal is not None and code > 0xFF
    if other is not None or bad_octal or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ConditionError(f"`{match[0]}` is no escape of a string")
    return chr(code)
