"""Items of every signal go to the same backends as with the real collector.

One collector and one router of ours, each with an exporter for every routing key of
every signal, over the same five backends. Both are sent the same 1,500 random items a
key; the backends say what arrived where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.routing_items import (
    LOGS,
    METRICS,
    TRACES,
    Items,
    numbers_in,
    respelled,
)

from tailring_pipeline import Signal
from tailring_testkit import ports, routed, servers
from tailring_testkit.backend import Backend
from tailring_testkit.routing_reference import UNROUTABLE, keys_of
from tailring_testkit.signals import EXPORT

ITEMS = 1500
BACKENDS = 5
SIGNALS = (Signal.TRACES, Signal.LOGS, Signal.METRICS)
MIXED = ["b", "service.name", "a", "ключ"]
OWN = ["span.kind", "log.severity", "a", "span.name", "log.body", "none"]


@dataclass(frozen=True)
class Way:
    """One exporter: its signal and what it routes by."""

    kind: int
    key: str
    attributes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What tells it apart in a configuration."""
        return f"{self.kind}{self.key or 'default'}{len(self.attributes)}"

    @property
    def signal(self) -> Signal:
        """Its signal."""
        return SIGNALS[self.kind]


WAYS = [
    *(Way(TRACES, key) for key in ("", "traceID", "service")),
    *(Way(LOGS, key) for key in ("", "service", "traceID", "resource")),
    *(Way(METRICS, key) for key in ("", "service", "resource", "metric", "streamID")),
    *(
        Way(kind, "attributes", names)
        for kind in (TRACES, LOGS, METRICS)
        for names in (["service.name"], MIXED, OWN)
    ),
]


def _exporter(way: Way, addresses: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "protocol": {"otlp": {"tls": {"insecure": True}, "compression": "none"}},
        "resolver": {"static": {"hostnames": addresses}},
    }
    if way.key:
        found["routing_key"] = way.key
    if way.attributes:
        found["routing_attributes"] = list(way.attributes)
    return found


def _config(addresses: list[str], taken: list[int]) -> dict[str, Any]:
    """A pipeline for each way, with a receiver of its own on the port at its place."""
    return {
        "receivers": {
            f"otlp/{way.name}": {
                "protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}
            }
            for way, port in zip(WAYS, taken, strict=True)
        },
        "exporters": {
            f"loadbalancing/{way.name}": _exporter(way, addresses) for way in WAYS
        },
        "service": {
            "pipelines": {
                f"{way.signal.value}/{way.name}": {
                    "receivers": [f"otlp/{way.name}"],
                    "exporters": [f"loadbalancing/{way.name}"],
                }
                for way in WAYS
            }
        },
    }


async def _arrived(
    backends: list[Backend], way: Way, items: int
) -> dict[int, list[str]]:
    """Where each item is, once all are there; the backends are emptied."""
    found: dict[int, list[str]] = {}
    async with asyncio.timeout(60):
        while sum(map(len, found.values())) < items:
            # Neither side says when it is done with what it acknowledged early.
            await asyncio.sleep(0.02)
            for backend in backends:
                for number in _taken(backend, way):
                    found.setdefault(number, []).append(backend.address)
    return found


def _taken(backend: Backend, way: Way) -> list[int]:
    """The items of a backend, which is emptied."""
    payloads = backend.received_of[way.signal]
    numbers = [number for each in payloads for number in numbers_in(each, way.kind)]
    payloads.clear()
    return numbers


def _expected(way: Way, payloads: list[bytes]) -> tuple[set[int], set[int]]:
    """The items that must arrive, and those of them whose backend is by chance."""
    routable: set[int] = set()
    by_chance: set[int] = set()
    for payload in payloads:
        keys = keys_of(payload, way.kind, way.key or _default(way), way.attributes)
        for number, key in zip(numbers_in(payload, way.kind), keys, strict=True):
            if key != UNROUTABLE:
                routable.add(number)
            if way.kind == LOGS and way.key == "traceID" and not key:
                by_chance.add(number)
    return routable, by_chance


def _default(way: Way) -> str:
    return "traceID" if way.kind == TRACES else "service"


async def _run(
    folder: Path, spell: Callable[[bytes], bytes], problems: list[str]
) -> None:
    """Send every way's items to both, and note what went elsewhere."""
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(Backend()) for _ in range(BACKENDS)]
        addresses = [backend.address for backend in backends]
        theirs_ports, our_ports = (ports.free_ports(len(WAYS)) for _ in range(2))
        theirs = _config(addresses, theirs_ports)
        stack.enter_context(servers.otelcol(theirs, folder / "otelcol"))
        stack.enter_context(routed.router_of(_config(addresses, our_ports), folder))
        for place, way in enumerate(WAYS):
            plain = list(Items(way.kind, place).requests(ITEMS))
            routable, by_chance = _expected(way, plain)
            payloads = [spell(payload) for payload in plain]
            await routed.send(theirs_ports[place], payloads, method=EXPORT[way.signal])
            expected = await _arrived(backends, way, len(routable))
            await routed.send(our_ports[place], payloads, method=EXPORT[way.signal])
            found = await _arrived(backends, way, len(routable))
            assert found.keys() == expected.keys() == routable
            assert all(len(each) == 1 for each in found.values())
            assert len({each[0] for each in found.values()}) > BACKENDS // 2
            different = [n for n in routable - by_chance if found[n] != expected[n]]
            if different:
                problems.append(f"{way.name}: {len(different)}")


async def test_every_item_is_routed_as_upstream_routes_it(tmp_path: Path) -> None:
    """1,500 random items by every key of every signal reach the same backends with the
    collector and with the router, once each."""
    problems: list[str] = []
    await _run(tmp_path, bytes, problems)
    assert problems == []


async def test_odd_spellings_are_routed_as_upstream_routes_them(tmp_path: Path) -> None:
    """So do items whose attributes are spelled as no library spells them, with repeated
    messages, overwritten values and text that is not UTF-8."""
    problems: list[str] = []
    await _run(tmp_path, respelled, problems)
    assert problems == []
