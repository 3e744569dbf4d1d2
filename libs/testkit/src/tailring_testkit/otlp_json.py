"""OTLP JSON to encoded requests and back: protobuf's JSON, but for ids in hex."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

__all__ = ["format_request", "parse_request"]

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def _hex_to_base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def _base64_to_hex(text: str) -> str:
    return base64.b64decode(text).hex()


def _with_ids(value: Any, convert: Any) -> Any:
    if isinstance(value, list):
        return [_with_ids(item, convert) for item in value]
    if isinstance(value, dict):
        return {
            key: convert(item) if key in _IDS else _with_ids(item, convert)
            for key, item in value.items()
        }
    return value


def parse_request(text: str) -> bytes:
    """The encoded request of an OTLP JSON request (or of what Jaeger returns)."""
    parsed = _with_ids(json.loads(text), _hex_to_base64)
    message = json_format.ParseDict(
        parsed, ExportTraceServiceRequest(), ignore_unknown_fields=True
    )
    return message.SerializeToString()


def format_request(payload: bytes) -> str:
    """The OTLP JSON of an encoded request: hex ids, enums as numbers."""
    message = ExportTraceServiceRequest.FromString(payload)
    shaped = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(_with_ids(shaped, _base64_to_hex))
