"""Attributes and values by hand, in spellings that no library would write.

A value is the content of an AnyValue; `request` puts attributes and items where all
three kinds of requests have them.
"""

from __future__ import annotations

import struct

from tailring_testkit.wire import field, number_field, tag

__all__ = [
    "EMPTY",
    "FALSE",
    "TRUE",
    "Attributes",
    "array",
    "attributed",
    "double",
    "integer",
    "mapping",
    "pairs",
    "request",
    "text",
]

TRUE, FALSE = number_field(2, 1), number_field(2, 0)
EMPTY = b""

Attributes = dict[str, bytes]


def text(value: str) -> bytes:
    """A value that is text."""
    return field(1, value.encode())


def integer(value: int) -> bytes:
    """A value that is a whole number."""
    return number_field(3, value % 2**64)


def double(value: float) -> bytes:
    """A value that is a floating number."""
    return tag(4, 1) + struct.pack("<d", value)


def pairs(attributes: Attributes) -> list[bytes]:
    """Attributes as messages, in their order."""
    return [
        field(1, name.encode()) + field(2, value) for name, value in attributes.items()
    ]


def mapping(attributes: Attributes) -> bytes:
    """A value that is a map."""
    return field(6, b"".join(field(1, each) for each in pairs(attributes)))


def array(*values: bytes) -> bytes:
    """A value that is a slice."""
    return field(5, b"".join(field(1, each) for each in values))


def attributed(number: int, attributes: Attributes) -> bytes:
    """Attributes as fields of the given number."""
    return b"".join(field(number, each) for each in pairs(attributes))


def request(resource: Attributes, scope: bytes, *items: bytes) -> bytes:
    """A request of one resource and scope; kinds differ in their items only."""
    scoped = field(1, scope) + b"".join(field(2, each) for each in items)
    return field(1, field(1, attributed(1, resource)) + field(2, scoped))
