"""Joining pieces, or whole requests, into one request.

Equal resources (header byte for byte) are merged, equal scopes within them too; both
keep the order in which they were first seen, and spans the order in which they came.
"""

from collections.abc import Iterable, Sequence

from mypy_extensions import i64

from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields, header, varint
from tailring_otlpwire.pieces import Piece

_Scopes = dict[bytes, list[bytes]]


def join(pieces: Iterable[Piece]) -> bytes:
    """Return one request with the spans of all pieces; empty without pieces.

    Linear in the bytes of the pieces' spans plus one copy of each distinct header.
    """
    resources: dict[bytes, _Scopes] = {}
    for piece in pieces:
        _spans_of(resources, piece.resource, piece.scope).append(piece.spans)
    return _encode(resources, [])


def join_requests(bufs: Sequence[bytes]) -> bytes:
    """Return one request with the spans of all requests, merged as by `join`.

    Unknown fields of the requests come last; a resource or scope without spans
    vanishes. Raises WireError, with the offset in its own request, for bytes that are
    malformed above the spans. Where merging is not worth its time, b"".join(bufs) is
    the same request unmerged. Linear in the bytes.
    """
    resources: dict[bytes, _Scopes] = {}
    unknown: list[bytes] = []
    for buf in bufs:
        fields = Fields(buf, 0, len(buf), 0)
        while fields.next():
            if fields.tag == RESOURCE_SPANS:
                _take_resource(resources, buf, fields.body, fields.pos)
            else:
                unknown.append(buf[fields.at : fields.pos])
    return _encode(resources, unknown)


def _spans_of(
    resources: dict[bytes, _Scopes], resource: bytes, scope: bytes
) -> list[bytes]:
    scopes = resources.get(resource)
    if scopes is None:
        scopes = {}
        resources[resource] = scopes
    spans = scopes.get(scope)
    if spans is None:
        spans = []
        scopes[scope] = spans
    return spans


def _take_resource(
    resources: dict[bytes, _Scopes], buf: bytes, pos: i64, end: i64
) -> None:
    head: bytes | None = None
    fields = Fields(buf, pos, end, 1)
    while fields.next():
        if fields.tag != BODY:
            continue
        spans = span_fields(buf, fields.body, fields.pos)
        if spans:
            if head is None:
                head = header(buf, pos, end, 1)
            scope = header(buf, fields.body, fields.pos, 2)
            _spans_of(resources, head, scope).append(spans)


def span_fields(buf: bytes, pos: i64, end: i64) -> bytes:
    """Return the `spans` fields of the ScopeSpans in buf[pos:end], concatenated."""
    fields = Fields(buf, pos, end, 2)
    found: list[bytes] = []
    start = pos
    while fields.next():
        if fields.tag != BODY:
            if fields.at > start:
                found.append(buf[start : fields.at])
            start = fields.pos
    if end > start:
        found.append(buf[start:end])
    return found[0] if len(found) == 1 else b"".join(found)


def _encode(resources: dict[bytes, _Scopes], unknown: list[bytes]) -> bytes:
    out: list[bytes] = []
    for resource, scopes in resources.items():
        place = len(out)
        out.append(b"")
        out.append(resource)
        size: i64 = len(resource)
        for scope, spans in scopes.items():
            prefix = b"\x12" + varint(len(scope) + _bytes_of(spans))
            out.append(prefix)
            out.append(scope)
            out.extend(spans)
            size += len(prefix) + len(scope) + _bytes_of(spans)
        out[place] = b"\x0a" + varint(size)
    out.extend(unknown)
    return b"".join(out)


def _bytes_of(spans: list[bytes]) -> i64:
    total: i64 = 0
    for each in spans:
        total += len(each)
    return total
