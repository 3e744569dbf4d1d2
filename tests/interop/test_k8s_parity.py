"""The k8s resolver names backends as the real collector's does.

One collector and one router of ours follow the same Services of a real API server, with
RBAC on, through the same kubeconfig. Both are sent the same random trace ids: that each
reaches the same backend with both says that the rings, and so the strings on them, are
the same. EndpointSlices take no loopback addresses, so the backends have others.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tailring_testkit import otlp, ports, routed, servers
from tailring_testkit.backend import Backend
from tailring_testkit.cluster import cluster
from tailring_testkit.kube import Json, Tenant, endpoint, kube

pytestmark = pytest.mark.namespaces

TRACES = 1000
PORT = 5317
V4 = [f"10.231.0.{number}" for number in range(1, 9)]
V6 = [f"fd00:9::{number:x}" for number in range(1, 5)]
DNS_SERVER = "127.53.0.1"


@dataclass(frozen=True)
class Way:
    """One exporter: its name and its k8s block."""

    name: str
    block: Mapping[str, Any]


def _ways(namespace: str) -> list[Way]:
    def way(name: str, service: str, **block: Any) -> Way:
        return Way(name, {"service": service, **block})

    full = f"plain.{namespace}.svc.cluster.local"
    named = f"named.{namespace}"
    return [
        way("bare", f"plain.{namespace}"),
        way("port", f"plain.{namespace}", ports=[PORT]),
        way("ports", full, ports=[PORT, 4317]),
        way("moved", f"moved.{namespace}", ports=[PORT]),
        way("conditions", f"conditions.{namespace}", ports=[PORT]),
        way("dual", f"dual.{namespace}.svc.x", ports=[PORT], timeout="1500ms"),
        way("names", named, return_hostnames=True),
        way("namesport", named, return_hostnames=True, ports=[PORT]),
    ]


def _conditions() -> list[Json]:
    """Each kind of condition that a real control plane writes, and none."""
    kinds: list[Json] = [
        {"ready": True, "serving": True, "terminating": False},
        {"ready": False, "serving": False, "terminating": False},
        {"ready": False, "serving": True, "terminating": True},
        {"ready": True, "serving": True, "terminating": True},
        {"serving": False},
        {},
    ]
    found = [
        {**endpoint(address), "conditions": conditions}
        for address, conditions in zip(V4, kinds, strict=False)
    ]
    return [*found, endpoint(V4[6], ready=None)]


def _first(tenant: Tenant) -> None:
    """The slices at the start; some endpoints are in two."""
    tenant.put_slice("plain-1", map(endpoint, V4[:3]), service="plain")
    tenant.put_slice("plain-2", map(endpoint, V4[2:5]), service="plain")
    tenant.put_slice("moved-1", map(endpoint, V4[:3]), service="moved")
    tenant.put_slice("moved-2", map(endpoint, V4[2:5]), service="moved")
    tenant.put_slice("conditions-1", _conditions(), service="conditions")
    tenant.put_slice("dual-4", map(endpoint, V4[:4]), service="dual")
    tenant.put_slice("dual-6", map(endpoint, V6), service="dual", kind="IPv6")
    pods = [
        endpoint(one, hostname=f"pod-{number}") for number, one in enumerate(V4[:5])
    ]
    tenant.put_slice("named-1", [*pods, endpoint(V4[5])], service="named")


def _second(tenant: Tenant) -> None:
    """The slices after a change of each kind: more, fewer, unready, gone."""
    tenant.put_slice("plain-2", map(endpoint, V4[2:8]), service="plain")
    tenant.put_slice("moved-2", map(endpoint, V4[3:5]), service="moved")
    tenant.put_slice(
        "conditions-1",
        [endpoint(one, ready=number % 2 == 0) for number, one in enumerate(V4)],
        service="conditions",
    )
    tenant.put_slice("dual-4", map(endpoint, V4[1:6]), service="dual")
    tenant.drop_slice("dual-6")
    # Other addresses for the same names: nothing moves.
    pods = [
        endpoint(one, hostname=f"pod-{number}")
        for number, one in enumerate(V4[3:8])
        if number != 2
    ]
    tenant.put_slice("named-1", pods, service="named")


def _config(ways: list[Way], taken: list[int]) -> dict[str, Any]:
    """A pipeline for each way, with a receiver of its own on the port at its place."""
    return {
        "receivers": {
            f"otlp/{way.name}": {
                "protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}
            }
            for way, port in zip(ways, taken, strict=True)
        },
        "exporters": {
            f"loadbalancing/{way.name}": {
                "routing_key": "traceID",
                "protocol": {"otlp": {"tls": {"insecure": True}}},
                "resolver": {"k8s": dict(way.block)},
            }
            for way in ways
        },
        "service": {
            "pipelines": {
                f"traces/{way.name}": {
                    "receivers": [f"otlp/{way.name}"],
                    "exporters": [f"loadbalancing/{way.name}"],
                }
                for way in ways
            }
        },
    }


def _add_addresses() -> None:
    for host in [*V4, *V6]:
        width = "128" if ":" in host else "32"
        command = ["ip", "addr", "add", f"{host}/{width}", "dev", "lo"]
        subprocess.run(command, check=True)


def _payload(rng: random.Random) -> bytes:
    spans = [
        otlp.span(
            rng.randbytes(16),
            rng.randbytes(8),
            start_ns=otlp.EPOCH_NS,
            end_ns=otlp.EPOCH_NS,
        )
        for _ in range(TRACES)
    ]
    return otlp.request(*spans, resource={"service.name": "s"})


async def test_backends_are_those_of_upstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 traces over eight ways to follow a Service reach the same backends twice,
    but for an endpoint that moved to another slice, which only the collector loses."""
    rng = random.Random(20261125)
    async with AsyncExitStack() as later:
        stack = later.enter_context(ExitStack())
        made = stack.enter_context(cluster())
        _add_addresses()
        tenant = stack.enter_context(kube(tmp_path / "kube")).tenant()
        records = {
            f"pod-{number}.named.{tenant.namespace}": [host]
            for number, host in enumerate(V4[:5])
        }
        place = servers.Place(DNS_SERVER)
        stack.enter_context(
            servers.dnsmasq(tmp_path / "dns", records, port=53, place=place)
        )
        made.use_resolver(DNS_SERVER, search="zone.test", folder=tmp_path)
        _first(tenant)
        kubeconfig = tenant.kube.kubeconfig("router", {"token": tenant.token()})
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        backends = [
            await later.enter_async_context(Backend(host=host, port=port))
            for port in (4317, PORT)
            for host in [*V4, *V6]
        ]
        ways = _ways(tenant.namespace)
        theirs, ours = (ports.free_ports(len(ways)) for _ in range(2))
        stack.enter_context(servers.otelcol(_config(ways, theirs), tmp_path / "their"))
        stack.enter_context(routed.router_of(_config(ways, ours), tmp_path))
        differences: list[str] = []
        sizes: list[int] = []
        for change in (None, _second):
            if change is not None:
                await asyncio.to_thread(change, tenant)
                await asyncio.sleep(2)  # neither says when it has seen it
            for way, their_port, our_port in zip(ways, theirs, ours, strict=True):
                payload = _payload(rng)
                await routed.send(their_port, [payload])
                expected = await routed.arrived(backends, spans=TRACES)
                await routed.send(our_port, [payload])
                sizes.append(len(expected))
                if await routed.arrived(backends, spans=TRACES) != expected:
                    differences.append(way.name)
        assert differences == ["moved"]
        # In the collector: of each way, before and after the change.
        assert sizes[:8] == [5, 5, 10, 5, 5, 8, 5, 5]
        assert sizes[8:] == [8, 8, 16, 4, 4, 5, 4, 4]
