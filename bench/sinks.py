"""The backends of the benchmarks: OTLP/gRPC servers that count spans and forget them.

``python -m bench.sinks PORT...`` serves all ports in one process; the method
``/bench.Sinks/Spans`` answers the number of spans received so far, in decimal.
"""

from __future__ import annotations

import argparse
import asyncio

import grpc
import grpc.aio
import uvloop
from bench.load import EXPORT

from tailring_otlpwire import count_spans

__all__ = ["SPANS_METHOD", "main"]

SPANS_METHOD = "/bench.Sinks/Spans"
_OPTIONS = (("grpc.max_receive_message_length", 256 << 20), ("grpc.so_reuseport", 0))


class _Counter(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self._spans = 0
        self._export: grpc.RpcMethodHandler[bytes, bytes] = (
            grpc.unary_unary_rpc_method_handler(self._take)
        )
        self._ask: grpc.RpcMethodHandler[bytes, bytes] = (
            grpc.unary_unary_rpc_method_handler(self._answer)
        )

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if handler_call_details.method == EXPORT:
            return self._export
        if handler_call_details.method == SPANS_METHOD:
            return self._ask
        return None

    async def _take(self, payload: bytes, _context: object) -> bytes:
        self._spans += count_spans(payload)
        return b""

    async def _answer(self, _payload: bytes, _context: object) -> bytes:
        return str(self._spans).encode()


async def _serve(ports: list[int]) -> None:
    counter = _Counter()
    servers = []  # a server that nobody refers to stops
    for port in ports:
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((counter,))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        servers.append(server)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description="Backends that count spans.")
    parser.add_argument("ports", type=int, nargs="+")
    uvloop.run(_serve(parser.parse_args().ports))


if __name__ == "__main__":
    main()
