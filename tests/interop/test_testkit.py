"""The testkit's handling of real servers, which every other interop test rests on."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import grpc
import pytest

from tailring_testkit import otlp, ports, servers
from tailring_testkit.process import wait_until

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def _export(port: int, payload: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary(_EXPORT, bytes, bytes)
        export(payload, timeout=10, wait_for_ready=True)


def _ask(port: int, name: str) -> tuple[dns.rcode.Rcode, list[str]]:
    query = dns.message.make_query(name, "A")
    answer = dns.query.udp(query, "127.0.0.1", port=port, timeout=2)
    records = [record.to_text() for rrset in answer.answer for record in rrset]
    return answer.rcode(), sorted(records)


def test_jaeger_returns_the_spans_it_got(tmp_path: Path) -> None:
    """What Jaeger's API returns of a trace has the ids that were sent."""
    payload = otlp.realistic_request(8, seed=1)
    (trace_id,) = otlp.trace_ids_of(payload)
    with servers.jaeger(tmp_path) as jaeger:
        assert jaeger.trace(trace_id) == []
        _export(jaeger.grpc_port, payload)
        wait_until(lambda: len(jaeger.trace(trace_id)) == 8, "8 spans in Jaeger")
        assert jaeger.trace_ids("checkout") == {trace_id}


def test_otelcol_file_exporter_is_read_back(tmp_path: Path) -> None:
    """The peer's file exporter gives back the same spans, resources and scopes."""
    port = ports.free_port()
    path = tmp_path / "spans.jsonl"
    endpoint = f"127.0.0.1:{port}"
    config = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": endpoint}}}},
        "exporters": {"file": {"path": str(path), "flush_interval": "100ms"}},
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}}
        },
    }
    payload = otlp.realistic_request(20, seed=2)
    with servers.otelcol(config, tmp_path):
        _export(port, payload)
        wait_until(lambda: len(servers.exported_spans(path)) == 20, "20 spans")
    assert servers.exported_spans(path) == otlp.spans_of(payload)


def test_dnsmasq_follows_its_hosts(tmp_path: Path) -> None:
    """A name's addresses change when the test says so; unknown names do not exist."""
    records = {"sampler.tail.test": ["10.1.0.1", "10.1.0.2"]}
    with servers.dnsmasq(tmp_path, records) as server:
        assert _ask(server.port, "sampler.tail.test") == (0, ["10.1.0.1", "10.1.0.2"])
        assert _ask(server.port, "other.test") == (dns.rcode.NXDOMAIN, [])
        server.set_hosts({"sampler.tail.test": ["10.1.0.9"]})
        assert _ask(server.port, "sampler.tail.test") == (0, ["10.1.0.9"])


def test_toxiproxy_cuts_a_connection(tmp_path: Path) -> None:
    """A proxy passes requests on until it is disabled."""
    payload = otlp.realistic_request(1, seed=3)
    with servers.jaeger(tmp_path) as jaeger, servers.toxiproxy(tmp_path) as toxics:
        port = toxics.proxy("otlp", f"127.0.0.1:{jaeger.grpc_port}")
        _export(port, payload)
        toxics.enable("otlp", enabled=False)
        with (
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            channel.unary_unary(_EXPORT, bytes, bytes)(payload, timeout=2)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_coredns_is_awaited_by_its_ready_page(tmp_path: Path) -> None:
    """A Corefile that serves the ready page is running when the block is entered."""
    port = ports.free_port()
    corefile = f"""
    .:{port} {{
        bind 127.0.0.1
        ready {{ready}}
        template ANY ANY {{
            rcode SERVFAIL
        }}
    }}
    """
    with servers.coredns(corefile, tmp_path):
        assert _ask(port, "any.test")[0] == dns.rcode.SERVFAIL


def test_telemetrygen_reports_success(tmp_path: Path) -> None:
    """The load generator's traces arrive in Jaeger."""
    with servers.jaeger(tmp_path) as jaeger:
        target = f"127.0.0.1:{jaeger.grpc_port}"
        servers.telemetrygen(
            "--otlp-endpoint", target, "--otlp-insecure", "--traces", "5", "--rate", "0"
        )
        wait_until(lambda: len(jaeger.trace_ids("telemetrygen")) == 5, "5 traces")


def test_missing_binary_names_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is not built fails the test with the command that builds it."""
    monkeypatch.setenv("TAILRING_PEERS", str(tmp_path))
    with pytest.raises(AssertionError, match=r"real-servers\.sh build jaeger"):
        servers.binary("jaeger")
