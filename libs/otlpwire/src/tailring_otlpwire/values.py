"""Attribute values: finding them in encoded bytes, and their text.

An AnyValue is a oneof: of several fields the last one counts, and of several messages
for one field too, because protobuf merges them. A map or a slice that comes again
replaces the earlier one, as in the Collector.

The text is the Collector's, byte for byte: text as it is, whole numbers in decimal,
floating ones as ECMAScript writes them, bytes as base64, maps and slices as compact
JSON with sorted keys; nothing for the empty value. JSON knows no NaN and no infinity:
with one of those inside, the whole text is empty.
"""

from base64 import b64encode
from struct import Struct
from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.errors import WireError
from tailring_otlpwire.fields import BYTES as BYTES_TYPE
from tailring_otlpwire.fields import FIRST_TAG, NESTING_MAX, Fields, read_int64
from tailring_otlpwire.fragments import Fragments

KEY: Final = 0x0A
KEY_VALUE: Final = 0x12
ENTRY: Final = 0x0A  # of a map or slice

EMPTY: Final = 0
STRING: Final = 0x0A
BOOL: Final = 0x10
INT: Final = 0x18
DOUBLE: Final = 0x21
ARRAY: Final = 0x2A
MAP: Final = 0x32
BYTES: Final = 0x3A
# An index into a table that only profiles have: the Collector sees an empty value.
INDEX: Final = 0x40

# An entry costs some 200 bytes while its map is sorted, which is much for one of two.
ENTRIES_MAX: Final = 100_000

_DOUBLE: Final = Struct("<d")
_ESCAPES: Final[dict[int, str]] = {
    **{number: f"\\u{number:04x}" for number in range(0x20)},
    **{
        ord(char): "\\" + name for char, name in zip("\b\f\n\r\t", "bfnrt", strict=True)
    },
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
    # What surrogateescape makes of each byte that is no UTF-8.
    **dict.fromkeys(range(0xDC80, 0xDD00), "\\ufffd"),
}


@mypyc_attr(acyclic=True)
class Value:
    """Where a value lies: its type, and its bytes without tag and size.

    `nesting` counts the messages around the value.
    """

    def __init__(self, nesting: i64) -> None:
        self.type: i64 = EMPTY
        self.pos: i64 = 0
        self.end: i64 = 0
        self.nesting: i64 = nesting

    def clear(self) -> None:
        """Be the empty value, to read another one."""
        self.type = EMPTY
        self.pos = 0
        self.end = 0

    def read(self, buf: bytes, pos: i64, end: i64) -> None:
        """Take in the AnyValue in buf[pos:end], after earlier ones of the field."""
        if self.nesting > NESTING_MAX:
            raise WireError(pos, "messages nested too deeply")
        if is_short_field(buf, pos, end) and is_value(buf[pos]):
            self.type = buf[pos]
            self.pos = pos + 2
            self.end = end
            return
        fields = Fields(buf, pos, end, self.nesting)
        while fields.next():
            if is_value(fields.tag):
                self.type = EMPTY if fields.tag == INDEX else fields.tag
                self.pos = fields.body
                self.end = fields.pos

    def string(self, buf: bytes) -> bytes:
        """The text of a value that is text; nothing for any other."""
        return buf[self.pos : self.end] if self.type == STRING else b""


def is_value(tag: i64) -> bool:
    """Whether a field of an AnyValue is one of the oneof."""
    return tag in (STRING, BOOL, INT, DOUBLE, ARRAY, MAP, BYTES, INDEX)


def read_map(buf: bytes, value: Value) -> list[tuple[bytes, Value]]:
    """Return the entries of a map in their order; raises WireError."""
    found: list[tuple[bytes, Value]] = []
    fields = Fields(buf, value.pos, value.end, value.nesting + 1)
    while fields.next():
        if fields.tag == ENTRY:
            entry = Value(value.nesting + 3)
            key = read_key_value(buf, fields.body, fields.pos, entry)
            found.append((key, entry))
            check_entries(len(found), fields.at)
    return found


def check_entries(entries: i64, at: i64) -> None:
    """Refuse a map that is too large to be sorted."""
    if entries > ENTRIES_MAX:
        raise WireError(at, "a map of more attributes than can be routed by")


def is_short_field(buf: bytes, pos: i64, end: i64) -> bool:
    """Whether buf[pos:end] is one field of wire type 2, of less than 128 bytes.

    That is what nearly all values and keys are.
    """
    if end - pos < 2 or buf[pos] & 0x87 != BYTES_TYPE or buf[pos] < FIRST_TAG:
        return False
    return buf[pos + 1] < 0x80 and end - pos - 2 == buf[pos + 1]


def short_key_end(buf: bytes, pos: i64, end: i64) -> i64:
    """Return where the key of the KeyValue in buf[pos:end] ends, if it is plain.

    That is: a key, a value, both short, nothing else; -1 otherwise.
    """
    if end - pos < 4 or buf[pos] != KEY or buf[pos + 1] >= 0x80:
        return -1
    stop: i64 = pos + 2 + buf[pos + 1]
    if stop >= end or buf[stop] != KEY_VALUE or not is_short_field(buf, stop, end):
        return -1
    return stop


