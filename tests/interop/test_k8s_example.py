"""The Kubernetes example of collector users runs unchanged, as in a pod.

The router has a machine of its own, with the files and variables that a pod finds, and
follows a Service of a real API server on another one.
"""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
import pytest

from tailring_hashring import build
from tailring_testkit import otlp, servers, services
from tailring_testkit.backend import EXPORT_TRACES, Backend
from tailring_testkit.cluster import cluster
from tailring_testkit.kube import Kube, Tenant, endpoint, kube
from tailring_testkit.process import eventually, port_open

pytestmark = pytest.mark.namespaces

_EXAMPLE = servers.repository() / "examples" / "collector" / "tier1-k8s.yaml"
_BRIDGE = "10.77.0.1"
_BACKENDS = ["10.77.0.201", "10.77.0.202", "10.77.0.203"]
_RUN = Path("/var/run")
_ACCOUNT = _RUN / "secrets" / "kubernetes.io" / "serviceaccount"


def _add_addresses() -> None:
    for host in _BACKENDS:
        command = ["ip", "addr", "add", f"{host}/24", "dev", "nodes"]
        subprocess.run(command, check=True)


def _enter_pod(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this test's processes find what a pod of the account finds."""
    subprocess.run(["mount", "-t", "tmpfs", "none", _RUN], check=True)
    for name, value in tenant.pod(_ACCOUNT).environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KUBECONFIG", raising=False)


def _service(api: Kube) -> Tenant:
    """The Service of the example, and a Role for its router."""
    tenant = api.tenant("observability")
    found = map(endpoint, _BACKENDS)
    tenant.put_slice("otelcol-tier2-x", found, service="otelcol-tier2")
    return tenant


async def test_the_kubernetes_example_keeps_the_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traces go where a ring of the addresses with their ports sends them, and when a
    backend leaves its Service the others take its share."""
    payloads = [otlp.realistic_request(400, seed) for seed in range(10)]
    sent = set().union(*(otlp.trace_ids_of(payload) for payload in payloads))
    async with AsyncExitStack() as stack:
        made = stack.enter_context(cluster())
        _add_addresses()
        place = servers.Place(_BRIDGE)
        tenant = _service(stack.enter_context(kube(tmp_path / "kube", place=place)))
        _enter_pod(tenant, monkeypatch)
        backends = [
            await stack.enter_async_context(Backend(host=host, port=4317))
            for host in _BACKENDS
        ]
        node = made.node("router")
        child = stack.enter_context(
            node.running(
                services.command("tailring-router"),
                "--config",
                _EXAMPLE,
                log=tmp_path / "router.log",
                ready=port_open(4317, node.address),
            )
        )
        for left in (backends, backends[1:]):
            names = [one.address for one in left]
            await asyncio.gather(*(_send(node.address, one) for one in payloads))
            arrived = {
                one.address: set().union(*map(otlp.trace_ids_of, one.received))
                for one in left
            }
            ring = build(names)
            owners = {one: ring.owner(one) for one in sent}
            assert arrived == {
                name: {one for one in sent if owners[one] == name} for name in names
            }
            for one in backends:
                one.received.clear()
            await asyncio.to_thread(
                tenant.put_slice,
                "otelcol-tier2-x",
                [endpoint(host) for host in _BACKENDS[1:]],
                service="otelcol-tier2",
            )
            await eventually(
                lambda: f"backend {_BACKENDS[0]}:4317 removed" in child.log(),
                "the router has seen it",
            )


async def _send(host: str, payload: bytes) -> None:
    async with grpc.aio.insecure_channel(f"{host}:4317") as channel:
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            EXPORT_TRACES
        )
        await export(payload, timeout=60, wait_for_ready=True)
