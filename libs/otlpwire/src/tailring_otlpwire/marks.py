"""A few bytes of ours that travel with each resource of a request.

A *mark* is one field of a number that OTLP does not use, in each ResourceSpans,
ResourceLogs or ResourceMetrics. It is part of that message's header, so it stays with
the items whatever a request goes through: grouped, joined, cut, on disk. Parts with
different marks have different headers and are never joined.

What is in a mark is for whoever puts it there and takes it away again. A mark that came
with a request is taken away when one is put there: no sender can forge one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tailring_otlpwire.fields import BYTES, RESOURCE_SPANS, Fields, varint

__all__ = ["marked", "unmarked"]

# A number that nobody else is likely to use; protobuf's own are 19,000 to 19,999.
_NUMBER: Final = 112_358
_TAG: Final = _NUMBER << 3 | BYTES
_TAG_BYTES: Final = varint(_TAG)
_RESOURCE_BYTES: Final = varint(RESOURCE_SPANS)


def marked(payload: bytes, mark: bytes) -> bytes:
    """The request with ``mark`` in each of its resources, in place of any other.

    Empty, it only takes away. Raises WireError for a malformed request.
    """
    field = _TAG_BYTES + varint(len(mark)) + mark if mark else b""
    parts: list[bytes] = []
    for found, fields, _ in _parts(payload):
        if not found:
            parts.append(fields)
            continue
        parts += (_RESOURCE_BYTES, varint(len(fields) + len(field)), fields, field)
    return b"".join(parts)


def unmarked(payload: bytes) -> list[tuple[bytes, bytes]]:
    """The marks of a request in order, each with a request of its resources without it.

    A resource without a mark has an empty one. Fields of the request itself stay with
    the first. Raises WireError for a malformed request.
    """
    groups: dict[bytes, list[bytes]] = {}
    rest = b""
    for found, fields, mark in _parts(payload):
        if not found:
            rest += fields
            continue
        group = groups.setdefault(mark, [])
        group += (_RESOURCE_BYTES, varint(len(fields)), fields)
    requests = [(mark, b"".join(group)) for mark, group in groups.items()]
    if rest:
        mark, first = requests[0] if requests else (b"", b"")
        requests[:1] = [(mark, first + rest)]
    return requests


def _parts(payload: bytes) -> Iterator[tuple[bool, bytes, bytes]]:
    """Each field of a request: whether it is a resource, what it is, and its mark.

    Of a resource it is the fields of its message but for marks; the last mark counts.
    """
    request = Fields(payload, 0, len(payload), 0)
    while request.next():
        if request.tag != RESOURCE_SPANS:
            yield False, payload[request.at : request.pos], b""
            continue
        start, kept, mark = request.body, list[bytes](), b""
        fields = Fields(payload, request.body, request.pos, 1)
        while fields.next():
            if fields.tag == _TAG:
                kept.append(payload[start : fields.at])
                mark = payload[fields.body : fields.pos]
                start = fields.pos
        kept.append(payload[start : request.pos])
        yield True, b"".join(kept), mark
