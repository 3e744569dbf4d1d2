"""A router before five recording backends, one of which is going to have a fault.

Everything is a process of its own: the router is the installed command, the backends
write down what they take. The *victim* can be reached through a proxy, so that its
connections can be cut. The peer, a real Collector, can stand in the router's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tailring_testkit import ports, prom, servers, services
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.process import Child
from tailring_testkit.recorder import Recorder
from tailring_testkit.tcp_proxy import TcpProxy

__all__ = ["BACKENDS", "Bench", "Reached", "running_bench"]

BACKENDS = 5
_NAME = "backends.test"
# Addresses of loopback, as a DNS name can hold several of them with one port.
_HOST = "127.0.0.{}"
_HOST_FIRST = 11

Yaml = Mapping[str, Any]

Reached = Literal["directly", "by proxy", "by name"]
"""How the router gets to the victim; ``by name``: all backends are of one DNS name."""


@dataclass(slots=True)
class Bench:
    """What a fault acts on."""

    backends: list[Recorder]
    proxy: TcpProxy
    dns: DnsServer
    lasts_s: float
    """How long the fault goes on."""
    target: str
    """Where the router, or the peer, takes OTLP/gRPC."""
    child: Child
    ready_url: str
    metrics_port: int
    """0: the peer, whose metrics are not asked for."""

    @property
    def victim(self) -> Recorder:
        """The backend that the fault happens to."""
        return self.backends[0]

    def list_backends(self, *numbers: int) -> None:
        """The DNS name holds these from now on."""
        self.dns.set(_NAME, *(self.backends[number].host for number in numbers))

    def metrics(self) -> prom.Scrape | None:
        """The router's metrics page; the peer has none here."""
        return prom.scrape(self.metrics_port) if self.metrics_port else None


@dataclass(frozen=True, slots=True)
class _Tier:
    target: str
    child: Child
    ready_url: str
    metrics_port: int


@asynccontextmanager
async def running_bench(
    folder: Path,
    *,
    exporter: Yaml,
    reached: Reached = "directly",
    lasts_s: float = 0.0,
    peer: bool = False,
) -> AsyncIterator[Bench]:
    """``exporter`` adds keys to the balancing exporter."""
    port = ports.free_port()
    hosts = [_HOST.format(_HOST_FIRST + number) for number in range(BACKENDS)]
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        backends = [Recorder(folder, host=host, port=port) for host in hosts]
        for backend in backends:
            stack.callback(backend.stop)
        async with asyncio.TaskGroup() as group:
            for backend in backends:
                group.create_task(asyncio.to_thread(backend.start))
        dns = stack.enter_context(DnsServer())
        dns.set(_NAME, *hosts)
        async with TcpProxy(port, host=hosts[0]) as proxy:
            hostnames = [one.target for one in backends]
            if reached == "by proxy":
                hostnames[0] = proxy.address
            resolver: Yaml = {"static": {"hostnames": hostnames}}
            if reached == "by name":
                resolver = _dns(dns, port)
            start = _peer if peer else _router
            service = start(folder, {"resolver": resolver, **exporter})
            tier = await loop.run_in_executor(None, service.__enter__)
            try:
                yield Bench(
                    backends,
                    proxy,
                    dns,
                    lasts_s=lasts_s,
                    target=tier.target,
                    child=tier.child,
                    ready_url=tier.ready_url,
                    metrics_port=tier.metrics_port,
                )
            finally:
                await loop.run_in_executor(None, service.__exit__, None, None, None)


def _dns(server: DnsServer, port: int) -> Yaml:
    return {
        "dns": {
            "hostname": _NAME,
            "port": str(port),
            "interval": "100ms",
            "server": f"127.0.0.1:{server.port}",
        }
    }


@contextmanager
def _router(folder: Path, exporter: Yaml) -> Iterator[_Tier]:
    keys = {key: value for key, value in exporter.items() if key != "resolver"}
    with services.router(folder, exporter["resolver"], exporter=keys) as router:
        ready_url = f"http://127.0.0.1:{router.health_port}/readyz"
        yield _Tier(router.target, router.child, ready_url, router.metrics_port)


@contextmanager
def _peer(folder: Path, exporter: Yaml) -> Iterator[_Tier]:
    target = f"127.0.0.1:{ports.free_port()}"
    grpc = {"endpoint": target, "max_recv_msg_size_mib": 64}
    config = {
        "receivers": {"otlp": {"protocols": {"grpc": grpc}}},
        "exporters": {"loadbalancing": exporter},
        "service": {
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["loadbalancing"]}
            }
        },
    }
    with servers.otelcol(config, folder) as collector:
        ready_url = f"http://127.0.0.1:{collector.health_port}/"
        yield _Tier(target, collector.child, ready_url, 0)
