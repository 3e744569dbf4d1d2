"""Logs and metrics in OTLP JSON that are unusual, doubtful or broken, by name.

Most are the documents of `odd_json` with the names of the other signal: what is a span
there is a log record, a data point or an exemplar here. The rest is what only logs or
only metrics have.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailring_pipeline import Signal
from tailring_testkit import odd_json

__all__ = ["BODIES"]

_LOGS = (
    (b"resourceSpans", b"resourceLogs"),
    (b"resource_spans", b"resource_logs"),
    (b"ResourceSpans", b"ResourceLogs"),
    (b"scopeSpans", b"scopeLogs"),
    (b"scope_spans", b"scope_logs"),
    (b"instrumentationLibrarySpans", b"instrumentationLibraryLogs"),
    (b'"spans"', b'"logRecords"'),
    (b'"\\u0073pans"', b'"\\u006cogRecords"'),
    (b"startTimeUnixNano", b"timeUnixNano"),
    (b"start_time_unix_nano", b"time_unix_nano"),
    (b"endTimeUnixNano", b"observedTimeUnixNano"),
    (b'"kind"', b'"severityNumber"'),
    (b"SPAN_KIND_SERVER", b"SEVERITY_NUMBER_INFO"),
    (b'"name":', b'"severityText":'),
    (b"operation", b"INFO"),
)
_METRICS = (
    (b"resourceSpans", b"resourceMetrics"),
    (b"resource_spans", b"resource_metrics"),
    (b"ResourceSpans", b"ResourceMetrics"),
    (b"scopeSpans", b"scopeMetrics"),
    (b"scope_spans", b"scope_metrics"),
    (b"instrumentationLibrarySpans", b"instrumentationLibraryMetrics"),
    (b"endTimeUnixNano", b"timeUnixNano"),
)


def _renamed(body: bytes, names: tuple[tuple[bytes, bytes], ...]) -> bytes:
    for old, new in names:
        body = body.replace(old, new)
    return body


def _as_points(body: bytes, *, before: bytes, after: bytes) -> bytes | None:
    """The spans of a document as the points of a gauge, or what is in a point."""
    if body.count(b'"spans":[') != 1 or not body.endswith(b"]}]}]}"):
        return None
    head, _, spans = body[: -len(b"]}]}]}")].partition(b'"spans":[')
    metric = b'"metrics":[{"name":"m","gauge":{"dataPoints":['
    return _renamed(head + metric + before + spans + after + b"]}}]}]}]}", _METRICS)


def _metrics_like_traces() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, body in odd_json.BODIES.items():
        points = _as_points(body, before=b"", after=b"")
        found[name] = _renamed(body, _METRICS) if points is None else points
        inside = _as_points(body, before=b'{"exemplars":[', after=b"]}")
        if inside is not None and "id" in name:
            found[f"exemplar-{name}"] = inside
    return found


def _record(members: str) -> bytes:
    text = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{members}}}]}}]}}]}}'
    return text.encode()


def _metric(members: str) -> bytes:
    text = (
        '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m",'
        f"{members}}}]}}]}}]}}"
    )
    return text.encode()


def _point(kind: str, members: str) -> bytes:
    return _metric(f'"{kind}":{{"dataPoints":[{{{members}}}]}}')


_RECORDS: Mapping[str, bytes] = {
    "body-text": _record('"body":{"stringValue":"text"}'),
    "body-null": _record('"body":null'),
    "body-bare": _record('"body":"text"'),
    "body-map": _record(
        '"body":{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}}'
    ),
    "body-twice": _record('"body":{"stringValue":"a"},"body":{"intValue":7}'),
    "body-nan": _record('"body":{"doubleValue":"NaN"}'),
    "severity-name-of-none": _record('"severityNumber":"INFO"'),
    "severity-above": _record('"severityNumber":25'),
    "event-name": _record('"eventName":"e","severityText":"INFO"'),
    "event-name-null": _record('"eventName":null'),
    "record-flags": _record('"flags":4294967295'),
    "record-flags-above": _record('"flags":4294967296'),
    "record-dropped": _record('"droppedAttributesCount":"3"'),
    "trace-id-without-span": _record(f'"traceId":"{"01" * 16}"'),
    "empty-scopes-of-logs": b'{"resourceLogs":[{"scopeLogs":[]},{"resource":{}}]}',
    "entity-refs": _record('"timeUnixNano":"1"').replace(
        b'{"scopeLogs"',
        b'{"resource":{"entityRefs":[{"type":"t","idKeys":["a",null]}]},"scopeLogs"',
    ),
}

_NUMBERS = {
    "text": '"7"',
    "number": "7",
    "negative": '"-7"',
    "float": "1.5",
    "float-text": '"1.5"',
    "whole-float": "7.0",
    "empty": '""',
    "null": "null",
    "bool": "true",
    "nan": '"NaN"',
    "infinity": '"-Infinity"',
    "large": '"9223372036854775808"',
    "above": '"18446744073709551616"',
}
_NUMBER_FIELDS = {
    "as-int": ("gauge", '"asInt":{}'),
    "as-double": ("gauge", '"asDouble":{}'),
    "count": ("histogram", '"count":{}'),
    "sum": ("histogram", '"sum":{}'),
    "bucket-count": ("histogram", '"bucketCounts":["1",{}]'),
    "bound": ("histogram", '"explicitBounds":[1,{}]'),
    "scale": ("exponentialHistogram", '"scale":{}'),
    "zero-count": ("exponentialHistogram", '"zeroCount":{}'),
    "zero-threshold": ("exponentialHistogram", '"zeroThreshold":{}'),
    "offset": ("exponentialHistogram", '"positive":{{"offset":{}}}'),
    "positive": ("exponentialHistogram", '"positive":{{"bucketCounts":[{}]}}'),
    "quantile": ("summary", '"quantileValues":[{{"quantile":{},"value":1}}]'),
    "summary-sum": ("summary", '"sum":{}'),
    "point-flags": ("sum", '"flags":{}'),
}

_POINTS: Mapping[str, bytes] = {
    **{
        f"{field}-{form}": _point(kind, members.format(number))
        for field, (kind, members) in _NUMBER_FIELDS.items()
        for form, number in _NUMBERS.items()
    },
    "no-data": _metric('"unit":"1"'),
    "gauge-null": _metric('"gauge":null'),
    "gauge-empty": _metric('"gauge":{}'),
    "gauge-list": _metric('"gauge":[]'),
    "points-null": _metric('"gauge":{"dataPoints":null}'),
    "point-null": _metric('"gauge":{"dataPoints":[null]}'),
    "point-empty": _metric('"gauge":{"dataPoints":[{}]}'),
    "gauge-and-sum": _metric(
        '"gauge":{"dataPoints":[{"asInt":"1"}]},"sum":{"dataPoints":[{"asInt":"2"}]}'
    ),
    "gauge-twice": _metric(
        '"gauge":{"dataPoints":[{"asInt":"1"}]},"gauge":{"dataPoints":[{"asInt":"2"}]}'
    ),
    "both-values": _point("gauge", '"asInt":"1","asDouble":2'),
    "value-null-after": _point("gauge", '"asInt":"1","asDouble":null'),
    "sum-of-all": _metric(
        '"sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{"asInt":"1",'
        '"startTimeUnixNano":"1","timeUnixNano":2}]}'
    ),
    "temporality-name": _metric(
        '"sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA",'
        '"dataPoints":[{"asInt":"1"}]}'
    ),
    "temporality-unknown": _metric(
        '"sum":{"aggregationTemporality":77,"dataPoints":[{"asInt":"1"}]}'
    ),
    "temporality-null": _metric(
        '"sum":{"aggregationTemporality":null,"dataPoints":[{"asInt":"1"}]}'
    ),
    "monotonic-text": _metric('"sum":{"isMonotonic":"true","dataPoints":[{}]}'),
    "metadata": _metric(
        '"metadata":[{"key":"k","value":{"stringValue":"v"}}],"gauge":{"dataPoints":[{}]}'
    ),
    "histogram": _point(
        "histogram",
        '"count":"3","sum":4.5,"min":1,"max":2,"bucketCounts":["1",2],'
        '"explicitBounds":[1.5]',
    ),
    "exponential": _point(
        "exponentialHistogram",
        '"count":3,"scale":-1,"zeroCount":"1","negative":{"offset":-2,'
        '"bucketCounts":[1,"2"]}',
    ),
    "buckets-null": _point("exponentialHistogram", '"positive":null'),
    "bucket-counts-null": _point("histogram", '"bucketCounts":null'),
    "summary": _point(
        "summary", '"count":"2","sum":3,"quantileValues":[{"quantile":0.5,"value":"1"}]'
    ),
    "quantile-values-of-null": _point("summary", '"quantileValues":[null]'),
    "exemplar": _point(
        "gauge",
        '"exemplars":[{"asDouble":"Infinity","timeUnixNano":"1","filteredAttributes":'
        f'[{{"key":"k"}}],"traceId":"{"01" * 16}","spanId":"{"02" * 8}"}}]',
    ),
    "exemplar-null": _point("gauge", '"exemplars":[null]'),
}

BODIES: Mapping[Signal, Mapping[str, bytes]] = {
    Signal.LOGS: {
        **{name: _renamed(body, _LOGS) for name, body in odd_json.BODIES.items()},
        **_RECORDS,
    },
    Signal.METRICS: {**_metrics_like_traces(), **_POINTS},
}
