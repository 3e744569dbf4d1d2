"""Trace requests in OTLP JSON that are unusual, doubtful or broken, by name.

Most are one good span with one key more, or with another value for one: `span` takes
the text of the span's further members, `value` that of an attribute's value.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BODIES", "GOOD", "span", "value"]

TRACE_ID = "0102030405060708090a0b0c0d0e0f10"
SPAN_ID = "1112131415161718"
_IDS = f'"traceId":"{TRACE_ID}","spanId":"{SPAN_ID}"'


def span(members: str) -> bytes:
    """A good span with further members (a member given twice is not an error here)."""
    return _spans(f'{{{_IDS},"name":"operation",{members}}}')


def value(text: str) -> bytes:
    """A good span with an attribute whose value is this JSON."""
    return span(f'"attributes":[{{"key":"key","value":{text}}}]')


def _spans(spans: str) -> bytes:
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}'.encode()


def _ids(members: str) -> bytes:
    return _spans(f'{{{members},"name":"operation"}}')


def _deep(levels: int) -> bytes:
    return value('{"arrayValue":{"values":[' * levels + "]}}" * levels)


GOOD = _ids(_IDS)
_TEXT = GOOD.decode()

_DOCUMENTS: Mapping[str, bytes] = {
    "empty": b"",
    "space": b" \n",
    "object": b"{}",
    "good": GOOD,
    "indented": b"\n {" + GOOD[1:] + b"\r\n\t ",
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "text": b'"text"',
    "list": b"[]",
    "garbage": b"\xff" * 50,
    "protobuf-as-json": b"\x0a\x10" + b"x" * 16,
    "truncated": GOOD[:-2],
    "trailing-garbage": GOOD + b" x",
    "trailing-comma": GOOD[:-1] + b",}",
    "two-documents": GOOD + b"\n" + GOOD,
    "single-quotes": GOOD.replace(b'"', b"'"),
    "comment": b"/* spans */" + GOOD,
    "bom": b"\xef\xbb\xbf" + GOOD,
    "utf-16": _TEXT.encode("utf-16"),
    "utf-32": _TEXT.encode("utf-32-le"),
    "unknown-key": GOOD[:-1] + b',"other":{"a":[1,{"b":null}]}}',
    "unknown-key-in-span": span('"other":[1,2,{"x":"y"}]'),
    "duplicate-spans": GOOD[:-1] + b"," + GOOD[1:],
    "duplicate-name": span('"name":"another"'),
    "duplicate-status": span('"status":{"message":"broken"},"status":{"code":2}'),
    "duplicate-attributes": span(
        '"attributes":[{"key":"a"}],"attributes":[{"key":"b"}]'
    ),
    "both-spellings": span('"trace_id":"f102030405060708090a0b0c0d0e0f10"'),
    "both-spellings-of-lists": GOOD[:-1]
    + b","
    + GOOD[1:].replace(b"resourceSpans", b"resource_spans"),
    "resource-spans-null": b'{"resourceSpans":null}',
    "resource-spans-object": b'{"resourceSpans":{}}',
    "resource-spans-text": b'{"resourceSpans":"text"}',
    "resource-spans-of-null": b'{"resourceSpans":[null]}',
    "resource-spans-of-numbers": b'{"resourceSpans":[7]}',
    "empty-envelopes": b'{"resourceSpans":[{"scopeSpans":[{"spans":[]}]},{}]}',
    "empty-span": _spans("{}"),
    "null-span": _spans("null"),
    "snake-case": GOOD.replace(b"resourceSpans", b"resource_spans")
    .replace(b"scopeSpans", b"scope_spans")
    .replace(b"traceId", b"trace_id")
    .replace(b"spanId", b"span_id"),
    "wrong-case-keys": GOOD.replace(b"resourceSpans", b"ResourceSpans"),
    "deprecated-library-spans": GOOD.replace(
        b"scopeSpans", b"instrumentationLibrarySpans"
    ),
    "deep-unknown-60": span('"other":' + "[" * 60 + "]" * 60),
    "deep-unknown-20000": span('"other":' + "[" * 20000 + "]" * 20000),
    "deep-value-20": _deep(20),
    "deep-value-45": _deep(45),
    "deep-value-2000": _deep(2000),
    "long-key": span(f'"{"k" * 100_000}":1'),
    "escaped-key": GOOD.replace(b'"spans"', b'"\\u0073pans"'),
}

_ID_BODIES: Mapping[str, bytes] = {
    "ids-upper": _ids(f'"traceId":"{TRACE_ID.upper()}","spanId":"{SPAN_ID}"'),
    "ids-absent": _ids('"kind":1'),
    "ids-empty": _ids('"traceId":"","spanId":"","parentSpanId":""'),
    "ids-zero": _ids(f'"traceId":"{"0" * 32}","spanId":"{"0" * 16}"'),
    "ids-null": _ids('"traceId":null,"spanId":null'),
    "trace-id-odd": _ids(f'"traceId":"{TRACE_ID[:-1]}","spanId":"{SPAN_ID}"'),
    "trace-id-short": _ids(f'"traceId":"{TRACE_ID[:-2]}","spanId":"{SPAN_ID}"'),
    "trace-id-long": _ids(f'"traceId":"{TRACE_ID}00","spanId":"{SPAN_ID}"'),
    "trace-id-33": _ids(f'"traceId":"{TRACE_ID}0","spanId":"{SPAN_ID}"'),
    "trace-id-not-hex": _ids(f'"traceId":"{TRACE_ID[:-1]}g","spanId":"{SPAN_ID}"'),
    "trace-id-dashes": _ids(
        f'"traceId":"01020304-0506-0708-090a-0b0c0d0e0f10","spanId":"{SPAN_ID}"'
    ),
    "trace-id-spaces": _ids(f'"traceId":" {TRACE_ID} ","spanId":"{SPAN_ID}"'),
    "trace-id-base64": _ids(
        f'"traceId":"AQIDBAUGBwgJCgsMDQ4PEA==","spanId":"{SPAN_ID}"'
    ),
    "trace-id-number": _ids(f'"traceId":1,"spanId":"{SPAN_ID}"'),
    "trace-id-non-ascii": _ids(f'"traceId":"{TRACE_ID[:-2]}é","spanId":"{SPAN_ID}"'),
    "span-id-short": _ids(f'"traceId":"{TRACE_ID}","spanId":"{SPAN_ID[:-2]}"'),
    "span-id-base64": _ids(f'"traceId":"{TRACE_ID}","spanId":"ERITFBUWFxg="'),
    "parent": span('"parentSpanId":"2122232425262728"'),
    "parent-short": span('"parentSpanId":"21"'),
    "parent-not-hex": span('"parentSpanId":"zzzzzzzzzzzzzzzz"'),
    "link": span(f'"links":[{{{_IDS},"traceState":"a=1","flags":257}}]'),
    "link-short-id": span('"links":[{"traceId":"0102"}]'),
    "link-base64-id": span('"links":[{"traceId":"AQIDBAUGBwgJCgsMDQ4PEA=="}]'),
    "link-snake-case": span(f'"links":[{{"trace_id":"{TRACE_ID}"}}]'),
    "null-link": span('"links":[null]'),
}

_SCALARS: Mapping[str, bytes] = {
    "times-as-text": span('"startTimeUnixNano":"1700000000000000001"'),
    "times-as-numbers": span('"startTimeUnixNano":1700000000000000001'),
    "time-largest": span('"endTimeUnixNano":"18446744073709551615"'),
    "time-too-large": span('"endTimeUnixNano":"18446744073709551616"'),
    "time-negative": span('"startTimeUnixNano":"-1"'),
    "time-float": span('"startTimeUnixNano":1.5'),
    "time-whole-float": span('"startTimeUnixNano":17.0'),
    "time-exponent": span('"startTimeUnixNano":1.7e18'),
    "time-exponent-text": span('"startTimeUnixNano":"1.7e18"'),
    "time-empty": span('"startTimeUnixNano":""'),
    "time-spaces": span('"startTimeUnixNano":" 17 "'),
    "time-underscore": span('"startTimeUnixNano":"1_7"'),
    "time-plus": span('"startTimeUnixNano":"+17"'),
    "time-date": span('"startTimeUnixNano":"2026-01-01T00:00:00Z"'),
    "time-null": span('"startTimeUnixNano":null'),
    "time-bool": span('"startTimeUnixNano":true'),
    "time-leading-zero": span('"startTimeUnixNano":"017"'),
    "time-leading-zero-number": span('"startTimeUnixNano":017'),
    "snake-case-time": span('"start_time_unix_nano":"17"'),
    "kind-number": span('"kind":2'),
    "kind-name": span('"kind":"SPAN_KIND_SERVER"'),
    "kind-short-name": span('"kind":"SERVER"'),
    "kind-number-as-text": span('"kind":"2"'),
    "kind-unknown": span('"kind":77'),
    "kind-negative": span('"kind":-1'),
    "kind-float": span('"kind":2.5'),
    "kind-null": span('"kind":null'),
    "kind-bool": span('"kind":true'),
    "kind-too-large": span('"kind":4294967298'),
    "status-number": span('"status":{"code":2,"message":"broken"}'),
    "status-name": span('"status":{"code":"STATUS_CODE_ERROR"}'),
    "status-unknown-name": span('"status":{"code":"ERROR"}'),
    "status-null": span('"status":null'),
    "status-text": span('"status":"ERROR"'),
    "status-code-null": span('"status":{"code":null}'),
    "flags": span('"flags":257'),
    "flags-text": span('"flags":"257"'),
    "flags-negative": span('"flags":-1'),
    "flags-too-large": span('"flags":4294967296'),
    "trace-state": span('"traceState":"a=1"'),
    "dropped": span('"droppedAttributesCount":1,"droppedEventsCount":"2"'),
    "name-number": span('"name":7'),
    "name-null": span('"name":null'),
    "name-bool": span('"name":false'),
    "name-object": span('"name":{}'),
    "attributes-null": span('"attributes":null'),
    "attributes-object": span('"attributes":{"key":"value"}'),
    "attribute-null": span('"attributes":[null]'),
    "attribute-key-number": span('"attributes":[{"key":7}]'),
    "event": span('"events":[{"timeUnixNano":"7","name":"e","attributes":[]}]'),
    "schema-urls": GOOD.replace(b'"scopeSpans"', b'"schemaUrl":"u","scopeSpans"'),
    "scope": GOOD.replace(b'"spans"', b'"scope":{"name":"l","version":"1"},"spans"'),
    "resource": GOOD.replace(
        b'"scopeSpans"',
        b'"resource":{"attributes":[{"key":"k","value":{"stringValue":"v"}}],'
        b'"droppedAttributesCount":3},"scopeSpans"',
    ),
    "resource-null": GOOD.replace(b'"scopeSpans"', b'"resource":null,"scopeSpans"'),
    "resource-list": GOOD.replace(b'"scopeSpans"', b'"resource":[],"scopeSpans"'),
}

_VALUES: Mapping[str, bytes] = {
    "value-null": value("null"),
    "value-empty": value("{}"),
    "value-text": value('{"stringValue":"text"}'),
    "value-text-null": value('{"stringValue":null}'),
    "value-text-number": value('{"stringValue":7}'),
    "value-bare": value('"text"'),
    "value-bool": value('{"boolValue":true}'),
    "value-bool-false": value('{"boolValue":false}'),
    "value-bool-text": value('{"boolValue":"true"}'),
    "value-bool-number": value('{"boolValue":1}'),
    "value-int-text": value('{"intValue":"-9223372036854775808"}'),
    "value-int-number": value('{"intValue":9007199254740993}'),
    "value-int-too-large": value('{"intValue":"9223372036854775808"}'),
    "value-int-number-too-large": value('{"intValue":9223372036854775808}'),
    "value-int-float": value('{"intValue":1.5}'),
    "value-int-whole-float": value('{"intValue":1.0}'),
    "value-int-empty": value('{"intValue":""}'),
    "value-int-bool": value('{"intValue":true}'),
    "value-double": value('{"doubleValue":0.1}'),
    "value-double-int": value('{"doubleValue":7}'),
    "value-double-text": value('{"doubleValue":"2.5e3"}'),
    "value-double-nan": value('{"doubleValue":"NaN"}'),
    "value-double-infinity": value('{"doubleValue":"Infinity"}'),
    "value-double-minus-infinity": value('{"doubleValue":"-Infinity"}'),
    "value-double-inf": value('{"doubleValue":"inf"}'),
    "value-double-nan-lower": value('{"doubleValue":"nan"}'),
    "value-double-bare-nan": value('{"doubleValue":NaN}'),
    "value-double-bare-infinity": value('{"doubleValue":-Infinity}'),
    "value-double-too-large": value('{"doubleValue":1e999}'),
    "value-double-text-too-large": value('{"doubleValue":"1e999"}'),
    "value-double-hex": value('{"doubleValue":"0x1p4"}'),
    "value-double-text-spaces": value('{"doubleValue":" 1 "}'),
    "value-bytes": value('{"bytesValue":"+/8A"}'),
    "value-bytes-url-safe": value('{"bytesValue":"-_8A"}'),
    "value-bytes-unpadded": value('{"bytesValue":"AQI"}'),
    "value-bytes-padded": value('{"bytesValue":"AQI="}'),
    "value-bytes-bad": value('{"bytesValue":"!!!!"}'),
    "value-bytes-lines": value('{"bytesValue":"AQ\\nID"}'),
    "value-bytes-empty": value('{"bytesValue":""}'),
    "value-bytes-list": value('{"bytesValue":[1,2]}'),
    "value-array": value('{"arrayValue":{"values":[{"stringValue":"a"},{}]}}'),
    "value-array-null": value('{"arrayValue":{"values":[null]}}'),
    "value-array-list": value('{"arrayValue":[{"stringValue":"a"}]}'),
    "value-kvlist": value(
        '{"kvlistValue":{"values":[{"key":"k","value":{"intValue":1}}]}}'
    ),
    "value-snake-case": value('{"string_value":"text"}'),
    "value-two": value('{"stringValue":"text","intValue":7}'),
    "value-unknown": value('{"otherValue":1}'),
    "value-string-index": value('{"stringValueStrindex":3}'),
    "escapes": span('"name":"\\u00fc \\n \\"\\/ \\ud83d\\ude42"'),
    "escape-unknown": span('"name":"\\x"'),
    "lone-surrogate": span('"name":"a\\ud800b"'),
    "reversed-surrogates": span('"name":"\\ude42\\ud83d"'),
    "nul": span('"name":"a\\u0000b"'),
    "control-character": span('"name":"a\tb"'),
    "unicode": span('"name":"Grüße, 世界 🙂"'),
    "bad-utf8": span('"kind":1').replace(b"operation", b"caf\xe9 \xff"),
    "bad-utf8-key": span('"kind":1').replace(b'"kind"', b'"k\xff"'),
    "bad-utf8-surrogate": span('"kind":1').replace(b"operation", b"\xed\xa0\x80"),
}

BODIES: Mapping[str, bytes] = {**_DOCUMENTS, **_ID_BODIES, **_SCALARS, **_VALUES}
