"""Real third-party servers on free ports of loopback, as children of a test.

The programs are those that ``tests/interop/real-servers.sh`` builds. One that is not
built is a failure that says how to build it, never a skip: an interop test that did
not run proves nothing.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tailring_testkit import ports, web
from tailring_testkit.otlp import SpanRecord, spans_of
from tailring_testkit.otlp_json import parse_request
from tailring_testkit.process import Child, http_ok, logged, running

__all__ = [
    "LOOPBACK",
    "Dnsmasq",
    "Jaeger",
    "Otelcol",
    "Place",
    "Toxiproxy",
    "binary",
    "coredns",
    "dnsmasq",
    "exported_spans",
    "jaeger",
    "otelcol",
    "repository",
    "telemetrygen",
    "toxiproxy",
]

_SCRIPT = Path("tests/interop/real-servers.sh")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: the address it listens on, and what enters its namespace."""

    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()

    def command(self, *words: str | Path) -> list[str]:
        """A command line that runs there."""
        return [*self.prefix, *map(str, words)]


LOOPBACK = Place()


def repository() -> Path:
    """The root of the checkout that this file lies in."""
    for folder in Path(__file__).resolve().parents:
        if (folder / _SCRIPT).exists():
            return folder
    raise AssertionError(f"{__file__} does not lie in a checkout of the project")


