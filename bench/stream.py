"""Requests for the benchmarks: realistic, encoded once, with fresh trace ids each time.

A request is built with the protobuf library, then only its trace ids are replaced,
in place, so that the generator costs little. About 258 bytes a span, 8 spans a
trace, one resource a request. One trace in 50 has an error, one in 100 is slower
than 500 ms: with 10 % taken at random the usual three policies keep about 12.6 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_testkit import otlp

__all__ = ["SPANS_PER_TRACE", "Round", "Stream"]

SPANS_PER_TRACE = 8
_POOL_TRACES = 200  # so that small requests meet errors and slow traces too
_MS = 1_000_000
_ROUTES = ("/cart", "/orders", "/payment", "/product", "/shipping")
_RESOURCE = {
    "service.name": "checkout",
    "service.namespace": "shop",
    "service.version": "1.42.0",
    "k8s.namespace.name": "shop",
    "k8s.deployment.name": "checkout",
    "k8s.node.name": "ip-10-0-12-34.eu-central-1.compute.internal",
    "k8s.pod.name": "checkout-5d8f7c9b6d-x2x9z",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
}


@dataclass(frozen=True, slots=True)
class Round:
    """Requests that belong together: their traces occur in no other round."""

    payloads: tuple[bytes, ...]
    spans: int
    traces: int


class _Template:
    """One encoded request and the places of its trace ids, trace by trace."""

    def __init__(self, spans: list[Span], ids: list[bytes]) -> None:
        encoded = otlp.request(*spans, resource=_RESOURCE, scope="shop.checkout")
        self.buf = bytearray(encoded)
        numbers = {trace_id: number for number, trace_id in enumerate(ids)}
        self.places: list[tuple[int, int]] = []
        pos = 0
        for span in spans:
            pos = self.buf.index(b"\x0a\x10" + span.trace_id, pos) + 2
            self.places.append((pos, numbers[span.trace_id]))

    def with_ids(self, ids: bytes) -> bytes:
        """The request with these trace ids (16 bytes each, joined)."""
        buf = self.buf
        for pos, number in self.places:
            buf[pos : pos + 16] = ids[number * 16 : number * 16 + 16]
        return bytes(buf)


class Stream:
    """Endless rounds of requests of ``spans_per_request`` spans.

    ``scattered`` puts each span of a trace into another of 8 requests; a request of
    one span is always scattered. The same seed makes the same stream.
    """

    def __init__(self, spans_per_request: int, *, scattered: bool, seed: int) -> None:
        self._rng = Random(seed)
        self._scattered = scattered or spans_per_request == 1
        if self._scattered:
            self._traces = spans_per_request
            self._spans = spans_per_request * SPANS_PER_TRACE
        else:
            self._traces = -(-spans_per_request // SPANS_PER_TRACE)
            self._spans = spans_per_request
        rounds = max(1, _POOL_TRACES // self._traces)
        self._pool = [self._templates(number) for number in range(rounds)]

    def rounds(self) -> Iterator[Round]:
        """Rounds with fresh ids, for ever."""
        while True:
            for templates in self._pool:
                ids = self._rng.randbytes(16 * self._traces)
                payloads = tuple(it.with_ids(ids) for it in templates)
                yield Round(payloads, self._spans, self._traces)

    def _templates(self, number: int) -> list[_Template]:
        rng = self._rng
        ids = [rng.randbytes(16) for _ in range(self._traces)]
        first = number * self._traces
        traces = [_trace(rng, it, first + place) for place, it in enumerate(ids)]
        if self._scattered:
            columns = zip(*traces, strict=True)
            return [_Template(list(column), ids) for column in columns]
        spans = [span for trace in traces for span in trace]
        return [_Template(spans[: self._spans], ids)]


def _trace(rng: Random, trace_id: bytes, number: int) -> list[Span]:
    """The spans of one trace; ``number`` says whether it fails or is slow."""
    root = rng.randbytes(8)
    spans = []
    for place in range(SPANS_PER_TRACE):
        # The first span decides: with it a partial trace is judged like a whole one.
        error = place == 0 and number % 50 == 7
        slow = place == 0 and number % 100 == 13
        start_ns = otlp.EPOCH_NS + place * _MS
        took_ms = 800 if slow else rng.randrange(1, 200)
        spans.append(
            otlp.span(
                trace_id,
                root if place == 0 else rng.randbytes(8),
                parent=b"" if place == 0 else root,
                name=f"GET {rng.choice(_ROUTES)}",
                kind=2,
                start_ns=start_ns,
                end_ns=start_ns + took_ms * _MS,
                status=2 if error else 0,
                attributes=_attributes(rng, error=error),
            )
        )
    return spans


def _attributes(rng: Random, *, error: bool) -> dict[str, otlp.Attribute]:
    return {
        "http.request.method": "GET",
        "http.route": rng.choice(_ROUTES),
        "http.response.status_code": 500 if error else 200,
        "server.address": "checkout",
        "server.port": 8080,
        "user.id": f"u{rng.randrange(10**6):06d}",
        "thread.name": f"w-{rng.randrange(16)}",
    }
