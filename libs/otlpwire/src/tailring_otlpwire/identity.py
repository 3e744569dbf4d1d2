"""Identities of resources, scopes, metrics and streams, as the Collector hashes them.

A map of attributes has a hash of 16 bytes that does not depend on their order: XXH64
over a serialisation with sorted keys, and XXH64 over the same with one byte more. An
identity is FNV-1a with 64 bits over such hashes and texts. Of attributes with one key
the first one counts, as often as the key is there.
"""

from struct import Struct
from typing import Final

from mypy_extensions import i64, mypyc_attr
from xxhash import xxh64

from tailring_otlpwire.budget import Budget
from tailring_otlpwire.fields import Fields
from tailring_otlpwire.fragments import Fragments
from tailring_otlpwire.values import (
    BOOL,
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
    read_map,
)
from tailring_otlpwire.values import BYTES as BYTES_VALUE

OFFSET_BASIS: Final = 0xCBF29CE484222325
EMPTY_HASH: Final = bytes(16)

_PRIME_LOW: Final = 0x1B3  # the prime is 2**40 + 0x1b3
_HALF: Final = 0xFFFFFFFF
_INT64: Final = Struct("<q")
_HASHES: Final = Struct("<QQ")


def fnv1a(data: bytes, state: int = OFFSET_BASIS) -> int:
    """Return FNV-1a of `data`; `state` is the hash of what stood before it.

    Each product is taken on halves of 32 bits, so that nothing leaves a machine word.
    """
    high: i64 = state >> 32
    low: i64 = state & _HALF
    for byte in data:
        low ^= byte
        product: i64 = low * _PRIME_LOW
        high = (high * _PRIME_LOW + (product >> 32) + (low << 8)) & _HALF
        low = product & _HALF
    high_word: int = high
    low_word: int = low
    return (high_word << 32) | low_word


@mypyc_attr(acyclic=True)
class AttributeHash:
    """The hash of one map of attributes, which is read in one or more messages."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._entries: list[tuple[bytes, Value]] = []

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
        value = Value(field.nesting + 2)
        key = read_key_value(buf, field.body, field.pos, value)
        self._entries.append((key, value))
        check_entries(len(self._entries), field.at)

    def value(self, buf: bytes) -> bytes:
        """Return the hash, 16 zero bytes of no attributes, and start anew."""
        if not self._entries:
            return EMPTY_HASH
        out = Fragments()
        _write_entries(buf, self._entries, out, self._budget)
        self._entries = []
        hasher = xxh64(out.value())
        first = hasher.intdigest()
        hasher.update(b"\xf3")
        return _HASHES.pack(first, hasher.intdigest())


def _write_entries(
    buf: bytes, entries: list[tuple[bytes, Value]], out: Fragments, budget: Budget
) -> None:
    if len(entries) == 1:
        out.add(b"\xf4" + entries[0][0])
        _write(buf, entries[0][1], out, budget)
        return
    firsts: dict[bytes, Value] = {}
    times: dict[bytes, int] = {}
    for key, value in entries:
        firsts.setdefault(key, value)
        times[key] = times.get(key, 0) + 1
    for key in sorted(firsts):
        value = firsts[key]
        if times[key] == 1:
            out.add(b"\xf4" + key)
            _write(buf, value, out, budget)
            continue
        repeated = Fragments()
        repeated.add(b"\xf4" + key)
        _write(buf, value, repeated, budget)
        written = repeated.value()
        budget.charge(len(written) * (times[key] - 1))
        for _ in range(times[key]):
            out.add(written)


def _write(buf: bytes, value: Value, out: Fragments, budget: Budget) -> None:
    kind = value.type
    if kind == STRING:
        out.add(b"\xf7" + buf[value.pos : value.end])
    elif kind == INT:
        out.add(b"\xfa" + _INT64.pack(number_of(buf, value)))
    elif kind == BOOL:
        out.add(b"\xf8" if number_of(buf, value) else b"\xf9")
    elif kind == DOUBLE:
        out.add(b"\xfb" + buf[value.pos : value.end])
    elif kind == EMPTY:
        out.add(b"\xf5")
    elif kind == BYTES_VALUE:
        out.add(b"\xf6" + buf[value.pos : value.end])
    elif kind == MAP:
        out.add(b"\xfc")
        _write_entries(buf, read_map(buf, value), out, budget)
        out.add(b"\xfd")
    else:
        _write_array(buf, value, out, budget)


def _write_array(buf: bytes, value: Value, out: Fragments, budget: Budget) -> None:
    out.add(b"\xfe")
    fields = Fields(buf, value.pos, value.end, value.nesting + 1)
    while fields.next():
        if fields.tag == ENTRY:
            entry = Value(value.nesting + 2)
            entry.read(buf, fields.body, fields.pos)
            _write(buf, entry, out, budget)
    out.add(b"\xff")
