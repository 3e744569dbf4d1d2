"""The sink: where kept traces end up, an OTLP/gRPC server on raw bytes.

It answers every request with success and hands what is in it to ``on_trace``: the
trace id and the span ids, per trace, as `tailring_otlpwire.group` finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import grpc
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from tailring_otlpwire import HeaderCache, group

__all__ = ["OnTrace", "Sink", "spans_by_trace"]

OnTrace = Callable[[int, list[int]], None]

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_HEADERS_MAX = 1_000
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024


def spans_by_trace(
    payload: bytes, headers: HeaderCache
) -> Iterable[tuple[int, list[int]]]:
    """Trace id and span ids of every trace of an encoded request."""
    for found in group(payload, headers):
        ids: list[int] = []
        for piece in found.pieces:
            # A piece's spans are the `spans` fields of a ScopeSpans, encoded.
            scope = ScopeSpans.FromString(piece.spans)
            ids += (int.from_bytes(span.span_id, "big") for span in scope.spans)
        yield int.from_bytes(found.trace_id, "big"), ids


class Sink:
    """The server; ``on_trace`` is called in the event loop's thread."""

    def __init__(self, port: int, *, on_trace: OnTrace) -> None:
        self._port = port
        self._on_trace = on_trace
        self._headers = HeaderCache(_HEADERS_MAX)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen; raises RuntimeError when the port is taken."""
        server = grpc.aio.server(
            options=(("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),)
        )
        handler: grpc.RpcMethodHandler[bytes, bytes] = (
            grpc.unary_unary_rpc_method_handler(self._export)
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),)
        )
        server.add_insecure_port(f"127.0.0.1:{self._port}")
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Close at once; safe when it never started."""
        if self._server is not None:
            await self._server.stop(grace=None)

    async def _export(self, payload: bytes, _context: object) -> bytes:
        for trace_id, span_ids in spans_by_trace(payload, self._headers):
            self._on_trace(trace_id, span_ids)
        return b""
