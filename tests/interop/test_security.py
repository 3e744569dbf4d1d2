"""TLS and credentials between our services, the collector and the SDK.

    collector -> mTLS, bearer token -> router -> mTLS, bearer token -> collector

One CA has issued everything; certificates are for 127.0.0.1.
"""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from tailring_testkit import otlp, ports, prom, servers, services
from tailring_testkit.otlp_clients import JSON, PROTOBUF, GrpcClient, HttpClient
from tailring_testkit.pki import Authority, ClientTls, Pair
from tailring_testkit.process import Child, http_ok, running, wait_until

TOKEN = "a-token"
REQUEST = otlp.request(otlp.span(b"\x01" * 16, b"\x02" * 8))
BEARER = {"bearertokenauth": {"token": TOKEN}}
AUTH = {"authenticator": "bearertokenauth"}
IDLE = 10_000

Yaml = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pki:
    """The certificates of a test."""

    authority: Authority
    server: Pair
    client: Pair

    def door(self) -> dict[str, Any]:
        """``tls`` of a receiver that asks for certificates."""
        return {**self.server.keys(), "client_ca_file": str(self.authority.ca_file)}

    def to_backend(self) -> dict[str, Any]:
        """``tls`` of an exporter that shows one."""
        return {**self.client.keys(), "ca_file": str(self.authority.ca_file)}

    def client_tls(self) -> ClientTls:
        """A client of ours that shows one."""
        return ClientTls(self.authority.ca_file, self.client)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """One CA and what it issued."""
    authority = Authority(tmp_path)
    return Pki(authority, authority.issue("server"), authority.issue("client"))


@dataclass(frozen=True, slots=True)
class Router:
    """A running router and where it listens."""

    child: Child
    grpc_port: int
    http_port: int
    metrics_port: int

    def metrics(self) -> prom.Scrape:
        """Its metrics page, now."""
        return prom.scrape(self.metrics_port)


@contextmanager
def router(
    folder: Path, door: Yaml, *, otlp_to: Yaml, backend: str = "127.0.0.1:1"
) -> Iterator[Router]:
    """A router whose two doors have the keys ``door``; ``otlp_to`` is protocol.otlp."""
    grpc_port, http_port, metrics, health = ports.free_ports(4)
    prometheus = {"host": "127.0.0.1", "port": metrics}
    config = {
        "receivers": {"otlp": {"protocols": protocols(grpc_port, http_port, door)}},
        "exporters": {
            "loadbalancing": {
                "resolver": {"static": {"hostnames": [backend]}},
                "protocol": {"otlp": otlp_to},
            }
        },
        "extensions": {
            **BEARER,
            "health_check": {"endpoint": f"127.0.0.1:{health}"},
        },
        "service": {
            "extensions": ["health_check", "bearertokenauth"],
            "telemetry": {
                "metrics": {
                    "readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]
                }
            },
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["loadbalancing"]}
            },
        },
    }
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump(config))
    with running(
        [services.command("tailring-router"), "--config", path],
        log=path.with_suffix(".log"),
        ready=http_ok(f"http://127.0.0.1:{health}/readyz"),
    ) as child:
        yield Router(child, grpc_port, http_port, metrics)


def protocols(grpc_port: int, http_port: int, door: Yaml) -> dict[str, Any]:
    """Both protocols of a receiver."""
    return {
        "grpc": {"endpoint": f"127.0.0.1:{grpc_port}", **door},
        "http": {"endpoint": f"127.0.0.1:{http_port}", **door},
    }


