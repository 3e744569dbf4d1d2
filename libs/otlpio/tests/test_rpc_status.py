"""google.rpc.Status and partial success as bytes."""

from __future__ import annotations

import json

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # no stubs
    BadRequest,
    RetryInfo,
)
from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # no stubs exist
    Status,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from tailring_otlpio import status
from tailring_otlpio.rpc_status import (
    partial_success_of,
    response_json,
    response_proto,
    retry_info_s,
    status_proto,
)
from tailring_otlpio.status import Answer, Outcome
from tailring_pipeline import Refused, Rejected, Signal


def details(*messages: BadRequest | RetryInfo) -> bytes:
    """An encoded Status with these details."""
    built = Status(code=14)
    for message in messages:
        packed = Any()
        packed.Pack(message)
        built.details.append(packed)
    encoded: bytes = built.SerializeToString()
    return encoded


@pytest.mark.parametrize("delay_s", [0.25, 1.0, 90.0])
def test_a_delay_survives_its_status(delay_s: float) -> None:
    """The delay that a refusal asks for is read back from its Status."""
    answer = status.refused(Refused("full", "full", retry_after_s=delay_s))
    assert retry_info_s(status_proto(answer)) == delay_s


@pytest.mark.parametrize(
    ("encoded", "delay_s"),
    [
        (b"", None),
        (details(), None),
        (details(BadRequest()), None),
        (details(RetryInfo()), 0.0),
        (details(BadRequest(), RetryInfo(retry_delay={"seconds": 3})), 3.0),
        (details(RetryInfo(retry_delay={"seconds": -3})), 0.0),
        (b"\xff\xff", None),
    ],
)
def test_retry_infos_of_other_servers(encoded: bytes, delay_s: float | None) -> None:
    """A RetryInfo counts with any delay and among other details; garbage is none."""
    assert retry_info_s(encoded) == delay_s


def test_final_answers_have_no_delay() -> None:
    """The Status of a final answer has no RetryInfo, so nobody sends it again."""
    for answer in (
        status.malformed("x"),
        status.too_large("x"),
        status.rejected(Rejected("bad", "x"), items=1),
    ):
        assert retry_info_s(status_proto(answer)) is None


def test_long_messages_are_shortened() -> None:
    """A response stays far below the limit that clients have for it."""
    words = "x" * 10_000_000
    partial = Answer(Outcome.SUCCESS, message=words, rejected_items=1)
    assert len(response_proto(partial)) < 10_000
    assert len(status_proto(status.malformed(words))) < 10_000


def test_a_warning_is_a_partial_success_of_nothing() -> None:
    """No rejected spans but a message is what OTLP calls a warning."""
    answer = status.rejected(Rejected("late", "clock is off", items=0), items=3)
    assert partial_success_of(response_proto(answer)) == (0, "clock is off")
    said = response_json(answer, Signal.TRACES)
    assert said == b'{"partialSuccess": {"errorMessage": "clock is off"}}'


@pytest.mark.parametrize(
    ("signal", "response"),
    [
        (Signal.TRACES, ExportTraceServiceResponse),
        (Signal.LOGS, ExportLogsServiceResponse),
        (Signal.METRICS, ExportMetricsServiceResponse),
    ],
)
def test_each_signal_has_its_own_response(
    signal: Signal, response: type[Message]
) -> None:
    """What was rejected is said in the response of the signal, in both forms."""
    answer = status.rejected(Rejected("bad", "2 of 3 \u00e9", items=2), items=3)
    encoded = response.FromString(response_proto(answer))
    assert json.loads(response_json(answer, signal)) == MessageToDict(encoded)
    assert partial_success_of(encoded.SerializeToString()) == (2, "2 of 3 \u00e9")


def test_a_negative_count_is_none() -> None:
    """A backend that says it rejected minus one span rejected none."""
    answer = Answer(Outcome.SUCCESS, message="odd", rejected_items=-1)
    assert partial_success_of(response_proto(answer)) == (0, "odd")
