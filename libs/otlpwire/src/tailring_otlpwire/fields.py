"""Reading protobuf fields from a buffer: tags, sizes, varints, groups.

Rules kept. Nothing is read outside [pos, end); every reader returns a larger position
or raises WireError, so that a loop over fields ends; nothing recurses. A field whose
number or wire type is not the expected one is unknown and is skipped, as protobuf
demands. A reader has one shape: `read_x(buf, pos, end) -> (value, pos)`.

What is refused is what either protobuf's own decoders (upb, C++) or Go's refuse, so
that what passes here passes behind us: a tag or a size of more than five bytes, a tag
above 32 bits, field number 0, a varint of more than ten bytes or with bits above the
64th, the wire types 6 and 7, a group that is not ended, ended by another number, or
nested so that messages and groups are more than NESTING_MAX deep.

It does not know what a field means.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.errors import WireError

NESTING_MAX: Final = 100  # the limit of protobuf's decoders, the request itself is 0

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
GROUP: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

RESOURCE_SPANS: Final = 0x0A  # field 1 of the request
BODY: Final = 0x12  # field 2 of a ResourceSpans, its scopes, and of a ScopeSpans

LONG_TAG_BITS: Final = 35  # five bytes of seven bits
SIGN_BIT: Final = 63
INT64_MIN: Final = -(2**63)
TAG_MAX: Final = 0xFFFFFFFF
FIRST_TAG: Final = 8  # field number 1, wire type 0

_BYTE: Final = [bytes((number,)) for number in range(256)]


def read_short(buf: bytes, pos: i64, end: i64) -> tuple[i64, i64]:
    """Read a varint of at most five bytes, as tags and sizes are."""
    value: i64 = 0
    shift: i64 = 0
    at = pos
    while pos < end:
        byte: i64 = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift == LONG_TAG_BITS:
            raise WireError(at, "tag or size longer than five bytes")
    raise WireError(at, "tag or size cut off")


def read_tag(buf: bytes, pos: i64, end: i64) -> tuple[i64, i64]:
    """Read a tag: field number * 8 + wire type."""
    tag, after = read_short(buf, pos, end)
    if tag < FIRST_TAG:
        raise WireError(pos, "field number 0")
    if tag > TAG_MAX:
        raise WireError(pos, "field number too large")
    return tag, after


def read_size(buf: bytes, pos: i64, end: i64) -> tuple[i64, i64]:
    """Read the size of what follows, which must lie within [pos, end)."""
    size, after = read_short(buf, pos, end)
    if size > end - after:
        raise WireError(pos, "size beyond the end of the message")
    return size, after


def read_int32(buf: bytes, pos: i64, end: i64) -> tuple[i64, i64]:
    """Read a varint and keep its low 32 bits, as protobuf does for int32 and enums."""
    after = skip_varint(buf, pos, end)
    value: i64 = 0
    shift: i64 = 0
    while pos < after and shift < LONG_TAG_BITS:
        byte: i64 = buf[pos]
        value |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
    value &= 0xFFFFFFFF
    if value >= 0x80000000:
        value -= 0x100000000
    return value, after


def read_int64(buf: bytes, pos: i64, end: i64) -> tuple[i64, i64]:
    """Read a varint as the signed number of its 64 bits."""
    after = skip_varint(buf, pos, end)
    value: i64 = 0
    shift: i64 = 0
    while pos < after:
        byte: i64 = buf[pos]
        if shift == SIGN_BIT:
            return (value + INT64_MIN if byte else value), after
        value |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
    return value, after


def read_fixed64(buf: bytes, pos: i64) -> i64:
    """Read eight bytes as a signed number; the caller knows that they are there."""
    b0: i64 = buf[pos]
    b1: i64 = buf[pos + 1]
    b2: i64 = buf[pos + 2]
    b3: i64 = buf[pos + 3]
    b4: i64 = buf[pos + 4]
    b5: i64 = buf[pos + 5]
    b6: i64 = buf[pos + 6]
    b7: i64 = buf[pos + 7]
    if b7 >= 0x80:
        b7 -= 0x100  # two's complement without a shift that overflows
    low = b0 | b1 << 8 | b2 << 16 | b3 << 24
    return low | b4 << 32 | b5 << 40 | b6 << 48 | b7 << 56


def skip_varint(buf: bytes, pos: i64, end: i64) -> i64:
    """Return the position after a varint of at most ten bytes and 64 bits."""
    at = pos
    last = pos + 9
    while pos < end:
        byte: i64 = buf[pos]
        if byte < 0x80:
            if pos == last and byte > 1:
                raise WireError(at, "varint above 64 bits")
            return pos + 1
        if pos == last:
            raise WireError(at, "varint longer than ten bytes")
        pos += 1
    raise WireError(at, "varint cut off")


def skip_value(buf: bytes, pos: i64, end: i64, tag: i64, nesting: i64) -> i64:
    """Return the position after the value whose tag was just read.

    `nesting` counts the messages around the field; groups in it add to it.
    """
    kind = tag & 7
    if kind == BYTES:
        size, pos = read_size(buf, pos, end)
        return pos + size
    if kind == VARINT:
        return skip_varint(buf, pos, end)
    if kind == GROUP:
        return skip_group(buf, pos, end, tag, nesting)
    if kind == GROUP_END:
        raise WireError(pos, "end of a group that was not begun")
    if kind > FIXED32:
        raise WireError(pos, "wire type that does not exist")
    width: i64 = 8 if kind == FIXED64 else 4
    if end - pos < width:
        raise WireError(pos, "fixed-width value cut off")
    return pos + width


def skip_group(buf: bytes, pos: i64, end: i64, tag: i64, nesting: i64) -> i64:
    """Return the position after a group, of which `tag` was the beginning."""
    at = pos
    begun = [tag]
    while begun:
        if pos >= end:
            raise WireError(at, "group not ended")
        here = pos
        tag, pos = read_short(buf, pos, end)
        if tag < FIRST_TAG or tag > TAG_MAX:
            raise WireError(here, "field number out of range in a group")
        kind = tag & 7
        if kind == GROUP:
            begun.append(tag)
        elif kind == GROUP_END:
            if begun.pop() != tag - 1:
                raise WireError(here, "group ended by another number")
        else:
            pos = skip_value(buf, pos, end, tag, nesting)
        if len(begun) + nesting > NESTING_MAX:
            raise WireError(here, "groups nested too deeply")
    return pos


@mypyc_attr(acyclic=True)
class Fields:
    """A cursor over the fields of the message in buf[pos:end].

    After `next()` has returned True, the field of `tag` lies in [at, pos) and its
    value, without the size, in [body, pos).
    """

    def __init__(self, buf: bytes, pos: i64, end: i64, nesting: i64) -> None:
        self.buf = buf
        self.pos: i64 = pos
        self.end: i64 = end
        self.nesting: i64 = nesting
        self.tag: i64 = 0
        self.at: i64 = pos
        self.body: i64 = pos

    def next(self) -> bool:
        """Go to the next field; False at the end. Raises WireError."""
        pos = self.pos
        end = self.end
        if pos >= end:
            return False
        buf = self.buf
        self.at = pos
        tag: i64 = buf[pos]
        if FIRST_TAG <= tag < 0x80:
            pos += 1
        else:
            tag, pos = read_tag(buf, pos, end)
        if tag & 7 == BYTES:
            size: i64 = buf[pos] if pos < end else 0x80
            if size < 0x80 and size < end - pos:
                pos += 1
            else:
                size, pos = read_size(buf, pos, end)
            self.body = pos
            self.pos = pos + size
        else:
            self.body = pos
            self.pos = skip_value(buf, pos, end, tag, self.nesting)
        self.tag = tag
        return True


def varint(value: i64) -> bytes:
    """Encode a number that is not negative."""
    if value < 0x80:
        return _BYTE[value]
    if value < 0x4000:
        return _BYTE[value & 0x7F | 0x80] + _BYTE[value >> 7]
    encoded = b""
    while value >= 0x80:
        encoded += _BYTE[value & 0x7F | 0x80]
        value >>= 7
    return encoded + _BYTE[value]
