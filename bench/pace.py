"""The paced load generator: a fixed rate of requests, and how long each took.

``python -m bench.pace TARGET --rate R --size K --seconds S``

Requests are due at fixed moments and their latency counts from then, so a target that
stalls is charged for the requests that had to wait. The last line of the output is
JSON: the median and the 99th percentile in milliseconds, and the number of requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import grpc.aio
import uvloop
from bench.load import EXPORT
from bench.stream import Stream

if TYPE_CHECKING:  # the classes of grpc know no parameters at run time
    Export = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

__all__ = ["Paced", "main"]

_TIMEOUT_S = 30.0
_UNCOUNTED_S = 1.0  # connections open and code warms up


@dataclass(frozen=True, slots=True)
class Paced:
    """How long the requests took."""

    p50_ms: float
    p99_ms: float
    requests: int


async def _send(options: argparse.Namespace) -> Paced:
    stream = Stream(options.size, scattered=False, seed=options.seed)
    payloads = chain.from_iterable(it.payloads for it in stream.rounds())
    count = int(options.rate * (options.seconds + _UNCOUNTED_S))
    clock = asyncio.get_running_loop().time
    took_s: list[float] = []
    async with (
        grpc.aio.insecure_channel(options.target) as channel,
        asyncio.TaskGroup() as group,
    ):
        export: Export = channel.unary_unary(EXPORT)
        await channel.channel_ready()
        began_s = clock()
        for number, payload in enumerate(islice(payloads, count)):
            due_s = began_s + number / options.rate
            await asyncio.sleep(max(0.0, due_s - clock()))
            group.create_task(_one(export, payload, due_s=due_s, took_s=took_s))
    counted = sorted(took_s[int(options.rate * _UNCOUNTED_S) :])
    return Paced(
        p50_ms=counted[len(counted) // 2] * 1e3,
        p99_ms=counted[len(counted) * 99 // 100] * 1e3,
        requests=len(counted),
    )


async def _one(
    export: Export, payload: bytes, *, due_s: float, took_s: list[float]
) -> None:
    await export(payload, timeout=_TIMEOUT_S)
    took_s.append(asyncio.get_running_loop().time() - due_s)


def main() -> None:
    """Send as the command line says."""
    parser = argparse.ArgumentParser(description="OTLP/gRPC load of a fixed rate.")
    parser.add_argument("target")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--size", type=int, required=True, help="spans a request")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(asdict(uvloop.run(_send(parser.parse_args())))))


if __name__ == "__main__":
    main()
