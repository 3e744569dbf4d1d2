"""OTLP JSON of logs and metrics: what only they have; the rest is as for traces."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tailring_otlpio import request_from_json
from tailring_otlpio.errors import MalformedBody
from tailring_pipeline import Signal

TRACE_ID = "0102030405060708090a0b0c0d0e0f10"
SPAN_ID = "1112131415161718"


def record(members: dict[str, Any]) -> LogRecord:
    """The log record that a document with these members becomes."""
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [members]}]}]}
    read = request_from_json(json.dumps(body).encode(), Signal.LOGS)
    request = ExportLogsServiceRequest.FromString(read)
    return request.resource_logs[0].scope_logs[0].log_records[0]


def metric(members: dict[str, Any]) -> Metric:
    """The metric that a document with these members becomes."""
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [members]}]}]}
    read = request_from_json(json.dumps(body).encode(), Signal.METRICS)
    request = ExportMetricsServiceRequest.FromString(read)
    return request.resource_metrics[0].scope_metrics[0].metrics[0]


def test_ids_of_a_record_are_hex() -> None:
    """A record's ids are hexadecimal text, and may be missing."""
    read = record({"traceId": TRACE_ID.upper(), "spanId": SPAN_ID, "flags": 257})
    assert (read.trace_id.hex(), read.span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert read.flags == 257
    assert record({"severityText": "INFO"}).trace_id == b""


def test_ids_of_an_exemplar_are_hex() -> None:
    """An exemplar's ids are hexadecimal text too, and not base64."""
    exemplar = {"traceId": TRACE_ID, "spanId": SPAN_ID, "asInt": "7"}
    points = {"dataPoints": [{"exemplars": [exemplar]}]}
    (read,) = metric({"gauge": points}).gauge.data_points[0].exemplars
    assert (read.trace_id.hex(), read.span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert read.as_int == 7
    exemplar["traceId"] = "AQIDBAUGBwgJCgsMDQ4PEA=="
    with pytest.raises(MalformedBody, match="traceId"):
        metric({"gauge": points})


@pytest.mark.parametrize(
    ("written", "read"),
    [("-9223372036854775808", -(2**63)), (7, 7), ("7", 7), (2.0, 2)],
)
def test_whole_values_are_text_or_numbers(written: object, read: int) -> None:
    """64 bits are text for those whose numbers have fewer."""
    points = [{"asInt": written, "timeUnixNano": "1"}]
    (point,) = metric({"sum": {"dataPoints": points}}).sum.data_points
    assert (point.as_int, point.time_unix_nano) == (read, 1)


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", 1.5, "2.5", 7])
def test_floating_values_may_be_text(written: float | str) -> None:
    """NaN and the infinities are text, as in bounds, sums and values."""
    points = [{"asDouble": written}]
    (point,) = metric({"gauge": {"dataPoints": points}}).gauge.data_points
    expected = float(written)
    same = math.isnan(expected) and math.isnan(point.as_double)
    assert same or point.as_double == expected


def test_a_histogram_is_read_whole() -> None:
    """Counts are text, bounds numbers; what is 0 and written is there."""
    read = metric(
        {
            "name": "m",
            "histogram": {
                "aggregationTemporality": 1,
                "dataPoints": [
                    {
                        "count": "3",
                        "sum": 0,
                        "bucketCounts": ["1", 2, None],
                        "explicitBounds": [1, "Infinity"],
                    }
                ],
            },
        }
    )
    (point,) = read.histogram.data_points
    assert (point.count, list(point.bucket_counts)) == (3, [1, 2, 0])
    assert list(point.explicit_bounds) == [1.0, math.inf]
    assert point.HasField("sum")
    assert not point.HasField("min")


def test_an_exponential_histogram_is_read_whole() -> None:
    """Scale and offset may be negative, counts are text."""
    point = {
        "scale": -3,
        "zeroCount": "2",
        "positive": {"offset": -1, "bucketCounts": ["18446744073709551615"]},
    }
    read = metric({"exponentialHistogram": {"dataPoints": [point]}})
    (found,) = read.exponential_histogram.data_points
    assert (found.scale, found.zero_count, found.positive.offset) == (-3, 2, -1)
    assert list(found.positive.bucket_counts) == [2**64 - 1]


def test_the_last_kind_of_points_counts() -> None:
    """A metric has points of one kind; of two that are written the last one is it."""
    gauge = {"dataPoints": [{"asInt": "1"}]}
    read = metric({"gauge": gauge, "sum": {"isMonotonic": True, **gauge}})
    assert read.WhichOneof("data") == "sum"
    assert read.sum.is_monotonic


@pytest.mark.parametrize(
    ("signal", "body"),
    [
        (Signal.LOGS, b'{"resourceLogs":7}'),
        (Signal.METRICS, b'{"resourceMetrics":[{"scopeMetrics":{}}]}'),
    ],
)
def test_what_is_no_request_is_malformed(signal: Signal, body: bytes) -> None:
    """A value of a wrong type is an error that names the key."""
    with pytest.raises(MalformedBody, match="not OTLP JSON: resource"):
        request_from_json(body, signal)


@pytest.mark.parametrize("signal", [Signal.LOGS, Signal.METRICS])
def test_keys_of_another_signal_are_unknown(signal: Signal) -> None:
    """A document of traces holds nothing for the other signals."""
    assert request_from_json(b'{"resourceSpans":[{}]}', signal) == b""
