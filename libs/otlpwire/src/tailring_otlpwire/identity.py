"""Identities of resources, scopes, metrics and streams, as the Collector hashes them.

A map of attributes has a hash of 16 bytes that does not depend on their order: XXH64
over a serialisation with sorted keys, and XXH64 over the same with one byte more. An
identity is FNV-1a with 64 bits over such hashes and texts. Of attributes with one key
the first one counts, as often as the key is there.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from mypy_extensions import i64, mypyc_attr
from xxhash import xxh64_intdigest

from tailring_otlpwire.budget import Budget
from tailring_otlpwire.fields import Fields
from tailring_otlpwire.fragments import Fragments
from tailring_otlpwire.values import (
    BOOL,
    BYTES,
    DOUBLE,
    EMPTY,
    ENTRY,
    INT,
    MAP,
    STRING,
    Value,
    check_entries,
    number_of,
    read_key_value,
)

EMPTY_HASH: Final = bytes(16)

_PRIME_LOW: Final = 0x1B3  # the prime is 2**40 + 0x1b3
_HALF: Final = 0xFFFFFFFF
_INT64: Final = Struct("<q")
_HASHES: Final = Struct("<QQ")


@mypyc_attr(acyclic=True)
class Identity:
    """FNV-1a with 64 bits over what is added.

    The state is kept in halves of 32 bits, and so are the products: nothing leaves a
    machine word, and the compiled and the plain form are the same lines.
    """

    def __init__(self) -> None:
        self.high: i64 = 0xCBF29CE4
        self.low: i64 = 0x84222325

    def go_on_from(self, other: "Identity") -> None:
        """Be what the other one is now."""
        self.high = other.high
        self.low = other.low

    def add(self, data: bytes) -> None:
        """Take bytes in."""
        high = self.high
        low = self.low
        pos: i64 = 0
        end: i64 = len(data)
        while pos < end:
            byte: i64 = data[pos]
            low ^= byte
            product = low * _PRIME_LOW
            high = (high * _PRIME_LOW + (product >> 32) + (low << 8)) & _HALF
            low = product & _HALF
            pos += 1
        self.high = high
        self.low = low

    def text(self) -> bytes:
        """Return the hash in hexadecimal, without leading zeros."""
        high_word: int = self.high
        low_word: int = self.low
        return b"%x" % (high_word << 32 | low_word)


@mypyc_attr(acyclic=True)
class AttributeHash:
    """The hash of a map of attributes, which is read in one or more messages."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.digest: Callable[[bytes], int] = xxh64_intdigest
        self._entries: dict[bytes, bytes] = {}
        self._again: dict[bytes, int] = {}
        self._value = Value(0)

    def read(self, buf: bytes, pos: i64, end: i64, tag: i64, nesting: i64) -> None:
        """Take the attributes of the message in buf[pos:end].

        `tag` is that of its attributes, `nesting` counts the messages around its
        fields. Raises WireError.
        """
        fields = Fields(buf, pos, end, nesting)
        while fields.next():
            if fields.tag == tag:
                self.add(buf, fields)

    def add(self, buf: bytes, field: Fields) -> None:
        """Take one attribute, which is the field that was just read."""
        value = self._value
        value.clear()
        value.nesting = field.nesting + 2
        key = read_key_value(buf, field.body, field.pos, value)
        if key in self._entries:
            self._again[key] = self._again.get(key, 0) + 1
            return
        check_entries(len(self._entries) + 1, field.at)
        self._entries[key] = b"\xf4" + key + _written(buf, value, self.budget)

    def written(self) -> bytes:
        """Return what is hashed: the entries, sorted by key; and start anew."""
        entries = self._entries
        again = self._again
        self._entries = {}
        if not again:
            return b"".join([entries[key] for key in sorted(entries)])
        self._again = {}
        out: list[bytes] = []
        for key in sorted(entries):
            entry = entries[key]
            times = again.get(key, 0)
            self.budget.charge(len(entry) * times)
            out.append(entry * (times + 1))
        return b"".join(out)

    def value(self) -> bytes:
        """Return the hash, 16 zero bytes of no attributes, and start anew."""
        if not self._entries:
            return EMPTY_HASH
        data = self.written()
        return _HASHES.pack(self.digest(data), self.digest(data + b"\xf3"))


def _written(buf: bytes, value: Value, budget: Budget) -> bytes:
    kind = value.type
    if kind == STRING:
        return b"\xf7" + buf[value.pos : value.end]
    if kind == INT:
        return b"\xfa" + _INT64.pack(number_of(buf, value))
    if kind == BOOL:
        return b"\xf8" if number_of(buf, value) else b"\xf9"
    if kind == DOUBLE:
        return b"\xfb" + buf[value.pos : value.end]
    if kind == EMPTY:
        return b"\xf5"
    if kind == BYTES:
        return b"\xf6" + buf[value.pos : value.end]
    if kind == MAP:
        entries = AttributeHash(budget)
        entries.read(buf, value.pos, value.end, ENTRY, value.nesting + 1)
        return b"\xfc" + entries.written() + b"\xfd"
    return _written_array(buf, value, budget)


def _written_array(buf: bytes, value: Value, budget: Budget) -> bytes:
    out = Fragments()
    out.add(b"\xfe")
    fields = Fields(buf, value.pos, value.end, value.nesting + 1)
    while fields.next():
        if fields.tag == ENTRY:
            entry = Value(value.nesting + 2)
            entry.read(buf, fields.body, fields.pos)
            out.add(_written(buf, entry, budget))
    out.add(b"\xff")
    return out.value()
