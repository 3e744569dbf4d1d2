"""Traces go to the same backends as with the real collector.

One collector and one router of ours, each with one load-balancing exporter for every
way that backends can be given: static and by DNS, with and without a port, IPv6,
duplicates in the list. Both are sent the same random trace ids; the backends say what
arrived. Upstream dials a portless IPv6 address on 443, so those have ports here.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tailring_testkit import ports, routed, servers
from tailring_testkit.backend import Backend
from tailring_testkit.cluster import cluster
from tailring_testkit.otlp import EPOCH_NS, request, span

pytestmark = pytest.mark.namespaces

TRACES = 2000
COUNTS = (2, 3, 5, 7, 12)
V4 = [f"127.9.0.{number}" for number in range(1, 13)]
V6 = [f"fd00:9::{number:x}" for number in range(1, 13)]
DNS_SERVER = "127.53.0.1"
PORT = 5317


@dataclass(frozen=True)
class Way:
    """One exporter: its name and its resolver block."""

    name: str
    resolver: Mapping[str, Any]


def _ways() -> Iterator[Way]:
    for n in COUNTS:
        ported = [f"{host}:{PORT}" for host in V4[:n]]
        six = [f"[{host}]:{PORT}" for host in V6[:n]]
        static = {
            "port": ported,
            "bare": V4[:n],
            "six": six,
            "mixed": [*V4[: n // 2], *six[n // 2 :]],
            "twice": [*ported, *ported[: n // 2], *V4[:2]],
        }
        for name, hostnames in static.items():
            yield Way(f"static{name}{n}", {"static": {"hostnames": hostnames}})
        dns = {"interval": "1s", "timeout": "5s"}
        yield Way(
            f"dnsport{n}",
            {"dns": {"hostname": f"v4-{n}.zone.test", "port": str(PORT), **dns}},
        )
        yield Way(f"dnsbare{n}", {"dns": {"hostname": f"v4-{n}.zone.test", **dns}})
        yield Way(
            f"dnsdual{n}",
            {"dns": {"hostname": f"dual-{n}.zone.test", "port": str(PORT), **dns}},
        )


WAYS = list(_ways())


def _records() -> dict[str, list[str]]:
    return {
        **{f"v4-{n}.zone.test": V4[:n] for n in COUNTS},
        **{f"dual-{n}.zone.test": [*V4[:n], *V6[:n]] for n in COUNTS},
    }


def _config(generation: int | None, taken: list[int]) -> dict[str, Any]:
    """A pipeline for each way, with a receiver of its own on the port at its place."""
    otlp = {"tls": {"insecure": True}, "compression": "none"}
    ours = {} if generation is None else {"ring_generation": generation}
    return {
        "receivers": {
            f"otlp/{way.name}": {
                "protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}
            }
            for way, port in zip(WAYS, taken, strict=True)
        },
        "exporters": {
            f"loadbalancing/{way.name}": {
                "routing_key": "traceID",
                "protocol": {"otlp": otlp},
                "resolver": dict(way.resolver),
                **ours,
            }
            for way in WAYS
        },
        "service": {
            "pipelines": {
                f"traces/{way.name}": {
                    "receivers": [f"otlp/{way.name}"],
                    "exporters": [f"loadbalancing/{way.name}"],
                }
                for way in WAYS
            }
        },
    }


def _add_addresses(hosts: list[str]) -> None:
    for host in hosts:
        command = ["ip", "addr", "add", f"{host}/128", "dev", "lo"]
        subprocess.run(command, check=True)


def _payloads(rng: random.Random) -> list[bytes]:
    spans = [
        span(rng.randbytes(16), rng.randbytes(8), start_ns=EPOCH_NS, end_ns=EPOCH_NS)
        for _ in range(TRACES)
    ]
    return [
        request(*spans[at : at + 500], resource={"service.name": "s"})
        for at in range(0, TRACES, 500)
    ]


async def test_random_traces_are_routed_as_upstream_routes_them(tmp_path: Path) -> None:
    """2,000 random trace ids over every way of naming 2, 3, 5, 7 and 12 backends reach
    the same backends with the collector and with the router."""
    rng = random.Random(20261125)
    async with AsyncExitStack() as later:
        stack = later.enter_context(ExitStack())
        made = stack.enter_context(cluster())
        _add_addresses(V6)
        place = servers.Place(DNS_SERVER)
        stack.enter_context(
            servers.dnsmasq(tmp_path / "dns", _records(), port=53, place=place)
        )
        made.use_resolver(DNS_SERVER, search="zone.test", folder=tmp_path)
        backends = [
            await later.enter_async_context(Backend(host=host, port=port))
            for host, port in [
                *((host, 4317) for host in V4),
                *((host, PORT) for host in [*V4, *V6]),
            ]
        ]
        theirs_ports, our_ports = (ports.free_ports(len(WAYS)) for _ in range(2))
        config = _config(None, theirs_ports)
        stack.enter_context(servers.otelcol(config, tmp_path / "otelcol"))
        stack.enter_context(routed.router_of(_config(3, our_ports), tmp_path))
        differences: list[str] = []
        for way, theirs, ours in zip(WAYS, theirs_ports, our_ports, strict=True):
            payloads = _payloads(rng)
            await routed.send(theirs, payloads)
            expected = await routed.arrived(backends, spans=TRACES)
            await routed.send(ours, payloads)
            if await routed.arrived(backends, spans=TRACES) != expected:
                differences.append(way.name)
        assert len(WAYS) == 40
        assert differences == []
