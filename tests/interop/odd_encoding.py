"""Another encoding of the same trace request: legal, and not what libraries write.

Fields come in any order and numbers with needless bytes; an unknown field stands in
between; a field that is overruled by a later one comes first; a resource and a value
come in two parts. Decoders must read the same from it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["oddly"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_UNKNOWN = 2000  # 1000 are the scopes of old senders

# What lies in a message's fields, by its own name and their numbers.
_NESTED = {
    "request": {1: "resource_spans"},
    "resource_spans": {1: "resource", 2: "scope_spans"},
    "resource": {1: "key_value"},
    "scope_spans": {1: "scope", 2: "span"},
    "scope": {3: "key_value"},
    "span": {9: "key_value", 11: "event", 13: "link"},
    "event": {3: "key_value"},
    "link": {4: "key_value"},
    "key_value": {2: "any_value"},
}
# Single fields of text, of which only the last counts.
_TEXTS = {"key_value": 1, "span": 3}
# Single messages whose parts are one message.
_PARTED = {"resource_spans": 1, "key_value": 2}

_Field = tuple[int, int, bytes]  # number, wire type, what follows the tag


def oddly(rng: random.Random, payload: bytes, message: str = "request") -> bytes:
    """The same message, encoded in another way."""
    nested = _NESTED.get(message, {})
    fields: list[_Field] = []
    for number, kind, body in _fields(payload):
        inner = oddly(rng, body, nested[number]) if number in nested else body
        fields += _as_parts(rng, message, (number, kind, inner))
    fields = _shuffled(rng, fields)
    fields = [*_overruled(rng, message, {number for number, _, _ in fields}), *fields]
    if rng.random() < 0.1:
        fields.insert(rng.randrange(len(fields) + 1), (_UNKNOWN, _BYTES, b"tag"))
    return b"".join(_encoded(rng, *field) for field in fields)


def _as_parts(rng: random.Random, message: str, field: _Field) -> list[_Field]:
    number, kind, body = field
    if _PARTED.get(message) != number or rng.random() < 0.8:
        return [field]
    parts = list(_fields(body))
    cut = rng.randrange(len(parts) + 1)
    return [
        (number, kind, b"".join(_encoded(rng, *one) for one in some))
        for some in (parts[:cut], parts[cut:])
    ]


def _overruled(rng: random.Random, message: str, numbers: set[int]) -> Iterator[_Field]:
    """Fields of which later ones take the place, if there are such."""
    if rng.random() < 0.9:
        return
    if message == "any_value" and numbers:
        yield 3, _VARINT, _varint(rng, 503)
        yield 1, _BYTES, b"overruled"
    elif _TEXTS.get(message) in numbers:
        yield _TEXTS[message], _BYTES, b"k=overruled"


def _shuffled(rng: random.Random, fields: list[_Field]) -> list[_Field]:
    """In another order, but each number's own kept: it is that of lists."""
    if rng.random() < 0.5:
        return fields
    numbers = [number for number, _, _ in fields]
    rng.shuffle(numbers)
    queues = {
        number: iter([field for field in fields if field[0] == number])
        for number in set(numbers)
    }
    return [next(queues[number]) for number in numbers]


def _fields(payload: bytes) -> Iterator[_Field]:
    at = 0
    while at < len(payload):
        tag, at = _read_varint(payload, at)
        kind = tag & 7
        start = at
        if kind == _VARINT:
            _, at = _read_varint(payload, at)
        elif kind == _BYTES:
            size, start = _read_varint(payload, at)
            at = start + size
        else:
            at += {_FIXED64: 8, _FIXED32: 4}[kind]
        yield tag >> 3, kind, payload[start:at]


def _read_varint(payload: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while payload[at] >= 0x80:
        value |= (payload[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | payload[at] << shift, at + 1


def _encoded(rng: random.Random, number: int, kind: int, body: bytes) -> bytes:
    size = _varint(rng, len(body)) if kind == _BYTES else b""
    return _varint(rng, number << 3 | kind) + size + body


def _varint(rng: random.Random, value: int) -> bytes:
    """A number of at most four bytes, sometimes with one that says nothing."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    if rng.random() < 0.03:
        return bytes([*out, value | 0x80, 0])
    return bytes([*out, value])
