"""Cloud Map's instances are the same endpoints to us as to the real collector.

One collector and one router of ours, each with one exporter for every way to name the
instances of a service, ask the same moto. Where a trace goes follows from the strings
on the ring, so backends that get the same traces from both have the same names.

Upstream's SDK puts ``data-`` before the host of whatever endpoint it is given, so here
the endpoint has a name that DNS knows with and without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tailring_testkit import ports, routed, servers
from tailring_testkit.backend import Backend
from tailring_testkit.cloud_map import aws_environment
from tailring_testkit.cluster import cluster
from tailring_testkit.moto import CloudMapService, Moto, moto
from tailring_testkit.otlp import request, span, trace_ids

pytestmark = pytest.mark.namespaces

TRACES = 1500
PORT = 5317
HOSTS = [f"127.9.0.{number}" for number in range(1, 10)]
SICK = HOSTS[:3]
DNS_SERVER = "127.53.0.1"
MOTO_PORT = 5999


@dataclass(frozen=True)
class Way:
    """One exporter: its name, the service it asks for, and further keys."""

    name: str
    service: str
    keys: Mapping[str, Any]


WAYS = [
    Way("port", "plain", {"port": PORT}),
    Way("attribute", "ported", {}),
    Way("portfirst", "ported", {"port": PORT}),
    Way("twice", "twice", {"port": PORT}),
    Way("account", "plain", {"port": PORT, "owner_account": "123456789012"}),
    Way("healthy", "ported", {"health_status": "HEALTHY"}),
    Way("unhealthy", "ported", {"health_status": "UNHEALTHY"}),
    Way("all", "ported", {"health_status": "ALL"}),
    Way("orelse", "ported", {"health_status": "HEALTHY_OR_ELSE_ALL"}),
    Way("failopen", "allsick", {"health_status": "HEALTHY_OR_ELSE_ALL"}),
]


def _register(cloud: Moto) -> None:
    made: dict[str, CloudMapService] = {
        name: cloud.service("ns", name)
        for name in ("plain", "ported", "twice", "allsick")
    }
    for at, host in enumerate(HOSTS):
        made["plain"].register(f"i{at}", AWS_INSTANCE_IPV4=host)
        made["twice"].register(f"i{at}", AWS_INSTANCE_IPV4=host)
        for name in ("ported", "allsick"):
            made[name].register(
                f"i{at}",
                AWS_INSTANCE_IPV4=host,
                # Some listen elsewhere, which only the attribute says.
                AWS_INSTANCE_PORT=str(PORT if at % 2 else 4317),
            )
        if host in SICK:
            made["ported"].set_health(f"i{at}", "UNHEALTHY")
        made["allsick"].set_health(f"i{at}", "UNHEALTHY")
    for at, host in enumerate(SICK):
        made["twice"].register(f"again{at}", AWS_INSTANCE_IPV4=host)


def _config(taken: list[int]) -> dict[str, Any]:
    """A pipeline for each way, with a receiver of its own on the port at its place."""
    otlp = {"tls": {"insecure": True}, "compression": "none"}
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
                "resolver": {
                    "aws_cloud_map": {
                        "namespace": "ns",
                        "service_name": way.service,
                        **way.keys,
                    }
                },
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


@contextmanager
def _cloud(folder: Path, environment: pytest.MonkeyPatch) -> Iterator[None]:
    """A moto with the services, under a name that has the prefix and one that has not,
    and in the environment of every process to come."""
    url = f"http://cloud.test:{MOTO_PORT}"
    for name, value in aws_environment(url).items():
        environment.setenv(name, value)
    with moto(folder, port=MOTO_PORT) as cloud:
        _register(cloud)
        yield


async def test_instances_are_named_as_upstream_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,500 traces over every way of naming 9 instances, with ports configured and
    registered, sick ones and duplicates, reach the same backends with both."""
    async with AsyncExitStack() as later:
        stack = later.enter_context(ExitStack())
        made = stack.enter_context(cluster())
        place = servers.Place(DNS_SERVER)
        names = {"cloud.test": ["127.0.0.1"], "data-cloud.test": ["127.0.0.1"]}
        stack.enter_context(
            servers.dnsmasq(tmp_path / "dns", names, port=53, place=place)
        )
        made.use_resolver(DNS_SERVER, search="zone.test", folder=tmp_path)
        stack.enter_context(_cloud(tmp_path, monkeypatch))
        backends = [
            await later.enter_async_context(Backend(host=host, port=port))
            for host in HOSTS
            for port in (4317, PORT)
        ]
        theirs_ports, our_ports = (ports.free_ports(len(WAYS)) for _ in range(2))
        config = _config(theirs_ports)
        stack.enter_context(servers.otelcol(config, tmp_path / "otelcol"))
        stack.enter_context(routed.router_of(_config(our_ports), tmp_path))
        spans = [span(one, b"\x01" * 8) for one in trace_ids(TRACES, seed=29)]
        payloads = [request(*spans[at : at + 500]) for at in range(0, TRACES, 500)]
        differences: list[str] = []
        used: dict[str, int] = {}
        for way, theirs, ours in zip(WAYS, theirs_ports, our_ports, strict=True):
            await routed.send(theirs, payloads)
            expected = await routed.arrived(backends, spans=TRACES)
            used[way.name] = len(expected)
            await routed.send(ours, payloads)
            if await routed.arrived(backends, spans=TRACES) != expected:
                differences.append(way.name)
        assert differences == []
        assert used == {
            **dict.fromkeys((way.name for way in WAYS), len(HOSTS)),
            "healthy": len(HOSTS) - len(SICK),
            "orelse": len(HOSTS) - len(SICK),
            "unhealthy": len(SICK),
        }
