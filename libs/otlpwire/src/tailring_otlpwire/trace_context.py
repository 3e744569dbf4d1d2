"""The W3C trace context of encoded spans: their flags and their tracestates.

As in the other readers the last occurrence of a field counts. Bytes that must occur in
a span that matters are searched for first, so that most pieces are not walked.
"""

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.fields import BODY, Fields, varint
from tailring_otlpwire.fragments import Fragments
from tailring_otlpwire.span import SPAN_NESTING

_TRACE_STATE: Final = 0x1A
_FLAGS: Final = 0x85  # field 16, four bytes
_FLAGS_NUMBER: Final = b"\x85"  # the first byte of every spelling of that tag
_SCOPE_SPANS_NESTING: Final = 2
_SAMPLED: Final = 0x01


def any_sampled_flag(spans: bytes) -> bool:
    """Whether a span of `Piece.spans` has the flag `sampled`. Raises WireError."""
    if _FLAGS_NUMBER not in spans:
        return False
    walk = Fields(spans, 0, len(spans), _SCOPE_SPANS_NESTING)
    while walk.next():
        if walk.tag == BODY and _flags_of(spans, walk.body, walk.pos) & _SAMPLED:
            return True
    return False


def _flags_of(buf: bytes, pos: i64, end: i64) -> i64:
    """The low byte of the flags, 0 when they are absent."""
    flags: i64 = 0
    fields = Fields(buf, pos, end, SPAN_NESTING)
    while fields.next():
        if fields.tag == _FLAGS:
            flags = buf[fields.body]
    return flags


def trace_states(spans: bytes, part: bytes) -> list[bytes]:
    """The tracestates of `Piece.spans` that hold `part`, in order. Raises WireError."""
    found: list[bytes] = []
    if part not in spans:
        return found
    walk = Fields(spans, 0, len(spans), _SCOPE_SPANS_NESTING)
    while walk.next():
        if walk.tag == BODY:
            state = _trace_state_of(spans, walk.body, walk.pos)
            if part in state:
                found.append(state)
    return found


def _trace_state_of(buf: bytes, pos: i64, end: i64) -> bytes:
    start = pos
    stop = pos
    fields = Fields(buf, pos, end, SPAN_NESTING)
    while fields.next():
        if fields.tag == _TRACE_STATE:
            start = fields.body
            stop = fields.pos
    return buf[start:stop]


def with_trace_states(spans: bytes, change: Callable[[bytes], bytes | None]) -> bytes:
    """`Piece.spans` with the tracestate of each span changed. Raises WireError.

    `change` is called with each tracestate, empty where there is none, and returns the
    new one, or None where it stays. All other bytes are as they were.
    """
    out = Fragments()
    kept: i64 = 0
    walk = Fields(spans, 0, len(spans), _SCOPE_SPANS_NESTING)
    while walk.next():
        if walk.tag != BODY:
            continue
        changed = change(_trace_state_of(spans, walk.body, walk.pos))
        if changed is not None:
            out.add(spans[kept : walk.at])
            out.add(_span_with(spans, walk.body, walk.pos, changed))
            kept = walk.pos
    out.add(spans[kept:])
    return out.value()


def _span_with(buf: bytes, pos: i64, end: i64, state: bytes) -> bytes:
    """The span in buf[pos:end] with that tracestate, with tag and size."""
    out = Fragments()
    kept = pos
    fields = Fields(buf, pos, end, SPAN_NESTING)
    while fields.next():
        if fields.tag == _TRACE_STATE:
            out.add(buf[kept : fields.at])
            kept = fields.pos
    out.add(buf[kept:end])
    return _framed(out.value(), state)


def _framed(span: bytes, state: bytes) -> bytes:
    field = b"\x1a" + varint(len(state)) + state if state else b""
    return b"\x12" + varint(len(span) + len(field)) + span + field
