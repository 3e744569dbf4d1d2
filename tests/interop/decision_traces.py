"""What random spans and resources carry where policies look: every type of value, keys
that are missing or come twice, tracestates and flags, good and broken."""

from __future__ import annotations

import random
from collections.abc import Sequence

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

__all__ = ["KEYS", "dress", "dress_resource"]

# Some stand in resources and in spans; one is no ASCII.
KEYS = ("http.status_code", "tag", "on", "straße", "tags")

_TEXTS = ("", "a", "checkout", "/x/healthz", "grpc.health.v1.HealthCheck", "größe", "A")
_NUMBERS = (0, 1, -1, 200, 404, 499, 500, 503, 599, 600, 2**63 - 1, -(2**63))
_STATES = (
    "k=v",
    "k=v , a=b",
    " k=v",
    ",k=v",
    "k=v,",
    "k=v,k=v",
    "k= v",
    "K=v",
    "k=v, ,a=b",
    "k",
    "a=b;k=v",
    "k=v2",
    "t@s=v,k=w",
    "1t@s=v",
    "a=1,t@s=x",
    "k=v,bad key=1",
    "k=v,a=",
    ",".join(["k=v", *(f"a{n}=1" for n in range(31))]),
    ",".join(["k=v", *(f"a{n}=1" for n in range(32))]),
    "k=" + "v" * 200,
    "ot=th:8,k=v",
)
_FLAGS = (0, 1, 0x100, 0x101, 0x301, 0x300, 2, 0xFFFFFFFE)


def _value(rng: random.Random) -> AnyValue:
    match rng.randrange(10):
        case 0 | 1 | 2:
            return AnyValue(string_value=rng.choice(_TEXTS))
        case 3 | 4:
            return AnyValue(int_value=rng.choice(_NUMBERS))
        case 5:
            return AnyValue(bool_value=rng.random() < 0.5)
        case 6:
            return AnyValue(double_value=rng.choice([0.0, 503.0, 500.5, -1.0]))
        case 7:
            return AnyValue(bytes_value=rng.choice([b"", b"a", b"\xff"]))
        case 8:
            inner = [AnyValue(string_value="a"), AnyValue(int_value=503)]
            return AnyValue(array_value=ArrayValue(values=inner))
        case _:
            entry = KeyValue(key="tag", value=AnyValue(string_value="a"))
            if rng.random() < 0.3:
                return AnyValue()
            return AnyValue(kvlist_value=KeyValueList(values=[entry]))


def _attributes(rng: random.Random, share: float) -> list[KeyValue]:
    found = [
        KeyValue(key=key, value=_value(rng)) for key in KEYS if rng.random() < share
    ]
    if found and rng.random() < 0.05:
        # The first of a key counts.
        found.append(KeyValue(key=found[0].key, value=_value(rng)))
    return found


def dress(rng: random.Random, spans: Sequence[Span]) -> None:
    """Give spans attributes, events, tracestates and flags."""
    for span in spans:
        span.attributes.extend(_attributes(rng, 0.12))
        if rng.random() < 0.1:
            span.trace_state = rng.choice(_STATES)
        if rng.random() < 0.2:
            span.flags = rng.choice(_FLAGS)
        if rng.random() < 0.2:
            span.events.add(name="e", attributes=_attributes(rng, 0.5))
        if rng.random() < 0.1:
            span.links.add(
                trace_id=rng.randbytes(16),
                span_id=rng.randbytes(8),
                attributes=_attributes(rng, 0.5),
            )


def dress_resource(rng: random.Random, part: ResourceSpans) -> None:
    """Give a resource, and its scopes, attributes of the same keys."""
    part.resource.attributes.extend(_attributes(rng, 0.04))
    for scope in part.scope_spans:
        scope.scope.attributes.extend(_attributes(rng, 0.2))
