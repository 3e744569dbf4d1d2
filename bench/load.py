"""The load generator: a process that sends a fixed number of spans, then says so.

``python -m bench.load TARGET --spans N --size K [--scattered] [--gzip]``

Several requests are in flight at once; one that is refused is sent again after a
moment, as an agent would. The last line of its output is JSON: spans, traces,
requests and bytes that were acknowledged, and how often it was refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from bench.stream import Stream

if TYPE_CHECKING:  # the classes of grpc know no parameters at run time
    Export = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

__all__ = ["EXPORT", "Sent", "main"]


EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_IN_FLIGHT = 8
_RETRY_AFTER_S = 0.05
_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Sent:
    """What was acknowledged."""

    spans: int = 0
    traces: int = 0
    requests: int = 0
    wire_bytes: int = 0
    refusals: int = 0


def _payloads(stream: Stream, spans: int, sent: Sent) -> Iterator[bytes]:
    """Requests until ``spans`` spans are out; counts them as they are taken."""
    for it in stream.rounds():
        for payload in it.payloads:
            sent.requests += 1
            sent.wire_bytes += len(payload)
            yield payload
        sent.spans += it.spans
        sent.traces += it.traces
        if sent.spans >= spans:
            return


async def _worker(
    channel: grpc.aio.Channel, payloads: Iterator[bytes], *, sent: Sent
) -> None:
    export: Export = channel.unary_unary(EXPORT)
    for payload in payloads:
        while not await _accepted(export, payload):
            sent.refusals += 1
            await asyncio.sleep(_RETRY_AFTER_S)


async def _accepted(export: Export, payload: bytes) -> bool:
    """Whether the request was acknowledged; raises when it never will be."""
    try:
        await export(payload, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


async def _send(options: argparse.Namespace) -> Sent:
    stream = Stream(options.size, scattered=options.scattered, seed=options.seed)
    sent = Sent()
    payloads = _payloads(stream, options.spans, sent)
    zipped = grpc.Compression.Gzip if options.gzip else grpc.Compression.NoCompression
    async with (
        grpc.aio.insecure_channel(options.target, compression=zipped) as channel,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(_IN_FLIGHT):
            group.create_task(_worker(channel, payloads, sent=sent))
    return sent


def main() -> None:
    """Send as the command line says."""
    parser = argparse.ArgumentParser(description="OTLP/gRPC load of a fixed size.")
    parser.add_argument("target")
    parser.add_argument("--spans", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="spans a request")
    parser.add_argument("--scattered", action="store_true")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(asdict(asyncio.run(_send(parser.parse_args())))))


if __name__ == "__main__":
    main()