def binary(name: str) -> Path:
    """The program's path; fails with the build command when it is not built."""
    script = repository() / _SCRIPT
    found = subprocess.run(
        [script, "path", name], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr.strip()
    return Path(found.stdout.strip())


# ---------------------------------------------------------------- the collector


@dataclass(frozen=True, slots=True)
class Otelcol:
    """A running collector; where it listens is in the configuration it was given."""

    child: Child
    health_port: int


@contextmanager
def otelcol(
    config: Mapping[str, Any],
    folder: Path,
    *,
    place: Place = LOOPBACK,
    options: Sequence[str] = (),
) -> Iterator[Otelcol]:
    """Run the peer with ``config`` and further command line ``options``; a health
    check is added to it and awaited."""
    health_port = ports.free_port()
    service = {"telemetry": {"metrics": {"level": "none"}}, **config["service"]}
    service["extensions"] = [*service.get("extensions", []), "health_check/ready"]
    endpoint = f"{place.host}:{health_port}"
    extensions = {
        **config.get("extensions", {}),
        "health_check/ready": {"endpoint": endpoint},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "otelcol.yaml"
    path.write_text(
        yaml.safe_dump({**config, "extensions": extensions, "service": service})
    )
    with running(
        place.command(binary("otelcol"), "--config", path, *options),
        log=folder / "otelcol.log",
        ready=http_ok(f"http://{endpoint}/"),
    ) as child:
        yield Otelcol(child, health_port)


def exported_spans(path: Path) -> list[SpanRecord]:
    """What the collector's ``file`` exporter has written to ``path`` so far."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]  # an unfinished line is not counted
    return [record for line in lines for record in spans_of(parse_request(line))]


def telemetrygen(
    *arguments: str, signal: str = "traces", timeout_s: float = 60.0
) -> None:
    """Run ``telemetrygen traces ...`` to its end; fails when it reports an error."""
    done = subprocess.run(
        [binary("telemetrygen"), signal, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # It ends with 0 even when nothing could be delivered.
    assert f"{signal} export:" not in said, said
    assert "failed to export" not in said, said


# ---------------------------------------------------------------- Jaeger


@dataclass(frozen=True, slots=True)
class Jaeger:
    """A trace backend: OTLP goes in, its API says what arrived."""

    child: Child
    grpc_port: int
    http_port: int
    query_port: int
    host: str = "127.0.0.1"

    def trace(self, trace_id: bytes) -> list[SpanRecord]:
        """The spans that the API returns for a trace; empty when it has none."""
        url = f"http://{self.host}:{self.query_port}/api/v3/traces/{trace_id.hex()}"
        status, body = web.get(url)
        if status == 404:
            return []
        assert status == 200, f"{url}: {status} {body[:300]!r}"
        return spans_of(parse_request(json.dumps(json.loads(body)["result"])))

    def trace_ids(self, service: str, *, limit: int = 50_000) -> set[bytes]:
        """The ids of the traces that a service took part in."""
        # Without times, only the last hour is searched.
        query = f"service={service}&limit={limit}&start=0&end=4102444800000000"
        url = f"http://{self.host}:{self.query_port}/api/traces?{query}"
        return {bytes.fromhex(one["traceID"]) for one in web.get_json(url)["data"]}


@contextmanager
def jaeger(
    folder: Path, *, grpc_port: int = 0, place: Place = LOOPBACK
) -> Iterator[Jaeger]:
    """Run Jaeger in memory; OTLP/gRPC on ``grpc_port`` (0: a free one)."""
    http_port, query_port, admin_port, health_port = ports.free_ports(4)
    grpc_port = grpc_port or ports.free_port()
    host = place.host
    health = f"{host}:{health_port}"
    config = {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "exporters": ["jaeger_storage_exporter"],
                }
            },
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": f"{host}:{query_port}"},
                "grpc": {"endpoint": f"{host}:{admin_port}"},
            },
            "jaeger_storage": {
                "backends": {"memory": {"memory": {"max_traces": 100_000}}}
            },
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": health}},
        },
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"{host}:{grpc_port}"},
                    "http": {"endpoint": f"{host}:{http_port}"},
                }
            }
        },
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "jaeger.yaml"
    path.write_text(yaml.safe_dump(config))
    with running(
        place.command(binary("jaeger"), "--config", path),
        log=folder / "jaeger.log",
        ready=http_ok(f"http://{health}/status"),
        # Else it sends spans of its own to localhost:4317 and waits for that.
        env={"OTEL_TRACES_SAMPLER": "always_off"},
    ) as child:
        yield Jaeger(child, grpc_port, http_port, query_port, host)


# ---------------------------------------------------------------- DNS


class Dnsmasq:
    """A DNS server that answers what `set_hosts` was last given."""

    def __init__(self, child: Child, port: int, hosts: Path) -> None:
        self.child = child
        self.port = port
        self._hosts = hosts

    def set_hosts(self, records: Mapping[str, Sequence[str]]) -> None:
        """Replace all names by these; returns once the server has read them."""
        lines = [f"{ip} {name}\n" for name, ips in records.items() for ip in ips]
        read_before = self.child.log().count("read ")
        (self._hosts / "names").write_text("".join(lines))
        self.child.wait_ready(lambda child: child.log().count("read ") > read_before)


@contextmanager
def dnsmasq(
    folder: Path,
    records: Mapping[str, Sequence[str]],
    *,
    port: int = 0,
    place: Place = LOOPBACK,
) -> Iterator[Dnsmasq]:
    """Serve host names; a name that is not among them is NXDOMAIN."""
    port = port or ports.free_port()
    hosts = folder / "hosts.d"
    hosts.mkdir(parents=True)
    command = place.command(
        binary("dnsmasq"),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        f"--user={pwd.getpwuid(os.getuid()).pw_name}",
        "--pid-file=",
        f"--port={port}",
        f"--listen-address={place.host}",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        f"--hostsdir={hosts}",
        "--local=/#/",
        "--local-ttl=1",
        "--log-facility=-",
    )
    with running(command, log=folder / "dnsmasq.log", ready=logged("started")) as child:
        server = Dnsmasq(child, port, hosts)
        server.set_hosts(records)
        yield server


@contextmanager
def coredns(corefile: str, folder: Path) -> Iterator[Child]:
    """Run CoreDNS; ``corefile`` may use ``{ready}``, the endpoint that is awaited."""
    endpoint = f"127.0.0.1:{ports.free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "Corefile"
    path.write_text(corefile.replace("{ready}", endpoint))
    with running(
        [binary("coredns"), "-conf", path],
        log=folder / "coredns.log",
        ready=http_ok(f"http://{endpoint}/ready"),
    ) as child:
        yield child


# ---------------------------------------------------------------- faults


@dataclass(frozen=True, slots=True)
class Toxiproxy:
    """TCP proxies that can be slow, reset or cut."""

    child: Child
    port: int

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def proxy(self, name: str, upstream: str) -> int:
        """A new proxy to ``upstream`` (host:port); returns the port it listens on."""
        listen_port = ports.free_port()
        listen = f"127.0.0.1:{listen_port}"
        web.call_json(
            self._url("/proxies"),
            {"name": name, "listen": listen, "upstream": upstream},
        )
        return listen_port

    def add(self, name: str, kind: str, **attributes: int) -> None:
        """Add a toxic (``latency``, ``reset_peer``, ``timeout``, ...) to a proxy."""
        body = {"name": kind, "type": kind, "attributes": attributes}
        web.call_json(self._url(f"/proxies/{name}/toxics"), body)

    def enable(self, name: str, *, enabled: bool) -> None:
        """Let a proxy listen or not; connections are cut when it stops."""
        web.call_json(self._url(f"/proxies/{name}"), {"enabled": enabled})

    def reset(self) -> None:
        """Take all toxics away and enable every proxy."""
        web.call_json(self._url("/reset"))


@contextmanager
def toxiproxy(folder: Path) -> Iterator[Toxiproxy]:
    """Run Toxiproxy without any proxy."""
    port = ports.free_port()
    with running(
        [binary("toxiproxy"), "-host", "127.0.0.1", "-port", str(port)],
        log=folder / "toxiproxy.log",
        ready=http_ok(f"http://127.0.0.1:{port}/version"),
    ) as child:
        yield Toxiproxy(child, port)
