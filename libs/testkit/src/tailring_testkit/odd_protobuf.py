"""Trace requests in protobuf that are unusual, doubtful or broken, by name.

Most are one good span with something odd at one place: `in_span`, `in_scope`,
`in_resource` put bytes there. `value` makes an attribute of the raw bytes of its value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tailring_testkit import otlp
from tailring_testkit.wire import field, group, number_field, tag, varint

__all__ = ["BODIES", "GOOD", "in_request", "in_resource", "in_scope", "in_span"]

TRACE_ID = bytes(range(1, 17))
SPAN_ID = bytes(range(21, 29))
IDS = field(1, TRACE_ID) + field(2, SPAN_ID)
SPAN = IDS + field(5, b"operation")
BAD_UTF8 = b"caf\xe9 \xff\xfe"


def in_request(extra: bytes) -> bytes:
    """A good request with ``extra`` behind it."""
    return _request(field(2, field(2, SPAN))) + extra


def in_resource(extra: bytes) -> bytes:
    """``extra`` in the ResourceSpans of a good span."""
    return _request(field(2, field(2, SPAN)) + extra)


def in_scope(extra: bytes) -> bytes:
    """``extra`` in the ScopeSpans of a good span."""
    return _request(field(2, field(2, SPAN) + extra))


def in_span(extra: bytes) -> bytes:
    """``extra`` in a good span."""
    return _spans(SPAN + extra)


def value(raw: bytes) -> bytes:
    """A good span with an attribute whose value is encoded as ``raw``."""
    return in_span(field(9, field(1, b"key") + field(2, raw)))


def _request(resource_spans: bytes) -> bytes:
    return field(1, resource_spans)


def _spans(*spans: bytes) -> bytes:
    return _request(field(2, b"".join(field(2, span) for span in spans)))


def _ids(trace_id: bytes | None, span_id: bytes | None, parent: bytes | None) -> bytes:
    given = ((1, trace_id), (2, span_id), (4, parent))
    ids = b"".join(field(n, value) for n, value in given if value is not None)
    return _spans(ids + field(5, b"operation"))


def _deep(levels: int) -> bytes:
    """An array in an array in an array ..."""
    raw = field(1, b"bottom")
    for _ in range(levels):
        raw = field(5, field(1, raw))
    return value(raw)


def _groups(levels: int) -> bytes:
    return tag(99, 3) * levels + tag(99, 4) * levels


def _double(number: float) -> bytes:
    return tag(4, 1) + struct.pack("<d", number)


GOOD = in_span(b"")
_FULL = otlp.request(
    *(otlp.span(TRACE_ID, bytes([i]) * 8, status=i % 3) for i in range(1, 6)),
    resource={"service.name": "shop", "n": 1, "list": ["a", "b"]},
    scope="library",
)
_LINK = field(1, TRACE_ID) + field(2, SPAN_ID)
_KEY = field(1, b"key")

_STRUCTURE: Mapping[str, bytes] = {
    "empty": b"",
    "good": GOOD,
    "full": _FULL,
    "concatenated": GOOD + _FULL,
    "garbage": b"\xff" * 50,
    "text": b"hello, is this the collector?",
    "json-as-protobuf": b'{"resourceSpans": []}',
    "zero-bytes": bytes(20),
    "truncated-request": GOOD[:-1],
    "truncated-size": GOOD + b"\x0a",
    "truncated-tag": GOOD + b"\x8a",
    "size-beyond-end": b"\x0a\x7f" + GOOD[2:],
    "size-negative": b"\x0a" + b"\xff" * 9 + b"\x01",
    "field-number-0": in_span(b"\x02\x01x"),
    "field-number-max": in_span(field(2**29 - 1, b"x")),
    "field-number-above": in_span(varint(2**29 << 3 | 2) + b"\x01x"),
    "wire-type-6": in_span(tag(99, 6)),
    "wire-type-7": in_span(tag(99, 7) + b"x"),
    "no-resource-spans-content": field(1, b""),
    "no-scope-spans-content": _request(field(2, b"")),
    "span-without-content": _spans(b""),
    "resource-only": _request(field(1, field(1, _KEY))),
    "scope-only": _request(field(2, field(1, field(1, b"library")))),
    "many-empty-envelopes": field(1, b"") * 100 + GOOD,
    "resource-twice": _request(
        field(1, field(1, field(1, b"a"))) * 2 + field(2, field(2, SPAN))
    ),
    "scope-twice": in_scope(field(1, field(1, b"a")) + field(1, field(2, b"1"))),
    "resource-after-spans": in_resource(field(1, field(1, _KEY))),
    "scope-after-spans": in_scope(field(1, field(1, b"library"))),
    "schema-urls": _request(
        field(3, b"https://schema.test/r")
        + field(2, field(3, b"https://schema.test/s") + field(2, SPAN))
    ),
    "span-fields-reversed": _spans(field(5, b"operation") + field(2, SPAN_ID) + IDS),
    "name-twice": in_span(field(5, b"another")),
    "status-in-two-parts": in_span(
        field(15, field(2, b"broken")) + field(15, number_field(3, 2))
    ),
    "unknown-in-request": in_request(field(99, b"x") + number_field(98, 7)),
    "unknown-in-resource-spans": in_resource(field(99, b"x") + number_field(98, 7)),
    "unknown-in-scope-spans": in_scope(field(99, b"x") + tag(97, 5) + b"1234"),
    "unknown-in-span": in_span(field(99, b"x") + tag(96, 1) + b"12345678"),
    "unknown-in-status": in_span(field(15, number_field(3, 1) + field(99, b"x"))),
    "group-in-request": in_request(group(99, number_field(1, 1))),
    "group-in-span": in_span(group(99, field(1, b"x") + group(98))),
    "group-unended": in_span(tag(99, 3)),
    "group-end-alone": in_span(tag(99, 4)),
    "group-end-of-another": in_span(tag(99, 3) + tag(98, 4)),
    "groups-20-deep": in_span(_groups(20)),
    "groups-200-deep": in_span(_groups(200)),
    "group-for-spans": in_scope(tag(2, 3) + tag(2, 4)),
    "padded-varints": in_span(tag(6, 0, padding=2) + varint(3, padding=5)),
    "padded-sizes": field(1, GOOD[2:], padding=3),
    "tag-of-six-bytes": in_span(tag(99, 0, padding=4) + b"\x01"),
    "size-of-six-bytes": in_span(tag(99, 2) + varint(1, padding=5) + b"x"),
    "varint-of-ten-bytes": in_span(tag(99, 0) + b"\xff" * 9 + b"\x01"),
    "varint-above-64-bits": in_span(tag(99, 0) + b"\xff" * 9 + b"\x02"),
    "varint-of-eleven-bytes": in_span(tag(99, 0) + b"\xff" * 10 + b"\x01"),
    "deprecated-spans-1000": _request(field(1000, field(2, SPAN))),
    "deprecated-library-1000": _request(
        field(1000, field(1, field(1, b"library") + field(2, b"1.0")) + field(2, SPAN))
    ),
    "deprecated-beside-scope-spans": in_resource(field(1000, field(2, IDS))),
    "deprecated-and-empty-scope-spans": _request(
        field(2, b"") + field(1000, field(2, SPAN))
    ),
    "deprecated-broken": _request(field(1000, b"\xff\xff")),
    "deprecated-short-trace-id": _request(field(1000, field(2, field(1, b"short")))),
    "deprecated-as-number": in_resource(number_field(1000, 1)),
}

_WRONG_TYPES: Mapping[str, bytes] = {
    "resource-spans-as-number": in_request(number_field(1, 1)),
    "resource-as-number": in_resource(number_field(1, 1)),
    "scope-spans-as-number": in_resource(number_field(2, 1)),
    "resource-schema-as-number": in_resource(number_field(3, 1)),
    "scope-as-number": in_scope(number_field(1, 1)),
    "spans-as-number": in_scope(number_field(2, 1)),
    "scope-schema-as-fixed32": in_scope(tag(3, 5) + b"1234"),
    "trace-id-as-number": in_span(number_field(1, 1)),
    "span-id-as-fixed64": in_span(tag(2, 1) + SPAN_ID),
    "name-as-number": in_span(number_field(5, 1)),
    "kind-as-text": in_span(field(6, b"2")),
    "start-as-varint": in_span(number_field(7, otlp.EPOCH_NS)),
    "end-as-text": in_span(field(8, b"12345678")),
    "attributes-as-number": in_span(number_field(9, 1)),
    "dropped-as-fixed32": in_span(tag(10, 5) + b"1234"),
    "events-as-number": in_span(number_field(11, 1)),
    "links-as-number": in_span(number_field(13, 1)),
    "status-as-number": in_span(number_field(15, 2)),
    "status-code-as-text": in_span(field(15, field(3, b"2"))),
    "flags-as-varint": in_span(number_field(16, 1)),
    "attribute-key-as-number": in_span(field(9, number_field(1, 1))),
}

_IDS: Mapping[str, bytes] = {
    "trace-id-15": _ids(TRACE_ID[:15], SPAN_ID, None),
    "trace-id-17": _ids(TRACE_ID + b"x", SPAN_ID, None),
    "trace-id-8": _ids(TRACE_ID[:8], SPAN_ID, None),
    "trace-id-empty": _ids(b"", SPAN_ID, None),
    "trace-id-absent": _ids(None, SPAN_ID, None),
    "trace-id-zero": _ids(bytes(16), SPAN_ID, None),
    "trace-id-twice": in_span(field(1, b"x" * 16)),
    "trace-id-twice-first-short": _spans(field(1, b"short") + SPAN),
    "trace-id-then-empty": in_span(field(1, b"")),
    "span-id-7": _ids(TRACE_ID, SPAN_ID[:7], None),
    "span-id-16": _ids(TRACE_ID, SPAN_ID * 2, None),
    "span-id-empty": _ids(TRACE_ID, b"", None),
    "span-id-absent": _ids(TRACE_ID, None, None),
    "span-id-zero": _ids(TRACE_ID, bytes(8), None),
    "parent-4": _ids(TRACE_ID, SPAN_ID, b"1234"),
    "parent-empty": _ids(TRACE_ID, SPAN_ID, b""),
    "parent-zero": _ids(TRACE_ID, SPAN_ID, bytes(8)),
    "parent": _ids(TRACE_ID, SPAN_ID, b"parentid"),
    "no-ids-at-all": _ids(None, None, None),
    "link-trace-id-15": in_span(field(13, field(1, TRACE_ID[:15]))),
    "link-span-id-9": in_span(field(13, field(2, SPAN_ID + b"x"))),
    "link-without-ids": in_span(field(13, field(3, b"state"))),
}

_TEXT: Mapping[str, bytes] = {
    "bad-utf8-name": in_span(field(5, BAD_UTF8)),
    "bad-utf8-key": in_span(field(9, field(1, BAD_UTF8) + field(2, field(1, b"v")))),
    "bad-utf8-value": value(field(1, BAD_UTF8)),
    "bad-utf8-status": in_span(field(15, field(2, BAD_UTF8))),
    "bad-utf8-trace-state": in_span(field(3, BAD_UTF8)),
    "bad-utf8-event": in_span(field(11, field(2, BAD_UTF8))),
    "bad-utf8-scope": in_scope(field(1, field(1, BAD_UTF8))),
    "bad-utf8-resource": in_resource(field(1, field(1, field(1, BAD_UTF8)))),
    "bad-utf8-schema-url": in_resource(field(3, BAD_UTF8)),
    "nul-in-name": in_span(field(5, b"a\x00b")),
    "surrogate-in-name": in_span(field(5, b"\xed\xa0\x80")),
    "unicode": in_span(field(5, "Grüße, 世界 🙂".encode())),
}

_FIELDS: Mapping[str, bytes] = {
    "trace-state": in_span(field(3, b"a=1,b=2")),
    "flags": in_span(tag(16, 5) + struct.pack("<I", 0x301)),
    "flags-all-bits": in_span(tag(16, 5) + b"\xff" * 4),
    "kind-consumer": in_span(number_field(6, 5)),
    "kind-unknown": in_span(number_field(6, 77)),
    "kind-negative": in_span(number_field(6, 2**64 - 1)),
    "kind-above-32-bits": in_span(number_field(6, 2**32 + 2)),
    "status-unknown": in_span(field(15, number_field(3, 77))),
    "status-deprecated-code": in_span(field(15, number_field(1, 2))),
    "dropped-counts": in_span(b"".join(number_field(n, n) for n in (10, 12, 14))),
    "dropped-above-32-bits": in_span(number_field(10, 2**32 + 5)),
    "dropped-in-resource": in_resource(field(1, number_field(2, 3))),
    "dropped-in-scope": in_scope(field(1, number_field(4, 3))),
    "scope-attributes": in_scope(field(1, field(3, _KEY + field(2, field(1, b"v"))))),
    "entity-refs": in_resource(field(1, field(3, field(2, b"service")))),
    "times-largest": in_span(tag(7, 1) + b"\xff" * 8 + tag(8, 1) + b"\xff" * 8),
    "times-reversed": in_span(tag(7, 1) + b"\x09" * 8 + tag(8, 1) + b"\x01" * 8),
    "link": in_span(
        field(
            13, _LINK + field(3, b"s=1") + number_field(5, 2) + tag(6, 5) + b"\1\0\0\0"
        )
    ),
    "event": in_span(
        field(11, tag(1, 1) + b"\x07" * 8 + field(2, b"exception") + number_field(4, 9))
    ),
    "events-and-links-100": in_span(
        (field(11, field(2, b"e")) + field(13, _LINK)) * 100
    ),
}

_VALUES: Mapping[str, bytes] = {
    "value-text": value(field(1, b"text")),
    "value-text-empty": value(field(1, b"")),
    "value-true": value(number_field(2, 1)),
    "value-bool-7": value(number_field(2, 7)),
    "value-int-min": value(number_field(3, 2**63)),
    "value-int-max": value(number_field(3, 2**63 - 1)),
    "value-int-minus-one": value(number_field(3, 2**64 - 1)),
    "value-double": value(_double(0.1)),
    "value-double-minus-zero": value(_double(-0.0)),
    "value-nan": value(_double(float("nan"))),
    "value-infinity": value(_double(float("inf"))),
    "value-minus-infinity": value(_double(float("-inf"))),
    "value-array": value(field(5, field(1, field(1, b"a")) + field(1, b""))),
    "value-kvlist": value(field(6, field(1, _KEY + field(2, number_field(3, 1))))),
    "value-bytes": value(field(7, bytes(range(256)))),
    "value-bytes-empty": value(field(7, b"")),
    "value-string-index": value(number_field(8, 3)),
    "value-absent": in_span(field(9, _KEY)),
    "value-of-nothing": value(b""),
    "value-two-of-a-kind": value(field(1, b"text") + number_field(3, 7)),
    "value-array-in-two-parts": value(field(5, field(1, b"")) * 2),
    "value-as-number": in_span(field(9, _KEY + number_field(2, 1))),
    "value-int-as-text": value(field(3, b"7")),
    "value-broken": value(b"\xff\xff"),
    "value-broken-size": value(field(1, b"text")[:-1]),
    "value-array-broken": value(field(5, field(1, b"\xff"))),
    "value-1-mib": value(field(1, b"x" * (1 << 20))),
    "value-deep-20": _deep(20),
    "value-deep-45": _deep(45),
    "value-deep-60": _deep(60),
    "value-deep-2000": _deep(2000),
    "event-broken": in_span(field(11, b"\xff\xff")),
    "link-broken": in_span(field(13, b"\xff\xff")),
    "status-broken": in_span(field(15, b"\xff\xff")),
    "resource-broken": in_resource(field(1, b"\xff\xff")),
    "scope-broken": in_scope(field(1, b"\xff\xff")),
    "keys-empty": in_span(field(9, field(1, b"") + field(2, field(1, b"v")))),
    "keys-twice": in_span(field(9, _KEY + field(2, field(1, b"v"))) * 2),
    "attributes-1000": in_span(field(9, _KEY + field(2, number_field(3, 1))) * 1000),
}

BODIES: Mapping[str, bytes] = {
    **_STRUCTURE,
    **_WRONG_TYPES,
    **_IDS,
    **_TEXT,
    **_FIELDS,
    **_VALUES,
}
