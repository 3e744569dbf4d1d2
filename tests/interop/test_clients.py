"""What other people's clients send arrives in other people's backend.

Every test goes the whole way: a client, our router, one of our two samplers, Jaeger.
The samplers keep traces that have an error, so that what is dropped is seen as well.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from tailring_testkit import otlp, otlp_json, servers, services
from tailring_testkit.process import wait_until

_NODE = Path(__file__).with_name("node")
_ERRORS = {
    "name": "errors",
    "type": "status_code",
    "status_code": {"status_codes": ["ERROR"]},
}

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A span as the client says that it sent it, or as Jaeger says that it got it."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Way:
    """The whole way of a span: where it goes in, and where it comes out."""

    router: services.Service
    jaeger: servers.Jaeger

    def url(self, protocol: str) -> str:
        """Where a client of that protocol sends to."""
        grpc = protocol == "grpc"
        port = self.router.grpc_port if grpc else self.router.http_port
        return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """One router, two samplers and Jaeger, for all tests of this module."""
    folder = tmp_path_factory.mktemp("way")
    with ExitStack() as stack:
        jaeger = stack.enter_context(servers.jaeger(folder))
        backend = f"127.0.0.1:{jaeger.grpc_port}"
        samplers = [
            stack.enter_context(
                services.sampler(folder, backend=backend, policies=[_ERRORS])
            )
            for _ in range(2)
        ]
        hostnames = [sampler.target for sampler in samplers]
        resolver = {"static": {"hostnames": hostnames}}
        router = stack.enter_context(services.router(folder, resolver))
        yield Way(router, jaeger)


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def _sent(record: otlp.SpanRecord) -> Sent:
    span = Span.FromString(record.span)
    attributes = {pair.key: _value(pair.value) for pair in span.attributes}
    return Sent(span.trace_id, span.span_id, span.parent_span_id, attributes)


def _by_span(spans: Sequence[Sent]) -> list[Sent]:
    return sorted(spans, key=lambda one: (one.trace_id, one.span_id))


def _wait_for_spans(way: Way, trace_id: bytes, count: int) -> None:
    wait_until(
        lambda: len(way.jaeger.trace(trace_id)) == count,
        f"{count} spans of {trace_id.hex()}",
    )


def _assert_arrived(way: Way, spans: Sequence[Sent]) -> None:
    """Every span of every trace is in Jaeger, as it was sent, and nothing else is."""
    wanted: dict[bytes, list[Sent]] = {}
    for one in spans:
        wanted.setdefault(one.trace_id, []).append(one)
    for trace_id, trace in wanted.items():
        _wait_for_spans(way, trace_id, len(trace))
        arrived = [_sent(record) for record in way.jaeger.trace(trace_id)]
        assert _by_span(arrived) == _by_span(trace)


# ---------------------------------------------------------------- Node


@pytest.fixture(scope="session")
def node_modules() -> None:
    """The client's packages, at the versions and hashes of its lock file."""
    if (_NODE / "node_modules" / ".package-lock.json").exists():
        return
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=_NODE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
@pytest.mark.usefixtures("node_modules")
def test_node_sdk(way: Way, protocol: str) -> None:
    """What the Node SDK sends arrives span by span, with its attributes."""
    client = ["node", str(_NODE / "client.mjs"), protocol, way.url(protocol), "50"]
    done = subprocess.run(
        client, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    spans = [
        Sent(
            trace_id=bytes.fromhex(one["trace_id"]),
            span_id=bytes.fromhex(one["span_id"]),
            parent_id=bytes.fromhex(one["parent_id"]),
            attributes=one["attributes"],
        )
        for one in json.loads(done.stdout)
    ]
    assert len(spans) == 100
    _assert_arrived(way, spans)


# ---------------------------------------------------------------- Python


class _Watched(SpanExporter):
    """Passes spans on and keeps each result, which the SDK only logs."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.results: list[SpanExportResult] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        self.results.append(result)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


_ROOT: dict[str, Any] = {
    "http.route": "/cart",
    "items": 3,
    "ratio": 0.5,
    "cached": True,
}
_CHILD: dict[str, Any] = {
    "db.system": "postgresql",
    "tags": ["a", "b"],
    "text": "Grüße, 世界",
}


def _send_with_sdk(
    exporter: SpanExporter, traces: int
) -> tuple[list[Sent], list[Sent]]:
    """Send traces of two spans, every second with an error: those, and the others."""
    watched = _Watched(exporter)
    resource = Resource.create({"service.name": "python-client"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(watched))
    tracer = provider.get_tracer("interop", "1.0")
    kept: list[Sent] = []
    dropped: list[Sent] = []
    for number in range(traces):
        root = tracer.start_span("GET /cart", attributes=_ROOT)
        in_root = set_span_in_context(root)
        child = tracer.start_span("SELECT", in_root, attributes=_CHILD)
        if number % 2:
            child.set_status(Status(StatusCode.ERROR, "no rows"))
        child.end()
        root.end()
        root_ids, child_ids = root.get_span_context(), child.get_span_context()
        trace_id = root_ids.trace_id.to_bytes(16, "big")
        root_id = root_ids.span_id.to_bytes(8, "big")
        child_id = child_ids.span_id.to_bytes(8, "big")
        trace = kept if number % 2 else dropped
        trace.append(Sent(trace_id, root_id, b"", _ROOT))
        trace.append(Sent(trace_id, child_id, root_id, _CHILD))
    provider.shutdown()
    assert set(watched.results) == {SpanExportResult.SUCCESS}
    return kept, dropped


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_python_sdk(way: Way, protocol: str) -> None:
    """Of what the Python SDK sends, traces with an error arrive whole, others never."""
    exporter = (
        GrpcExporter(endpoint=way.url(protocol), insecure=True)
        if protocol == "grpc"
        else HttpExporter(endpoint=f"{way.url(protocol)}/v1/traces")
    )
    kept, dropped = _send_with_sdk(exporter, 200)
    assert len(kept) == len(dropped) == 200
    _assert_arrived(way, kept)
    assert not any(way.jaeger.trace(one.trace_id) for one in dropped)


def test_hand_written_json(way: Way) -> None:
    """OTLP JSON in any client's hand is taken: hex ids, numbers as text."""
    trace_id, root_id, child_id = b"\x0a" * 16, b"\x01" * 8, b"\x02" * 8
    root = otlp.span(trace_id, root_id, attributes={"a": 2**60})
    child = otlp.span(trace_id, child_id, parent=root_id, status=2)
    for span in (root, child):  # Jaeger adds a warning to spans without times
        span.start_time_unix_nano = otlp.EPOCH_NS
        span.end_time_unix_nano = otlp.EPOCH_NS + 1
    payload = otlp.request(
        root,
        child,
        resource={"service.name": "json-client"},
        scope="interop",
    )
    request = urllib.request.Request(
        f"{way.url('http/json')}/v1/traces",
        data=otlp_json.format_request(payload).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        assert answer.status == 200
        assert json.loads(answer.read()) == {}
    spans = [
        Sent(trace_id, root_id, b"", {"a": 2**60}),
        Sent(trace_id, child_id, root_id, {}),
    ]
    _assert_arrived(way, spans)


# ---------------------------------------------------------------- telemetrygen


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_telemetrygen(way: Way, protocol: str) -> None:
    """Every trace that telemetrygen sends arrives with its root and its children."""
    http = protocol == "http"
    port = way.router.http_port if http else way.router.grpc_port
    name = f"telemetrygen-{protocol}"
    servers.telemetrygen(
        *(["--otlp-http"] if http else []),
        *("--otlp-endpoint", f"127.0.0.1:{port}", "--otlp-insecure"),
        *("--service", name, "--status-code", "Error"),
        *("--traces", "200", "--child-spans", "3", "--rate", "0"),
    )
    wait_until(lambda: len(way.jaeger.trace_ids(name)) == 200, f"200 traces of {name}")
    for trace_id in way.jaeger.trace_ids(name):
        assert len(way.jaeger.trace(trace_id)) == 4
