"""The size that the Collector would give encoded spans, whatever form they came in.

Rules kept. Its encoder leaves out scalars that are zero, but for the one that is set of
an attribute's value; it writes, even when empty, a resource, a scope, a span's status
and its three ids, the ids of a link and the value of an attribute. An id of zeros is
empty. Of a scalar that is there several times the last counts, messages that are there
several times are merged, and unknown fields are gone. Schema URLs do not count, as
`tail_sampling` drops them before it measures (v0.161).

Linear in the bytes. Raises WireError for malformed ones.
"""

from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.errors import WireError
from tailring_otlpwire.fields import (
    BODY,
    NESTING_MAX,
    Fields,
    read_int32,
    read_int64,
)
from tailring_otlpwire.values import (
    ARRAY,
    BOOL,
    DOUBLE,
    EMPTY,
    ENTRY,
    INDEX,
    INT,
    KEY,
    KEY_VALUE,
    MAP,
    STRING,
    Value,
    is_value,
)
from tailring_otlpwire.values import (
    BYTES as BYTES_VALUE,
)

_HEAD: Final = 0x0A  # field 1: the resource, the scope, an attribute of a resource
_RESOURCE_NESTING: Final = 1
_SCOPE_NESTING: Final = 2
_SPAN_NESTING: Final = 3

# What each field of a message is: by tag.
_TEXT: Final = 1
_NUMBER: Final = 2
_FIXED: Final = 3
_ATTRIBUTES: Final = 4
_ID: Final = 5
_EVENT: Final = 6
_LINK: Final = 7
_STATUS: Final = 8
_SHORT_FIXED: Final = 9
_ENTITY: Final = 10
_TEXTS: Final = 11

_KEY_INDEX: Final = 0x18  # of a KeyValue: an index into a table of profiles

_RESOURCE: Final[dict[int, int]] = {0x0A: _ATTRIBUTES, 0x10: _NUMBER, 0x1A: _ENTITY}
_ENTITY_FIELDS: Final[dict[int, int]] = {
    0x0A: _TEXT,
    0x12: _TEXT,
    0x1A: _TEXTS,
    0x22: _TEXTS,
}
_SCOPE: Final[dict[int, int]] = {
    0x0A: _TEXT,
    0x12: _TEXT,
    0x1A: _ATTRIBUTES,
    0x20: _NUMBER,
}
_SPAN: Final[dict[int, int]] = {
    0x0A: _ID,
    0x12: _ID,
    0x1A: _TEXT,
    0x22: _ID,
    0x2A: _TEXT,
    0x30: _NUMBER,
    0x39: _FIXED,
    0x41: _FIXED,
    0x4A: _ATTRIBUTES,
    0x50: _NUMBER,
    0x5A: _EVENT,
    0x60: _NUMBER,
    0x6A: _LINK,
    0x70: _NUMBER,
    0x7A: _STATUS,
    0x85: _SHORT_FIXED,
}
_SPAN_ID_TAGS: Final = (0x0A, 0x12, 0x22)
_EVENT_FIELDS: Final[dict[int, int]] = {
    0x09: _FIXED,
    0x12: _TEXT,
    0x1A: _ATTRIBUTES,
    0x20: _NUMBER,
}
_LINK_FIELDS: Final[dict[int, int]] = {
    0x0A: _ID,
    0x12: _ID,
    0x1A: _TEXT,
    0x22: _ATTRIBUTES,
    0x28: _NUMBER,
    0x35: _SHORT_FIXED,
}
_STATUS_FIELDS: Final[dict[int, int]] = {0x12: _TEXT, 0x18: _NUMBER}


def varint_size(value: i64) -> i64:
    """How many bytes a number takes as a varint; a negative one takes ten."""
    if value < 0:
        return 10
    size: i64 = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


def framed(size: i64) -> i64:
    """A message of that size with its size and a tag of one byte."""
    return 1 + varint_size(size) + size


def resource_size(header: bytes) -> int:
    """The resource of a `Piece.resource`, framed; it is written even when empty."""
    return framed(_head_size(header, _RESOURCE_NESTING, _RESOURCE))


def scope_size(header: bytes, spans: bytes) -> int:
    """The scope of a `Piece.scope` with its spans, framed."""
    size = framed(_head_size(header, _SCOPE_NESTING, _SCOPE))
    fields = Fields(spans, 0, len(spans), _SCOPE_NESTING)
    while fields.next():
        if fields.tag == BODY:
            size += framed(_span_size(spans, fields.body, fields.pos))
    return framed(size)


def _head_size(header: bytes, nesting: i64, kinds: dict[int, int]) -> i64:
    """The message of field 1, merged out of all that are there."""
    sizes = _Sizes(kinds)
    fields = Fields(header, 0, len(header), nesting)
    while fields.next():
        if fields.tag == _HEAD:
            sizes.read(header, fields.body, fields.pos, nesting + 1)
    return sizes.total()


def _span_size(buf: bytes, pos: i64, end: i64) -> i64:
    sizes = _Sizes(_SPAN)
    sizes.read(buf, pos, end, _SPAN_NESTING)
    return sizes.total()


