"""Where requests go: a router of a whole file, what is sent to it, what arrived where.

For tests that send the same to a collector and to our router, through a receiver for
each way of routing, and compare which backend got what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import yaml

from tailring_testkit import ports, services
from tailring_testkit.backend import EXPORT_TRACES, Backend
from tailring_testkit.otlp import trace_ids_of
from tailring_testkit.process import eventually, http_ok, running

__all__ = ["arrived", "router_of", "send"]

# Neither side says when it is done with what it acknowledged early.
_WAIT_S = 60.0


@contextmanager
def router_of(config: Mapping[str, Any], folder: Path) -> Iterator[None]:
    """Run our router with all of that configuration, a health check added; ready."""
    health = ports.free_port()
    service = {
        **config["service"],
        "extensions": ["health_check"],
        "telemetry": {"metrics": {"level": "none"}},
    }
    checks = {"health_check": {"endpoint": f"127.0.0.1:{health}"}}
    path = folder / "router.yaml"
    tree = {**config, "extensions": checks, "service": service}
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))
    with running(
        [services.command("tailring-router"), "--config", path],
        log=folder / "router.log",
        ready=http_ok(f"http://127.0.0.1:{health}/readyz"),
    ):
        yield


async def send(
    port: int, payloads: Sequence[bytes], *, method: str = EXPORT_TRACES
) -> None:
    """Hand requests to the receiver on that port, one after the other."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            method
        )
        for payload in payloads:
            await export(payload, timeout=60, wait_for_ready=True)


async def arrived(backends: Sequence[Backend], *, spans: int) -> dict[str, set[bytes]]:
    """The trace ids that each backend got, once so many spans are there; the backends
    are emptied."""
    await eventually(
        lambda: sum(one.span_count for one in backends) >= spans,
        f"{spans} spans at the backends",
        timeout_s=_WAIT_S,
    )
    found = {
        backend.address: set().union(*map(trace_ids_of, backend.received))
        for backend in backends
        if backend.received
    }
    for backend in backends:
        backend.received.clear()
    return found
