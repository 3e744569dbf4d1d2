"""``google.rpc.Status`` and the OTLP responses, encoded and decoded.

These messages are rare (errors, partial success), so they go through the protobuf
library. A full success is the empty message and costs nothing. Encoded, the responses
of all signals are the same message; only their JSON has names of its own.
"""

from __future__ import annotations

import json
from typing import Final

from google.protobuf import json_format
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # no stubs
    RetryInfo,
)
from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # no stubs exist
    Status,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from tailring_otlpio.services import REJECTED
from tailring_otlpio.status import Answer
from tailring_pipeline import Signal

__all__ = [
    "STATUS_DETAILS",
    "partial_success_of",
    "partial_success_of_json",
    "response_json",
    "response_proto",
    "retry_info_s",
    "status_json",
    "status_message",
    "status_proto",
]

# The trailer of a gRPC answer that holds the encoded Status.
STATUS_DETAILS: Final = "grpc-status-details-bin"
# Responses are limited to 4 MiB by the specification; nobody reads such a message.
_MESSAGE_CHARS_MAX: Final = 8 * 1024


def _status(answer: Answer) -> Status:
    status = Status(
        code=answer.code.value[0], message=answer.message[:_MESSAGE_CHARS_MAX]
    )
    if answer.retry_after_s > 0:
        delay = Duration()
        delay.FromNanoseconds(int(answer.retry_after_s * 1e9))
        detail = Any()
        detail.Pack(RetryInfo(retry_delay=delay))
        status.details.append(detail)
    return status


def status_proto(answer: Answer) -> bytes:
    """The encoded Status of an error, its RetryInfo included."""
    encoded: bytes = _status(answer).SerializeToString()
    return encoded


def status_json(answer: Answer) -> bytes:
    """The same as JSON."""
    return json_format.MessageToJson(_status(answer), indent=None).encode()


def _response(answer: Answer) -> ExportTraceServiceResponse:
    partial = ExportTracePartialSuccess(
        rejected_spans=answer.rejected_items,
        error_message=answer.message[:_MESSAGE_CHARS_MAX],
    )
    return ExportTraceServiceResponse(partial_success=partial)


def response_proto(answer: Answer) -> bytes:
    """The encoded response of a success; empty when it is a full one."""
    if not answer.rejected_items and not answer.message:
        return b""
    return _response(answer).SerializeToString()


def response_json(answer: Answer, signal: Signal) -> bytes:
    """The response of a success as JSON."""
    if not answer.rejected_items and not answer.message:
        return b"{}"
    partial: dict[str, str] = {}
    if answer.rejected_items:
        partial[REJECTED[signal]] = str(answer.rejected_items)
    if answer.message:
        partial["errorMessage"] = answer.message[:_MESSAGE_CHARS_MAX]
    return json.dumps({"partialSuccess": partial}).encode()


def partial_success_of(response: bytes) -> tuple[int, str]:
    """(rejected items, message) of a backend's response; (0, "") for full success.

    A response that cannot be read counts as full success: the code was OK, and a
    client must not send the request again.
    """
    try:
        partial = ExportTraceServiceResponse.FromString(response).partial_success
    except DecodeError:
        return 0, "the response of the backend cannot be decoded"
    return max(0, partial.rejected_spans), partial.error_message


def partial_success_of_json(response: bytes, signal: Signal) -> tuple[int, str]:
    """The same of a response in JSON."""
    try:
        partial = json.loads(response).get("partialSuccess") or {}
        rejected = int(partial.get(REJECTED[signal]) or 0)
        return max(0, rejected), str(partial.get("errorMessage") or "")
    except (ValueError, AttributeError, TypeError):
        return 0, "the response of the backend cannot be decoded"


def status_message(body: bytes) -> str:
    """The message of the encoded Status that an error answer should be; or ""."""
    try:
        message: str = Status.FromString(body).message
    except DecodeError:
        return ""
    return message


def retry_info_s(details: bytes) -> float | None:
    """The delay of the RetryInfo in an encoded Status; None when there is none."""
    try:
        status = Status.FromString(details)
        for detail in status.details:
            info = RetryInfo()
            if detail.Unpack(info):
                delay: Duration = info.retry_delay
                return max(0.0, delay.seconds + delay.nanos / 1e9)
    except DecodeError:
        return None  # whoever sent it wanted to say something; we cannot tell what
    return None
