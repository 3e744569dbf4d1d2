"""A span that the backend cannot decode costs no other span, whoever it travels with.

Our receiver does not look into attributes, so such spans get in; the backend is a real
collector, which decodes everything and refuses a request as a whole.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tailring_testkit import otlp, ports, servers, services
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient, GrpcReply
from tailring_testkit.parity import LenientRequest
from tailring_testkit.receiver_rig import until
from tailring_testkit.wire import field

Code = grpc.StatusCode

# What a span must hold for the collector to refuse it: behind its ids.
_POISON = {
    "attribute": field(9, b"\xff\xff"),
    "value": field(9, field(1, b"key") + field(2, b"\xff\xff")),
    "event": field(11, field(2, b"e") + b"\xff"),
    "link": field(13, field(1, b"short")),
    "name of a wrong type": b"\x28\x01",
}
_BAD_RESOURCE = field(1, field(1, b"\xff\xff"))
# Text that is no UTF-8 is no poison: neither the collector nor we look at it.
_LATIN_1 = field(5, b"caf\xe9")

GOOD_REQUESTS, POISON_REQUESTS, SPANS = 200, 20, 3


def _request(trace_id: bytes, extra: bytes = b"", *, resource: bytes = b"") -> bytes:
    """Spans of one trace, the last of them with ``extra``."""
    ids = (field(1, trace_id) + field(2, bytes([n]) * 8) for n in range(1, SPANS + 1))
    spans = b"".join(
        field(2, one + extra * (n == SPANS)) for n, one in enumerate(ids, 1)
    )
    return field(1, resource + field(2, spans))


@dataclass(frozen=True, slots=True)
class Load:
    """Good and poisonous requests; every one is a trace of its own."""

    good: dict[bytes, bytes]
    poison: list[bytes]

    def shuffled(self) -> list[bytes]:
        """All of them, the poison spread among the good ones."""
        mixed = [*self.good.values(), *self.poison]
        random.Random(3).shuffle(mixed)
        return mixed


def _load() -> Load:
    ids = otlp.trace_ids(GOOD_REQUESTS + POISON_REQUESTS, seed=7)
    kinds = [*_POISON.values()]
    poison = [
        _request(trace_id, kinds[n % len(kinds)])
        if n % 6
        else _request(trace_id, resource=_BAD_RESOURCE)
        for n, trace_id in enumerate(ids[GOOD_REQUESTS:])
    ]
    good = {
        trace_id: _request(trace_id, _LATIN_1 if n % 2 else b"")
        for n, trace_id in enumerate(ids[:GOOD_REQUESTS])
    }
    return Load(good, poison)


@asynccontextmanager
async def _collector(folder: Path) -> AsyncIterator[tuple[str, Backend]]:
    """A collector that passes on at once: its address, and where it passes on to."""
    port = ports.free_port()
    async with Backend() as backend:
        exporter = {
            "endpoint": backend.address,
            "tls": {"insecure": True},
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": False},
        }
        endpoint = f"127.0.0.1:{port}"
        config = {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": endpoint}}}},
            "exporters": {"otlp": exporter},
            "service": {
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp"]}}
            },
        }
        with servers.otelcol(config, folder):
            yield endpoint, backend


def _arrived(backend: Backend) -> dict[bytes, int]:
    """How many spans of each trace came out behind the collector."""
    counts: dict[bytes, int] = {}
    for payload in backend.received:
        for trace_id in _trace_ids(payload):
            counts[trace_id] = counts.get(trace_id, 0) + 1
    return counts


def _trace_ids(payload: bytes) -> list[bytes]:
    """The trace id of each span; the names need not be UTF-8."""
    request = LenientRequest.FromString(payload)
    return [
        span.trace_id
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


async def _send_all(target: str, requests: list[bytes]) -> dict[bytes, GrpcReply]:
    async with GrpcClient(target) as client:
        replies = await asyncio.gather(*(client.export(one) for one in requests))
    return dict(zip(requests, replies, strict=True))


async def test_poison_through_the_router(tmp_path: Path) -> None:
    """Requests that travel with poison arrive once each; the poison is INVALID_ARGUMENT
    for its own sender and leaves by the door "rejected"."""
    load = _load()
    async with _collector(tmp_path / "otelcol") as (endpoint, backend):
        with services.router(tmp_path, {"static": {"hostnames": [endpoint]}}) as router:
            replies = await _send_all(router.target, load.shuffled())
            left = router.metrics()
    assert {replies[one].code for one in load.good.values()} == {Code.OK}
    assert {replies[one].code for one in load.poison} == {Code.INVALID_ARGUMENT}
    assert _arrived(backend) == dict.fromkeys(load.good, SPANS)
    doors = {
        door: left.total("tailring_router_left_spans_total", door=door)
        for door in ("delivered", "rejected")
    }
    assert doors == {
        "delivered": GOOD_REQUESTS * SPANS,
        "rejected": POISON_REQUESTS * SPANS,
    }
    # They did travel together: fewer requests were delivered than were sent.
    assert backend.requests < GOOD_REQUESTS


async def test_poison_through_the_sampler(tmp_path: Path) -> None:
    """Kept traces that are released with poison arrive once each; the poison was
    acknowledged, is sent alone once and counted as lost, by name."""
    load = _load()
    always = {"name": "all", "type": "always_sample"}
    async with _collector(tmp_path / "otelcol") as (endpoint, backend):
        with services.sampler(tmp_path, backend=endpoint, policies=[always]) as sampler:
            replies = await _send_all(sampler.target, load.shuffled())
            assert {reply.code for reply in replies.values()} == {Code.OK}
            wanted = (GOOD_REQUESTS + POISON_REQUESTS) * SPANS
            await until(lambda: sum(_left(sampler).values()) == wanted)
            left = _left(sampler)
    assert _arrived(backend) == dict.fromkeys(load.good, SPANS)
    assert left == {
        "delivered": GOOD_REQUESTS * SPANS,
        "rejected": POISON_REQUESTS * SPANS,
    }


def _left(sampler: services.Service) -> dict[str, float]:
    """Spans of kept traces that left the sampler, delivered or by the reason."""
    page = sampler.metrics()
    return {
        "delivered": page.total("tailring_sampler_spans_delivered_total"),
        **page.by_label("tailring_sampler_spans_lost_total", "reason"),
    }
