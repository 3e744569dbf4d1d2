"""Finding, in one pass over an encoded span, the few fields that routing needs.

Rules kept. Fields come in any order and may be repeated: the last one counts, and the
last code of all Status messages, which protobuf merges. Every occurrence of an id must
have the one length OTLP allows (trace_id 16 bytes or none; span_id and parent_span_id
8 or none), because the Collector refuses the request otherwise. The pass notes
positions and decodes nothing but the status code. It looks into the span and its
Status, not into attributes, events or links.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.errors import WireError
from tailring_otlpwire.fields import (
    BYTES,
    FIRST_TAG,
    FIXED64,
    Fields,
    read_int32,
    read_size,
    read_tag,
    skip_value,
)

TRACE_ID: Final = 0x0A
SPAN_ID: Final = 0x12
PARENT_SPAN_ID: Final = 0x22
START: Final = 0x39
END: Final = 0x41
NAME: Final = 0x2A
KIND: Final = 0x30
ATTRIBUTE: Final = 0x4A
STATUS: Final = 0x7A
STATUS_CODE: Final = 0x18

SPAN_NESTING: Final = 3  # request, ResourceSpans, ScopeSpans around it
STATUS_NESTING: Final = 4

ZERO_TRACE_ID: Final = bytes(16)
ZERO_SPAN_ID: Final = bytes(8)


@mypyc_attr(acyclic=True)
class SpanScan:
    """Where the fields of the span last read lie; -1 for a field that is absent."""

    def __init__(self) -> None:
        self.trace_id: i64 = -1
        self.parent: i64 = -1
        self.start: i64 = -1
        self.end: i64 = -1
        self.status: i64 = 0

    def read(self, buf: bytes, pos: i64, end: i64) -> None:
        """Scan the span in buf[pos:end]; raises WireError."""
        self.trace_id = -1
        self.parent = -1
        self.start = -1
        self.end = -1
        self.status = 0
        while pos < end:
            at = pos
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
                if tag == TRACE_ID and size == 16:
                    self.trace_id = pos
                elif tag == STATUS or (tag < ATTRIBUTE and tag != NAME):
                    self._note(buf, pos, size, tag, at)
                pos += size
            elif tag & 7 == FIXED64 and end - pos >= 8:
                if tag == START:
                    self.start = pos
                elif tag == END:
                    self.end = pos
                pos += 8
            elif tag == KIND and pos < end and buf[pos] < 0x80:
                pos += 1
            else:
                pos = skip_value(buf, pos, end, tag, SPAN_NESTING)

    def _note(self, buf: bytes, pos: i64, size: i64, tag: i64, at: i64) -> None:
        if tag == TRACE_ID:
            if size == 16:
                self.trace_id = pos
            elif size == 0:
                self.trace_id = -1
            else:
                raise WireError(at, "trace_id that is not 16 bytes long")
        elif tag == SPAN_ID:
            if size not in (8, 0):
                raise WireError(at, "span_id that is not 8 bytes long")
        elif tag == PARENT_SPAN_ID:
            if size == 8:
                self.parent = pos
            elif size == 0:
                self.parent = -1
            else:
                raise WireError(at, "parent_span_id that is not 8 bytes long")
        elif tag == STATUS:
            self._note_status(buf, pos, pos + size)

    def _note_status(self, buf: bytes, pos: i64, end: i64) -> None:
        if end - pos == 2 and buf[pos] == STATUS_CODE and buf[pos + 1] < 0x80:
            self.status = buf[pos + 1]
            return
        fields = Fields(buf, pos, end, STATUS_NESTING)
        while fields.next():
            if fields.tag == STATUS_CODE:
                self.status, _ = read_int32(buf, fields.body, fields.pos)

    def id_in(self, buf: bytes) -> bytes:
        """The trace id; 16 zero bytes when it is absent, as the Collector holds it."""
        at = self.trace_id
        return ZERO_TRACE_ID if at < 0 else buf[at : at + 16]

    def is_root_in(self, buf: bytes) -> bool:
        """Whether the parent is absent or all zero."""
        at = self.parent
        return at < 0 or (buf[at] == 0 and buf[at : at + 8] == ZERO_SPAN_ID)


def same_id(buf: bytes, one: i64, other: i64) -> bool:
    """Whether the trace ids at two positions are equal; -1 stands for an absent one."""
    if one < 0 or other < 0:
        return one == other
    offset: i64 = 0
    while offset < 16:
        if buf[one + offset] != buf[other + offset]:
            return False
        offset += 1
    return True
