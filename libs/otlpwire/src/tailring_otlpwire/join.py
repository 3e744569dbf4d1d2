"""Joining pieces, or whole requests, into one request.

Equal resources (header byte for byte) are merged, equal scopes within them too; both
keep the order in which they were first seen, and spans the order in which they came.
"""

from collections.abc import Iterable, Sequence

from mypy_extensions import i64

from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields, varint
from tailring_otlpwire.fragments import Fragments
from tailring_otlpwire.header import header, span_fields
from tailring_otlpwire.pieces import Piece

_Scopes = dict[bytes, Fragments]


def join(pieces: Iterable[Piece]) -> bytes:
    """Return one request with the spans of all pieces; empty without pieces.

    Linear in the bytes of the pieces' spans plus one copy of each distinct header.
    """
    resources: dict[bytes, _Scopes] = {}
    for piece in pieces:
        _spans_of(resources, piece.resource, piece.scope).add(piece.spans)
    return _encode(resources, Fragments())


def join_requests(bufs: Sequence[bytes]) -> bytes:
    """Return one request with the spans of all requests, merged as by `join`.

    Unknown fields of the requests come last; a resource or scope without spans
    vanishes. Raises WireError, with the offset in its own request, for bytes that are
    malformed above the spans. Where merging is not worth its time, b"".join(bufs) is
    the same request unmerged. Linear in the bytes.
    """
    resources: dict[bytes, _Scopes] = {}
    unknown = Fragments()
    for buf in bufs:
        fields = Fields(buf, 0, len(buf), 0)
        while fields.next():
            if fields.tag == RESOURCE_SPANS:
                _take_resource(resources, buf, fields.body, fields.pos)
        unknown.add(header(buf, 0, len(buf), 0))
    return _encode(resources, unknown)


def _spans_of(
    resources: dict[bytes, _Scopes], resource: bytes, scope: bytes
) -> Fragments:
    scopes = resources.get(resource)
    if scopes is None:
        scopes = {}
        resources[resource] = scopes
    spans = scopes.get(scope)
    if spans is None:
        spans = Fragments()
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
            _spans_of(resources, head, scope).add(spans)


def _encode(resources: dict[bytes, _Scopes], unknown: Fragments) -> bytes:
    out = Fragments()
    for resource, scopes in resources.items():
        inner = Fragments()
        for scope, spans in scopes.items():
            inner.add(b"\x12" + varint(len(scope) + spans.size))
            inner.add(scope)
            inner.take_all(spans)
        out.add(b"\x0a" + varint(len(resource) + inner.size))
        out.add(resource)
        out.take_all(inner)
    out.take_all(unknown)
    return out.value()
