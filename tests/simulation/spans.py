"""Spans that can be told apart wherever they turn up.

A span has a *number*. Each time a client sends a request again, its spans are new
*copies* of their numbers: span id = number and attempt. So every delivery can be traced
back to the one attempt that it came from. Real clients repeat the same bytes, and a
router recognises them; *verbatim* traffic does that too, with one copy of each number.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.simulation.scenario import Scenario

from tailring_sampler.fnv import fnv1a_64
from tailring_testkit import otlp

__all__ = ["POISON_BACKEND", "POISON_SAMPLER", "Plan", "SpanPlan", "copies_of", "names"]

POISON_SAMPLER = "poison for samplers"
POISON_BACKEND = "poison for the backend"

_ATTEMPT_BITS = 16
_PROBES_MAX = 8
_SALT = b"default-hash-seed"
_HASH_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class SpanPlan:
    """A span before it is sent."""

    number: int
    trace: int
    name: str
    error: bool


class Plan:
    """All spans of a scenario, scattered over requests, and what must become of them.

    ``requests`` are lists of span numbers; ``probes`` are too, of traces of one span
    each, to be sent when all is mended. ``kept_by_id`` says of each trace whether its
    id alone keeps it.
    """

    def __init__(self, scenario: Scenario) -> None:
        rng = scenario.rng("plan")
        traffic = scenario.traffic
        self.trace_ids = [
            rng.randbytes(16) for _ in range(traffic.traces + _PROBES_MAX)
        ]
        limit = int(_HASH_MAX * scenario.sampler.kept_percent / 100)
        salted = fnv1a_64(_SALT)
        self.kept_by_id = [fnv1a_64(one, salted) <= limit for one in self.trace_ids]
        self.spans: list[SpanPlan] = []
        for trace in range(traffic.traces):
            self._plan_trace(trace, scenario, rng)
        self._verbatim = traffic.verbatim
        self.requests = _scattered(self.spans, traffic.spans_per_request_max, rng)
        self.probes = [[len(self.spans) + probe] for probe in range(_PROBES_MAX)]
        self.spans += [
            SpanPlan(number, traffic.traces + probe, "probe", error=False)
            for probe, (number,) in enumerate(self.probes)
        ]

    def _plan_trace(self, trace: int, scenario: Scenario, rng: random.Random) -> None:
        traffic = scenario.traffic
        size = rng.randint(1, traffic.spans_per_trace_max)
        failing = rng.randrange(size) if rng.random() < traffic.error_share else -1
        names = ["ordinary"] * size
        if rng.random() < traffic.poison_router:
            names[rng.randrange(size)] = POISON_SAMPLER
        elif rng.random() < traffic.poison_backend:
            names[rng.randrange(size)] = POISON_BACKEND
        for place, name in enumerate(names):
            number = len(self.spans)
            self.spans.append(SpanPlan(number, trace, name, error=place == failing))

    def copies(self, numbers: Sequence[int], attempt: int) -> list[int]:
        """The copies of these spans that this attempt sends."""
        if self._verbatim:
            attempt = 0
        return [number << _ATTEMPT_BITS | attempt for number in numbers]

    def payload(self, copies: Sequence[int]) -> bytes:
        """The request that carries these copies."""
        spans = [
            otlp.span(
                self.trace_of(copy),
                copy.to_bytes(8, "big"),
                name=self.of_copy(copy).name,
                status=2 if self.of_copy(copy).error else 1,
            )
            for copy in copies
        ]
        return otlp.request(*spans, resource={"service.name": "simulated"})

    def of_copy(self, copy: int) -> SpanPlan:
        """The span that a copy is one of."""
        return self.spans[copy >> _ATTEMPT_BITS]

    def trace_of(self, copy: int) -> bytes:
        """The trace id of a copy."""
        return self.trace_ids[self.of_copy(copy).trace]


def copies_of(payload: bytes) -> list[int]:
    """Every copy in an encoded request, in order."""
    return [int.from_bytes(span.span_id, "big") for span in _spans(payload)]


def names(payload: bytes) -> set[str]:
    """The names of the spans in an encoded request."""
    return {span.name for span in _spans(payload)}


def _spans(payload: bytes) -> Iterable[Span]:
    message = ExportTraceServiceRequest.FromString(payload)
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def _scattered(
    spans: Sequence[SpanPlan], request_max: int, rng: random.Random
) -> list[list[int]]:
    """Numbers in random order, cut into requests: a trace comes in many of them."""
    numbers = [span.number for span in spans]
    # Neighbours stay near each other, as spans of one trace do in time.
    numbers.sort(key=lambda number: number + rng.uniform(-20, 20))
    requests = []
    while numbers:
        size = rng.randint(1, request_max)
        requests.append(numbers[:size])
        numbers = numbers[size:]
    return requests
