"""The receiver serves each signal that has a pipeline, over both transports."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from tailring_pipeline import Signal
from tailring_testkit.otlp_clients import JSON, PROTOBUF
from tailring_testkit.receiver_rig import Counts, receiver_rig
from tailring_testkit.signals import EXPORT, PATHS, numbers_of, request_of

Code = grpc.StatusCode
THREE = Counts(accepted_spans=3, success=1)

# One item with what JSON has of its own: hex ids, text for 64 bits, enums, NaN.
JSON_BODIES: dict[Signal, dict[str, list[Any]]] = {
    Signal.TRACES: {
        "resourceSpans": [
            {"scopeSpans": [{"spans": [{"traceId": "01" * 16, "spanId": "02" * 8}]}]}
        ]
    },
    Signal.LOGS: {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "timeUnixNano": "1",
                                "severityNumber": 9,
                                "traceId": "01" * 16,
                                "spanId": "02" * 8,
                            }
                        ]
                    }
                ]
            }
        ]
    },
    Signal.METRICS: {
        "resourceMetrics": [
            {
                "scopeMetrics": [
                    {
                        "metrics": [
                            {
                                "name": "m",
                                "gauge": {
                                    "dataPoints": [
                                        {
                                            "asDouble": "NaN",
                                            "exemplars": [{"traceId": "01" * 16}],
                                        }
                                    ]
                                },
                            }
                        ]
                    }
                ]
            }
        ]
    },
}


@pytest.mark.parametrize("signal", Signal)
async def test_every_signal_is_taken_over_grpc(signal: Signal) -> None:
    """A request of each signal reaches the pipeline as it came, and is counted."""
    payload = request_of(signal, range(3))
    async with receiver_rig(signals=Signal) as rig:
        reply = await rig.grpc.export(payload, method=EXPORT[signal])
        assert (reply.code, reply.response) == (Code.OK, b"")
        (batch,) = rig.sink.batches
        assert (batch.payload, batch.items, batch.signal) == (payload, 3, signal)
        assert rig.counts("grpc", signal) == THREE
        for other in set(Signal) - {signal}:
            assert rig.counts("grpc", other) == Counts(success=1)


@pytest.mark.parametrize("signal", Signal)
async def test_every_signal_is_taken_over_http(signal: Signal) -> None:
    """The path says which signal a body holds."""
    payload = request_of(signal, range(3))
    async with receiver_rig(signals=Signal) as rig:
        reply = await rig.http.post(payload, path=PATHS[signal])
        assert (reply.status, reply.content_type, reply.body) == (200, PROTOBUF, b"")
        (batch,) = rig.sink.batches
        assert (batch.payload, batch.items, batch.signal) == (payload, 3, signal)
        assert rig.counts("http", signal) == THREE


@pytest.mark.parametrize("signal", Signal)
async def test_every_signal_is_taken_as_json(signal: Signal) -> None:
    """A document of each signal becomes one encoded request of it."""
    body = json.dumps(JSON_BODIES[signal]).encode()
    async with receiver_rig(signals=Signal) as rig:
        reply = await rig.http.post(body, path=PATHS[signal], content_type=JSON)
        assert (reply.status, reply.content_type, reply.body) == (200, JSON, b"{}")
        (batch,) = rig.sink.batches
        assert (batch.items, batch.signal) == (1, signal)


@pytest.mark.parametrize("signal", Signal)
async def test_a_signal_without_a_pipeline_is_not_served(signal: Signal) -> None:
    """As upstream: UNIMPLEMENTED over gRPC, 404 over HTTP, whatever the method."""
    others = [one for one in Signal if one is not signal]
    async with receiver_rig(signals=others) as rig:
        reply = await rig.grpc.export(b"", method=EXPORT[signal])
        assert reply.code is Code.UNIMPLEMENTED
        for method in ("POST", "GET", "OPTIONS"):
            answer = await rig.http.request(method, PATHS[signal])
            assert (answer.status, answer.body) == (404, b"404 page not found")
        assert (await rig.http.request("GET", PATHS[others[0]])).status == 405


@pytest.mark.parametrize(
    ("signal", "field"),
    [
        (Signal.TRACES, "rejectedSpans"),
        (Signal.LOGS, "rejectedLogRecords"),
        (Signal.METRICS, "rejectedDataPoints"),
    ],
)
async def test_a_partial_success_is_of_its_signal(signal: Signal, field: str) -> None:
    """Items that the pipeline rejects are named as the signal names them."""
    twice = {key: resources * 2 for key, resources in JSON_BODIES[signal].items()}
    two = json.dumps(twice).encode()
    async with receiver_rig(signals=Signal) as rig:
        rig.sink.reject("bad", items=1)
        reply = await rig.http.post(two, path=PATHS[signal], content_type=JSON)
        said = {field: "1", "errorMessage": "sink: bad"}
        assert json.loads(reply.body) == {"partialSuccess": said}
        assert rig.counts("http", signal) == Counts(1, 1, success=1)
        rig.sink.reject("bad")
        reply = await rig.http.post(two, path=PATHS[signal], content_type=JSON)
        assert reply.status == 400


@pytest.mark.parametrize("signal", Signal)
async def test_what_is_refused_is_counted_in_items(signal: Signal) -> None:
    """A receiver that drains refuses, and counts the items it did not look at."""
    async with receiver_rig(signals=Signal) as rig:
        rig.receiver.close()
        payload = request_of(signal, range(7))
        reply = await rig.grpc.export(payload, method=EXPORT[signal])
        assert reply.code is Code.UNAVAILABLE
        assert rig.counts("grpc", signal) == Counts(refused_spans=7, refused=1)


@pytest.mark.parametrize("signal", Signal)
async def test_a_request_of_another_signal_is_malformed(signal: Signal) -> None:
    """Bytes that are no request of the signal are a final error."""
    async with receiver_rig(signals=Signal) as rig:
        reply = await rig.grpc.export(b"\x0a\x03\x12\x7f\x00", method=EXPORT[signal])
        assert reply.code is Code.INVALID_ARGUMENT
        assert not rig.sink.batches
        assert rig.counts("grpc", signal) == Counts(failure=1)


async def test_paths_may_be_others() -> None:
    """Each signal's path is its own key; the usual one is gone then."""
    http = {"logs_url_path": "/mine/logs", "metrics_url_path": "x"}
    async with receiver_rig(http=http, signals=Signal) as rig:
        for signal, path in ((Signal.LOGS, "/mine/logs"), (Signal.METRICS, "/x")):
            payload = request_of(signal, range(2))
            assert (await rig.http.post(payload, path=path)).status == 200
            assert (await rig.http.post(payload, path=PATHS[signal])).status == 404
        logs, metrics = rig.sink.batches
        assert numbers_of(Signal.LOGS, logs.payload).total() == 2
        assert numbers_of(Signal.METRICS, metrics.payload).total() == 2
