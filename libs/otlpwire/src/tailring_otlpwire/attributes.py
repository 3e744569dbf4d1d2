"""The values of one attribute, in a resource header and in the spans of a piece.

Rules kept. The answer is that of the Collector's maps: of several entries of one key in
a map the first counts, a key is compared byte for byte, a resource that is there in
several messages is one (see the values for a value that is). A value of another type
than the one asked for reads as the zero of that type. Malformed bytes raise WireError,
as far as they are looked at: grouping has looked into the span, not into its
attributes.

How it works. Where the bytes of the key do not occur there is no such attribute, so a
search for them rules out most headers and spans before anything is read, and of a span
in which they occur only the attributes around them are looked at.

It does not know scopes, events and links, nor what a value is compared with.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.fields import BODY, Fields
from tailring_otlpwire.keys import RESOURCE_ATTRIBUTE, RESOURCE_NESTING, heads
from tailring_otlpwire.span import ATTRIBUTE, SPAN_NESTING
from tailring_otlpwire.values import (
    BOOL,
    INT,
    Value,
    number_of,
    read_key,
    read_key_value,
)

_RESOURCE_SPANS_NESTING: Final = 1
_SCOPE_SPANS_NESTING: Final = 2


@mypyc_attr(acyclic=True)
class Attribute:
    """The value of an attribute as the type that is asked for."""

    def __init__(self, buf: bytes, value: Value) -> None:
        self._buf = buf
        self._value = value

    def text(self) -> bytes:
        """The bytes of a text, which may be no UTF-8; none for any other value."""
        return self._value.string(self._buf)

    def number(self) -> int:
        """The signed number of a whole one; 0 for any other value."""
        value = self._value
        return number_of(self._buf, value) if value.type == INT else 0

    def truth(self) -> bool:
        """The truth of a boolean; False for any other value."""
        value = self._value
        return value.type == BOOL and number_of(self._buf, value) != 0


def resource_attribute(header: bytes, key: bytes) -> Attribute | None:
    """Find the attribute of a `Piece.resource`; None when it has none of that key."""
    if key not in header:
        return None
    for pos, end in heads(header, 0, len(header), _RESOURCE_SPANS_NESTING):
        fields = Fields(header, pos, end, RESOURCE_NESTING)
        while fields.next():
            if fields.tag == RESOURCE_ATTRIBUTE and _is_of(header, fields, key):
                return Attribute(header, _value_of(header, fields))
    return None


@mypyc_attr(acyclic=True)
class SpanAttributes(Attribute):
    """A cursor over the values that one key has in `Piece.spans`, in their order.

    After `next()` has returned True it is the attribute of the next span that has one.
    """

    def __init__(self, spans: bytes, key: bytes) -> None:
        super().__init__(spans, Value(0))
        self._key = key
        # Where the key's bytes occur next; -1 when they do not.
        self._hit: i64 = spans.find(key)
        self._spans = Fields(spans, 0, len(spans), _SCOPE_SPANS_NESTING)

    def next(self) -> bool:
        """Go to the next span with the attribute; False at the end. May raise."""
        spans = self._spans
        while self._hit >= 0 and spans.next():
            if spans.tag == BODY and self._reaches(spans.at, spans.pos):
                found = self._find(spans.body, spans.pos)
                if found is not None:
                    self._value = found
                    return True
        return False

    def _reaches(self, at: i64, end: i64) -> bool:
        """Whether the key's bytes may begin in [at, end)."""
        if 0 <= self._hit < at:
            self._hit = self._buf.find(self._key, at)
        return 0 <= self._hit < end

    def _find(self, pos: i64, end: i64) -> Value | None:
        """The value of the key in the span in [pos, end), if it is there."""
        buf = self._buf
        fields = Fields(buf, pos, end, SPAN_NESTING)
        while fields.next():
            if fields.tag != ATTRIBUTE or fields.pos <= self._hit:
                continue
            if not self._reaches(fields.at, end):
                return None
            if fields.pos > self._hit and _is_of(buf, fields, self._key):
                return _value_of(buf, fields)
        return None


def _is_of(buf: bytes, field: Fields, key: bytes) -> bool:
    return read_key(buf, field.body, field.pos, field.nesting + 1) == key


def _value_of(buf: bytes, field: Fields) -> Value:
    value = Value(field.nesting + 2)
    read_key_value(buf, field.body, field.pos, value)
    return value