class _Sizes:
    """The parts of one message, which may be read in several."""

    def __init__(self, kinds: dict[int, int]) -> None:
        self._kinds = kinds
        # Of fields of which the last counts, by tag.
        self._single: dict[int, i64] = {}
        self._repeated: i64 = 0
        self._status: _Sizes | None = None

    def read(self, buf: bytes, pos: i64, end: i64, nesting: i64) -> None:
        fields = Fields(buf, pos, end, nesting)
        while fields.next():
            kind = self._kinds.get(fields.tag)
            if kind is not None:
                self._take(buf, fields, kind, nesting)

    def total(self) -> i64:
        size = self._repeated
        for part in self._single.values():
            size += part
        if self._kinds is _SPAN:
            for tag in _SPAN_ID_TAGS:
                if tag not in self._single:
                    size += 2
            size += 2 if self._status is None else framed(self._status.total())
        elif self._kinds is _LINK_FIELDS:
            for tag in _SPAN_ID_TAGS[:2]:
                if tag not in self._single:
                    size += 2
        return size

    def _take(self, buf: bytes, fields: Fields, kind: i64, nesting: i64) -> None:
        tag: int = fields.tag
        pos = fields.body
        end = fields.pos
        tag_size: i64 = 1 if tag < 0x80 else 2
        if kind == _TEXT:
            self._single[tag] = framed(end - pos) if end > pos else 0
        elif kind == _ID:
            empty = not any(buf[pos:end])
            self._single[tag] = 2 if empty else framed(end - pos)
        elif kind == _NUMBER:
            number, _ = read_int64(buf, pos, end)
            number = _cut(tag, self._kinds, number)
            self._single[tag] = tag_size + varint_size(number) if number else 0
        elif kind in (_FIXED, _SHORT_FIXED):
            self._single[tag] = tag_size + end - pos if any(buf[pos:end]) else 0
        elif kind == _ATTRIBUTES:
            self._repeated += framed(_attribute_size(buf, pos, end, nesting + 1))
        elif kind == _TEXTS:
            self._repeated += framed(end - pos)
        elif kind == _STATUS:
            if self._status is None:
                self._status = _Sizes(_STATUS_FIELDS)
            self._status.read(buf, pos, end, nesting + 1)
        else:
            inner = _Sizes(_fields_of(kind))
            inner.read(buf, pos, end, nesting + 1)
            self._repeated += framed(inner.total())


def _fields_of(kind: i64) -> dict[int, int]:
    """The fields of a message that may be there several times."""
    if kind == _ENTITY:
        return _ENTITY_FIELDS
    return _EVENT_FIELDS if kind == _EVENT else _LINK_FIELDS


def _cut(tag: i64, kinds: dict[int, int], number: i64) -> i64:
    """The number in its 32 bits: enums are signed, counts are not."""
    low = number & 0xFFFFFFFF
    signed = (tag == 0x30 and kinds is _SPAN) or kinds is _STATUS_FIELDS
    return low - 0x100000000 if signed and low > 0x7FFFFFFF else low


def _attribute_size(buf: bytes, pos: i64, end: i64, nesting: i64) -> i64:
    key: i64 = 0
    index: i64 = 0
    value = Value(nesting + 1)
    fields = Fields(buf, pos, end, nesting)
    while fields.next():
        if fields.tag == KEY:
            key = fields.pos - fields.body
        elif fields.tag == KEY_VALUE:
            _read(buf, fields.body, fields.pos, value)
        elif fields.tag == _KEY_INDEX:
            number, _ = read_int32(buf, fields.body, fields.pos)
            index = 1 + varint_size(number) if number else 0
    size = framed(_value_size(buf, value)) + index
    return size + framed(key) if key else size


def _read(buf: bytes, pos: i64, end: i64, value: Value) -> None:
    """As `Value.read`, which takes an index of a profile's table for nothing."""
    value.read(buf, pos, end)
    if value.type != EMPTY or pos == end:
        return
    fields = Fields(buf, pos, end, value.nesting)
    while fields.next():
        if is_value(fields.tag):
            value.type = fields.tag
            value.pos = fields.body
            value.end = fields.pos


def _value_size(buf: bytes, value: Value) -> i64:
    """The AnyValue without its frame."""
    kind = value.type
    if kind in (STRING, BYTES_VALUE):
        return framed(value.end - value.pos)
    if kind == BOOL:
        return 2
    if kind == INT:
        number, _ = read_int64(buf, value.pos, value.end)
        return 1 + varint_size(number)
    if kind == DOUBLE:
        return 9
    if kind == INDEX:
        number, _ = read_int32(buf, value.pos, value.end)
        return 1 + varint_size(number)
    if kind in (ARRAY, MAP):
        return framed(_entries_size(buf, value))
    return 0


def _entries_size(buf: bytes, value: Value) -> i64:
    if value.nesting > NESTING_MAX:
        raise WireError(value.pos, "messages nested too deeply")
    size: i64 = 0
    fields = Fields(buf, value.pos, value.end, value.nesting + 1)
    while fields.next():
        if fields.tag != ENTRY:
            continue
        if value.type == MAP:
            inner = _attribute_size(buf, fields.body, fields.pos, value.nesting + 2)
        else:
            entry = Value(value.nesting + 2)
            _read(buf, fields.body, fields.pos, entry)
            inner = _value_size(buf, entry)
        size += framed(inner)
    return size