@contextmanager
def file_collector(
    folder: Path, door: Yaml, *, extensions: Yaml | None = None
) -> Iterator[tuple[int, int, Path]]:
    """A collector that writes down what comes: gRPC port, HTTP port, the file."""
    grpc_port, http_port = ports.free_ports(2)
    path = folder / "spans.jsonl"
    config = {
        "receivers": {"otlp": {"protocols": protocols(grpc_port, http_port, door)}},
        "exporters": {"file": {"path": str(path), "flush_interval": "100ms"}},
        "extensions": dict(extensions or {}),
        "service": {
            "extensions": list(extensions or {}),
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    }
    with servers.otelcol(config, folder):
        yield grpc_port, http_port, path


@contextmanager
def sending_collector(folder: Path, exporter: Yaml) -> Iterator[int]:
    """A collector that hands on what comes in plaintext: its gRPC port."""
    port = ports.free_port()
    grpc_door = {"grpc": {"endpoint": f"127.0.0.1:{port}"}}
    config = {
        "receivers": {"otlp": {"protocols": grpc_door}},
        "exporters": {"otlp": dict(exporter)},
        "extensions": BEARER,
        "service": {
            "extensions": list(BEARER),
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp"]}},
        },
    }
    with servers.otelcol(config, folder):
        yield port


def test_the_collector_on_both_sides(tmp_path: Path, pki: Pki) -> None:
    """A collector's spans come in and go out over mTLS with a bearer token, whole."""
    door = {"tls": pki.door(), "auth": AUTH}
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = tmp_path / "backend"
        backend, _, path = enter(file_collector(folder, door, extensions=BEARER))
        to_backend = {"tls": pki.to_backend(), "auth": AUTH}
        address = f"127.0.0.1:{backend}"
        middle = enter(router(tmp_path, door, otlp_to=to_backend, backend=address))
        exporter = {"endpoint": f"127.0.0.1:{middle.grpc_port}", **to_backend}
        port = enter(sending_collector(tmp_path / "client", exporter))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            export: Any = channel.unary_unary(otlp_path())
            for seed in range(5):
                export(otlp.realistic_request(200, seed), timeout=20)
        wait_until(
            lambda: len(servers.exported_spans(path)) == 1000,
            "1000 spans in the file of the backend",
        )
        assert middle.metrics().total("tailring_receiver_auth_failures_total") == 0


def otlp_path() -> str:
    """The method of traces."""
    return "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


HEADERS = [
    None,
    "",
    "Bearer wrong",
    f"Bearer {TOKEN} ",
    f"bearer {TOKEN}",
    TOKEN,
    f"Basic {TOKEN}",
    f"Bearer {TOKEN}",
]


async def test_wrong_tokens_are_answered_as_by_the_collector(tmp_path: Path) -> None:
    """Code, words, status, type and body are the same for every header."""
    plain = {"tls": {"insecure": True}}
    door = {"auth": AUTH}
    with ExitStack() as stack:
        enter = stack.enter_context
        upstream = enter(file_collector(tmp_path / "up", door, extensions=BEARER))
        backend, _, _ = enter(file_collector(tmp_path / "backend", {}))
        ours = enter(
            router(tmp_path, door, otlp_to=plain, backend=f"127.0.0.1:{backend}")
        )
        theirs = await _answers(upstream[0], upstream[1])
        assert await _answers(ours.grpc_port, ours.http_port) == theirs
        refused = ours.metrics().total("tailring_receiver_auth_failures_total")
        good = ("OK", HTTPStatus.OK)
        assert refused == sum(getattr(a[1], "name", a[1]) not in good for a in theirs)


async def _answers(grpc_port: int, http_port: int) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    async with (
        GrpcClient(f"127.0.0.1:{grpc_port}") as client,
        HttpClient(f"http://127.0.0.1:{http_port}") as http,
    ):
        for header in HEADERS:
            metadata = () if header is None else (("authorization", header),)
            reply = await client.export(REQUEST, metadata=metadata)
            found.append((header, reply.code, reply.details))
            for content_type, body in ((PROTOBUF, REQUEST), (JSON, b"{}")):
                headers = {"Content-Type": content_type}
                if header is not None:
                    headers["Authorization"] = header
                answer = await http.request("POST", body=body, headers=headers)
                said: object = None
                if answer.status != HTTPStatus.OK:
                    said = json.loads(answer.body) if body == b"{}" else answer.body
                found.append((header, answer.status, answer.content_type, said))
    return found


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_the_sdk_over_mutual_tls(
    tmp_path: Path, pki: Pki, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python application with a client certificate and a token is served."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they win over the file
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        enter = stack.enter_context
        backend, _, path = enter(file_collector(tmp_path / "backend", {}))
        ours = enter(
            router(
                tmp_path,
                {"tls": pki.door(), "auth": AUTH},
                otlp_to={"tls": {"insecure": True}},
                backend=f"127.0.0.1:{backend}",
            )
        )
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(_exporter(kind, ours, pki)))
        tracer = provider.get_tracer("test")
        for _ in range(10):
            tracer.start_span("work").end()
        provider.shutdown()
        wait_until(
            lambda: len(servers.exported_spans(path)) == 10,
            "10 spans in the file of the backend",
        )


def _exporter(kind: str, ours: Router, pki: Pki) -> SpanExporter:
    if kind == "grpc":
        credentials = pki.client_tls().credentials()
        return GrpcExporter(
            endpoint=f"https://127.0.0.1:{ours.grpc_port}",
            credentials=credentials,
            headers={"authorization": f"Bearer {TOKEN}"},
        )
    return HttpExporter(
        endpoint=f"https://127.0.0.1:{ours.http_port}/v1/traces",
        certificate_file=str(pki.authority.ca_file),
        client_certificate_file=str(pki.client.cert_file),
        client_key_file=str(pki.client.key_file),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_ten_thousand_idle_connections(tmp_path: Path, kind: str) -> None:
    """With 10,000 connections on which nothing is said, both doors serve others."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * IDLE + 1000), hard))
    with ExitStack() as stack:
        enter = stack.enter_context
        backend, _, path = enter(file_collector(tmp_path / "backend", {}))
        ours = enter(
            router(
                tmp_path,
                {},
                otlp_to={"tls": {"insecure": True}},
                backend=f"127.0.0.1:{backend}",
            )
        )
        port = ours.grpc_port if kind == "grpc" else ours.http_port
        for _ in range(IDLE):
            one = enter(socket.create_connection(("127.0.0.1", port), timeout=20))
            if kind == "grpc":
                one.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        async with (
            GrpcClient(f"127.0.0.1:{ours.grpc_port}") as client,
            HttpClient(f"http://127.0.0.1:{ours.http_port}") as http,
        ):
            for _ in range(5):
                reply = await client.export(REQUEST, timeout_s=10)
                assert reply.code is grpc.StatusCode.OK
                assert (await http.post(REQUEST)).status == 200
        if kind == "http":
            wait_until(
                lambda: ours.metrics().total("tailring_receiver_connections") >= IDLE,
                "all of them are counted",
            )
    assert len(servers.exported_spans(path)) == 10
