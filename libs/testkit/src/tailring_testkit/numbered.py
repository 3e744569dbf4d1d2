"""Numbered spans: a load whose every span can be told from every other at the end.

Span ids are the numbers 1 to N, eight spans a trace. A `Load` makes the requests, the
odd and the even spans of a trace in different ones, so that a trace comes through two
doors; a `Tally` ticks the numbers off and knows which are missing, came twice or were
never sent, and with which trace id each should come. Requests are encoded once and
patched, and the tally reads them with the protobuf library, so a million spans take
seconds and share no code with what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterator, Sequence

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_testkit import otlp
from tailring_testkit.backend import EXPORT_TRACES

__all__ = ["SPANS_PER_TRACE", "Load", "Tally", "TallySink", "deliver"]

SPANS_PER_TRACE = 8
_TRACES_PER_BLOCK = 250
_MESSAGE_BYTES_MAX = 256 << 20
_TIMEOUT_S = 60.0


_PLACES = ((0, 2, 4, 6), (1, 3, 5, 7))


class _Template:
    """A request of one span of each of ``traces`` traces, for each of some places."""

    def __init__(self, places: Sequence[int], traces: int) -> None:
        self._spans_per_block = traces * SPANS_PER_TRACE
        spans = [
            otlp.span(
                trace.to_bytes(16, "big"),
                (1 + trace * SPANS_PER_TRACE + place).to_bytes(8, "big"),
                name="numbered",
                start_ns=otlp.EPOCH_NS,
                end_ns=otlp.EPOCH_NS + 10**6,
                attributes={"http.route": "/cart", "note": "x" * 160},
            )
            for trace in range(traces)
            for place in places
        ]
        resource = {"service.name": "numbered", "places": str(places)}
        self._buf = bytearray(otlp.request(*spans, resource=resource, scope="numbered"))
        self._spots: list[tuple[int, int, int]] = []
        at = 0
        for span in spans:
            at = self._buf.index(b"\x0a\x10" + span.trace_id + b"\x12\x08", at) + 2
            number = int.from_bytes(span.span_id, "big") - 1
            self._spots.append((at, number // SPANS_PER_TRACE, number))

    def filled(self, block: int, trace_ids: bytes) -> bytes:
        """The request of one block; ``trace_ids`` are those of the block, joined."""
        buf = self._buf
        first = 1 + block * self._spans_per_block
        for at, trace, number in self._spots:
            buf[at : at + 16] = trace_ids[16 * trace : 16 * trace + 16]
            buf[at + 18 : at + 26] = (first + number).to_bytes(8, "big")
        return bytes(buf)


class Load:
    """``spans`` numbered spans as requests of four spans of each of some traces.

    ``spans`` is a multiple of what two requests hold: 2,000 by default.
    """

    def __init__(
        self, spans: int, *, seed: int, traces_per_request: int = _TRACES_PER_BLOCK
    ) -> None:
        per_block = traces_per_request * SPANS_PER_TRACE
        assert spans % per_block == 0, f"a multiple of {per_block}"
        self.spans = spans
        self.spans_per_request = per_block // 2
        self._traces_per_block = traces_per_request
        self.traces = spans // SPANS_PER_TRACE
        self.trace_ids = random.Random(seed).randbytes(16 * self.traces)
        self._templates = [_Template(places, traces_per_request) for places in _PLACES]

    def requests(self) -> Iterator[bytes]:
        """All requests; even spans of a block, its odd spans, the next block."""
        size = 16 * self._traces_per_block
        for block in range(self.spans // (2 * self.spans_per_request)):
            ids = self.trace_ids[block * size : block * size + size]
            for template in self._templates:
                yield template.filled(block, ids)

    def numbers_of(self, request: int) -> Iterator[int]:
        """The numbers of the spans of one of `requests`, counted from 0."""
        block, template = divmod(request, len(_PLACES))
        first = 1 + block * self._traces_per_block * SPANS_PER_TRACE
        for trace in range(self._traces_per_block):
            for place in _PLACES[template]:
                yield first + trace * SPANS_PER_TRACE + place


class Tally:
    """Ticks off the spans of a load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._seen = bytearray(load.spans)
        self.received = 0
        self.strangers = 0
        self.misplaced = 0

    def take(self, payload: bytes) -> None:
        """Count the spans of a request."""
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._tick(int.from_bytes(span.span_id, "big") - 1, span.trace_id)

    def _tick(self, number: int, trace_id: bytes) -> None:
        self.received += 1
        if not 0 <= number < self._load.spans:
            self.strangers += 1
            return
        at = 16 * (number // SPANS_PER_TRACE)
        if self._load.trace_ids[at : at + 16] != trace_id:
            self.misplaced += 1
        self._seen[number] = min(self._seen[number] + 1, 255)

    @property
    def complete(self) -> bool:
        """As many spans have come as the load has."""
        return self.received >= self._load.spans

    @property
    def missing(self) -> int:
        """Spans that have not come."""
        return self._seen.count(0)

    @property
    def repeated(self) -> int:
        """Spans that have come more than once."""
        return self._load.spans - self._seen.count(0) - self._seen.count(1)

    def exact(self) -> bool:
        """Exactly the spans of the load, each once, each in its trace."""
        wrong = self.missing + self.repeated + self.strangers + self.misplaced
        return wrong == 0

    def __repr__(self) -> str:
        return (
            f"Tally({self.received} of {self._load.spans} received,"
            f" {self.missing} missing, {self.repeated} repeated,"
            f" {self.strangers} strangers, {self.misplaced} in a wrong trace)"
        )


class TallySink(grpc.GenericRpcHandler):
    """A trace backend on loopback that gives every request to a tally."""

    def __init__(self, tally: Tally, port: int) -> None:
        self._tally = tally
        self._port = port
        self._complete = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self._handler: grpc.RpcMethodHandler[bytes, bytes] = (
            grpc.unary_unary_rpc_method_handler(self._export)
        )

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Serve the trace service only."""
        known = handler_call_details.method == EXPORT_TRACES
        return self._handler if known else None

    async def __aenter__(self) -> TallySink:
        options = (("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),)
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((self,))
        self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.stop(None)

    async def wait_complete(self, timeout_s: float) -> None:
        """Wait until as many spans have come as the load has, or time is up."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), timeout_s)

    async def _export(self, payload: bytes, _context: object) -> bytes:
        self._tally.take(payload)
        if self._tally.complete:
            self._complete.set()
        return b""


async def deliver(load: Load, targets: Sequence[str], *, in_flight: int = 6) -> None:
    """Send the load, its requests to the targets in turn; any refusal is an error."""
    aims = zip(load.requests(), itertools.cycle(targets))
    channels = {target: grpc.aio.insecure_channel(target) for target in targets}
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(_worker(channels, aims))
    finally:
        for channel in channels.values():
            await channel.close()


async def _worker(
    channels: dict[str, grpc.aio.Channel], aims: Iterator[tuple[bytes, str]]
) -> None:
    exports: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {
        target: channel.unary_unary(EXPORT_TRACES)
        for target, channel in channels.items()
    }
    for payload, target in aims:
        await exports[target](payload, timeout=_TIMEOUT_S)
