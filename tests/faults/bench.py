"""A router before five recording backends, one of which is going to have a fault.

Everything is a process of its own: the router is the installed command, the backends
write down what they take. The *victim* can be reached through a proxy, so that its
connections can be cut. The peer, a real Collector, can stand in the router's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tailring_testkit import ports, prom, servers, services
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.pki import Authority, Pair
from tailring_testkit.process import Child
from tailring_testkit.recorder import Recorder
from tailring_testkit.tcp_proxy import TcpProxy

__all__ = ["BACKENDS", "Bench", "Certificates", "Reached", "running_bench"]

BACKENDS = 5
_NAME = "backends.test"
# Addresses of loopback, as a DNS name can hold several of them with one port.
_HOST = "127.0.0.{}"
_HOST_FIRST = 11

Yaml = Mapping[str, Any]

Reached = Literal["directly", "by proxy", "by name", "by tls"]
"""How the router gets to the victim; ``by name``: all backends are of one DNS name."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the victim shows, and what can be put in its place."""

    shown: Pair
    good: Pair
    expired: Pair


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
    certificates: Certificates | None = None
    """None: without TLS."""

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
    """``exporter`` adds keys to the balancing exporter, whose ``tls`` follows from how
    the backends are ``reached``."""
    port = ports.free_port()
    hosts = [_HOST.format(_HOST_FIRST + number) for number in range(BACKENDS)]
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        secured = reached == "by tls"
        secrets = _Secrets(folder, hosts) if secured else None
        backends = [
            Recorder(folder, host=host, port=port, arguments=words)
            for host, words in zip(hosts, _words(secrets, hosts), strict=True)
        ]
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
            keys = {"resolver": resolver, **_with_tls(exporter, secrets)}
            service = start(folder, keys)
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
                    certificates=secrets.victims if secrets else None,
                )
            finally:
                await loop.run_in_executor(None, service.__exit__, None, None, None)


class _Secrets:
    """An authority, and a certificate for each host."""

    def __init__(self, folder: Path, hosts: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(folder)
        self.ca_file = authority.ca_file
        self.pairs = [authority.issue(host, host) for host in hosts]
        self.victims = Certificates(
            shown=self.pairs[0],
            good=authority.issue("good", hosts[0]),
            expired=authority.issue("expired", hosts[0], expired=True),
        )


def _words(secrets: _Secrets | None, hosts: Sequence[str]) -> list[list[str | Path]]:
    """The arguments of the recorders."""
    if secrets is None:
        return [[] for _ in hosts]
    return [
        ["--certificate", one.cert_file, "--key", one.key_file] for one in secrets.pairs
    ]


def _with_tls(exporter: Yaml, secrets: _Secrets | None) -> Yaml:
    otlp = exporter.get("protocol", {}).get("otlp", {})
    tls = {"insecure": True} if secrets is None else {"ca_file": str(secrets.ca_file)}
    return {**exporter, "protocol": {"otlp": {**otlp, "tls": tls}}}


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
