"""An OTLP backend on a real port whose answers are scripted.

A grpc.aio server that keeps the bytes of every request it took, by signal. What it
answers is decided per request: by the next entry of the script, else by
``backend.answer``. `stop` and `start` again keep the port, so that a backend that
goes away and comes back is two calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # no stubs
    RetryInfo,
)
from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # no stubs
    Status,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tailring_pipeline import Batch, Signal
from tailring_testkit.signals import EXPORT

__all__ = [
    "EXPORT_TRACES",
    "OK",
    "Answer",
    "Backend",
    "Metadata",
    "partial_success",
    "status_details",
]

EXPORT_TRACES = EXPORT[Signal.TRACES]
_MESSAGE_BYTES_MAX = 256 << 20

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request is answered with, after ``delay_s``.

    ``retry_after_s`` adds a RetryInfo to an error. ``keeps`` is what a real backend
    does with a request that it answers with an error: most keep nothing.
    """

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    retry_after_s: float | None = None
    delay_s: float = 0.0
    response: bytes = b""
    keeps: bool = False


OK = Answer()


def partial_success(rejected_spans: int, message: str) -> Answer:
    """An OK whose response says that ``rejected_spans`` spans were not taken."""
    partial = ExportTracePartialSuccess(
        rejected_spans=rejected_spans, error_message=message
    )
    response = ExportTraceServiceResponse(partial_success=partial)
    return Answer(response=response.SerializeToString(), keeps=True)


def status_details(answer: Answer) -> Metadata:
    """The trailer that carries a RetryInfo; none when the answer has no delay."""
    if answer.retry_after_s is None:
        return ()
    delay = Duration()
    delay.FromNanoseconds(int(answer.retry_after_s * 1e9))
    detail = Any()
    detail.Pack(RetryInfo(retry_delay=delay))
    status = Status(code=answer.code.value[0], message=answer.message, details=[detail])
    return (("grpc-status-details-bin", status.SerializeToString()),)


class Backend(grpc.GenericRpcHandler):
    """A scripted backend on ``host``, an address of this machine.

    ``received`` holds the payloads of traces taken, in the order of their answers,
    ``received_of`` those of each signal; ``metadata``
    the metadata of every request; ``requests`` counts all of them, ``in_flight`` those
    not yet answered, ``in_flight_max`` the most there ever were at once.
    """

    def __init__(
        self, answer: Answer = OK, *, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self.answer = answer
        self.port = port
        self._host = f"[{host}]" if ":" in host else host
        self.received_of: dict[Signal, list[bytes]] = {one: [] for one in Signal}
        self.received = self.received_of[Signal.TRACES]
        self.metadata: list[Metadata] = []
        self.requests = 0
        self.in_flight = 0
        self.in_flight_max = 0
        self._script: Iterator[Answer] = iter(())
        self._open = asyncio.Event()
        self._open.set()
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            EXPORT[signal]: grpc.unary_unary_rpc_method_handler(
                partial(self._export, signal)
            )
            for signal in Signal
        }

    @property
    def address(self) -> str:
        """``host:port``; the port is known after the first start."""
        return f"{self._host}:{self.port}"

    @property
    def span_count(self) -> int:
        """Spans in everything received (parsed anew at each call)."""
        return sum(
            len(scope.spans)
            for payload in self.received
            for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
            for scope in resource.scope_spans
        )

    async def start(self) -> Backend:
        """Listen; the port of an earlier start is taken again."""
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
        ]
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((self,))
        self.port = server.add_insecure_port(self.address)
        await server.start()
        self._server = server
        return self

    async def stop(self, *, grace_s: float | None = None) -> None:
        """Close the port and cut calls in flight after ``grace_s`` (None: at once)."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_s)

    async def __aenter__(self) -> Backend:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        self.release()
        await self.stop()

    def script(self, answers: Iterable[Answer]) -> None:
        """Answer the next requests by ``answers`` in order, then by ``answer``.

        ``itertools.cycle`` makes a backend that flaps for ever.
        """
        self._script = iter(answers)

    def hold(self) -> None:
        """Keep requests unanswered until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Answer the requests that are held."""
        self._open.set()

    async def wait_requests(self, requests: int) -> None:
        """Wait until ``requests`` requests have arrived, answered or not."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.requests >= requests)

    async def wait_received(self, payloads: int) -> None:
        """Wait until ``payloads`` requests were taken."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: sum(map(len, self.received_of.values())) >= payloads
            )

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Serve the services of OTLP; everything else is unimplemented."""
        return self._handlers.get(handler_call_details.method)

    async def _export(
        self,
        signal: Signal,
        payload: bytes,
        context: grpc.aio.ServicerContext[bytes, bytes],
    ) -> bytes:
        answer = next(self._script, self.answer)
        self.metadata.append(tuple(context.invocation_metadata() or ()))
        self.requests += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            await self._notify()
            await self._open.wait()
            await asyncio.sleep(answer.delay_s)
        finally:
            self.in_flight -= 1
        return await self._answer_with(answer, Batch(payload, 0, signal), context)

    async def _answer_with(
        self,
        answer: Answer,
        batch: Batch,
        context: grpc.aio.ServicerContext[bytes, bytes],
    ) -> bytes:
        if answer.code is grpc.StatusCode.OK or answer.keeps:
            self.received_of[batch.signal].append(batch.payload)
            await self._notify()
        if answer.code is not grpc.StatusCode.OK:
            await context.abort(answer.code, answer.message, status_details(answer))
        return answer.response

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