def read_key_value(buf: bytes, pos: i64, end: i64, value: Value) -> bytes:
    """Read the KeyValue in buf[pos:end] into `value` and return its key."""
    stop = short_key_end(buf, pos, end)
    if stop >= 0:
        value.read(buf, stop + 2, end)
        return buf[pos + 2 : stop]
    fields = Fields(buf, pos, end, value.nesting - 1)
    start = pos
    stop = pos
    while fields.next():
        if fields.tag == KEY:
            start = fields.body
            stop = fields.pos
        elif fields.tag == KEY_VALUE:
            value.read(buf, fields.body, fields.pos)
    return buf[start:stop]


def read_key(buf: bytes, pos: i64, end: i64, nesting: i64) -> bytes:
    """Return the key of the KeyValue in buf[pos:end]."""
    stop = short_key_end(buf, pos, end)
    if stop >= 0:
        return buf[pos + 2 : stop]
    start = pos
    stop = pos
    fields = Fields(buf, pos, end, nesting)
    while fields.next():
        if fields.tag == KEY:
            start = fields.body
            stop = fields.pos
    return buf[start:stop]


def number_of(buf: bytes, value: Value) -> i64:
    """Return the whole number, or the truth as one, of a value that is such."""
    number, _ = read_int64(buf, value.pos, value.end)
    return number


def float_of(buf: bytes, value: Value) -> float:
    """Return the number of a value that is a floating one."""
    found: float = _DOUBLE.unpack_from(buf, value.pos)[0]
    return found


def text_of(buf: bytes, value: Value) -> bytes:
    """Return the text of a value; raises WireError for one that is malformed.

    At most six times as long as the encoded value.
    """
    kind = value.type
    if kind == STRING:
        return buf[value.pos : value.end]
    if kind == INT:
        return b"%d" % int(number_of(buf, value))
    if kind == DOUBLE:
        return float_text(float_of(buf, value))
    if kind == BOOL:
        return b"true" if number_of(buf, value) else b"false"
    if kind == BYTES:
        return b64encode(buf[value.pos : value.end])
    if kind == EMPTY:
        return b""
    out = Fragments()
    return out.value() if write_json(buf, value, out) else b""


def write_json(buf: bytes, value: Value, out: Fragments) -> bool:
    """Append the JSON of a value; False when there is none."""
    kind = value.type
    if kind == MAP:
        return _write_map(buf, value, out)
    if kind == ARRAY:
        return _write_array(buf, value, out)
    if kind == DOUBLE:
        number = float_of(buf, value)
        if not -_LARGEST <= number <= _LARGEST:
            return False
        out.add(float_text(number))
    elif kind == STRING:
        out.add(_quoted(buf[value.pos : value.end]))
    elif kind == BYTES and value.end > value.pos:
        out.add(b'"' + b64encode(buf[value.pos : value.end]) + b'"')
    elif kind in (INT, BOOL):
        out.add(text_of(buf, value))
    else:
        out.add(b"null")  # empty bytes too: Go has no other nil
    return True


def _write_array(buf: bytes, value: Value, out: Fragments) -> bool:
    between = b"["
    fields = Fields(buf, value.pos, value.end, value.nesting + 1)
    while fields.next():
        if fields.tag != ENTRY:
            continue
        entry = Value(value.nesting + 2)
        entry.read(buf, fields.body, fields.pos)
        out.add(between)
        between = b","
        if not write_json(buf, entry, out):
            return False
    out.add(b"[]" if between == b"[" else b"]")
    return True


def _write_map(buf: bytes, value: Value, out: Fragments) -> bool:
    # Of entries with one key the last one counts here.
    entries = dict(read_map(buf, value))
    between = b"{"
    for key in sorted(entries):
        out.add(between + _quoted(key) + b":")
        between = b","
        if not write_json(buf, entries[key], out):
            return False
    out.add(b"{}" if between == b"{" else b"}")
    return True


def _quoted(text: bytes) -> bytes:
    escaped = text.decode("utf-8", "surrogateescape").translate(_ESCAPES)
    return b'"' + escaped.encode() + b'"'


_LARGEST: Final = 1.7976931348623157e308


def float_text(number: float) -> bytes:
    """Return a number as ECMAScript writes it, but -0 with its sign.

    The shortest digits that give the number again, without exponent from 1e-6 up to
    1e21.
    """
    if number != number:  # noqa: PLR0124 -- that is what NaN is
        return b"NaN"
    sign = "-" if repr(number)[0] == "-" else ""
    size = abs(number)
    if size > _LARGEST:
        return (sign + "Infinity").encode()
    if size == 0 or 1e-6 <= size < 1e21:
        return (sign + plain(size)).encode()
    exponent = decimal_point(size) - 1
    return f"{sign}{mantissa(size)}e{exponent:+d}".encode()


def digits_of(size: float) -> str:
    """Return the shortest digits of a finite number from 0 on, without the point."""
    before, _, after = repr(size).partition("e")[0].partition(".")
    return (before + after).strip("0") or "0"


def decimal_point(size: float) -> int:
    """Return behind how many of the digits the point stands; negative: before them."""
    text, _, exponent = repr(size).partition("e")
    before, _, after = text.partition(".")
    if before != "0":
        return len(before) + int(exponent or "0")
    return len(after.lstrip("0")) - len(after) if after != "0" else 1


def mantissa(size: float) -> str:
    """Return the digits with a point behind the first, if more follow."""
    digits = digits_of(size)
    return digits if len(digits) == 1 else digits[0] + "." + digits[1:]


def plain(size: float) -> str:
    """Return a number from 0 on without an exponent."""
    digits = digits_of(size)
    point = decimal_point(size)
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return digits[:point] + "." + digits[point:]
