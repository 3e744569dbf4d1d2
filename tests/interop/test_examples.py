"""The example files of collector users run unchanged.

Each process has a machine of its own, so that ``0.0.0.0:4317`` and the usual ports
are free, and a DNS server answers the names that the files give, as in a cluster.

``tier1-resilient.yaml`` has no ``tls`` block, and so speaks TLS, as upstream: whatever
stands behind it has a certificate for its address, of a CA that the router's system
trusts (SSL_CERT_FILE).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from tailring_hashring import Ring, build
from tailring_testkit import otlp, servers, services
from tailring_testkit.cloud_map import aws_environment
from tailring_testkit.cluster import Cluster, Node, cluster
from tailring_testkit.moto import moto
from tailring_testkit.pki import Authority
from tailring_testkit.process import port_open, wait_until

_EXAMPLES = servers.repository() / "examples" / "collector"
_NAMESPACE = "observability.svc.cluster.local"
_SAMPLERS = f"otelcol-tier2-headless.{_NAMESPACE}"
_JAEGER = f"jaeger-collector.{_NAMESPACE}"
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

pytestmark = pytest.mark.namespaces


def _send(node: Node, payloads: Sequence[bytes]) -> None:
    """Deliver every payload to the node's receiver; each must be answered with OK."""
    with grpc.insecure_channel(f"{node.address}:4317") as channel:
        export = channel.unary_unary(_EXPORT, bytes, bytes)
        # At once, as many clients would: an answer comes after the batch of the router.
        calls = [
            export.future(payload, timeout=30, wait_for_ready=True)
            for payload in payloads
        ]
        for call in calls:
            call.result()


class Tls:
    """Certificates of the machines of a cluster."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)

    def receiver(self, node: Node) -> dict[str, str]:
        """The keys of a receiver's ``tls``."""
        return self.authority.issue(node.name, node.address).keys()

    def receiver_sets(self, node: Node) -> list[str]:
        """The same as options of the command line."""
        block = "receivers.otlp.protocols.grpc.tls"
        return [f"--set={block}.{k}={v}" for k, v in self.receiver(node).items()]


def _tls_for(example: str, folder: Path) -> Tls | None:
    return Tls(folder) if example == "tier1-resilient.yaml" else None


@contextmanager
def _named(made: Cluster, folder: Path, names: dict[str, list[str]]) -> Iterator[None]:
    """A DNS server on a node of its own, which the whole cluster asks."""
    node = made.node("dns")
    with servers.dnsmasq(folder, names, port=53, place=node.place):
        made.use_resolver(node.address, search=_NAMESPACE, folder=folder)
        yield


@contextmanager
def _ours(
    node: Node, example: str, folder: Path, *, tls: Tls | None = None
) -> Iterator[None]:
    """One of our services on a node, with an example file as it stands.

    With ``tls`` a router's system trusts its CA, and a sampler has a certificate.
    """
    tier = "sampler" if example.startswith("tier2") else "router"
    trusting = ("env", f"SSL_CERT_FILE={tls.authority.ca_file}") if tls else ()
    sets = tls.receiver_sets(node) if tls and tier == "sampler" else ()
    with node.running(
        *trusting,
        services.command(f"tailring-{tier}"),
        "--config",
        _EXAMPLES / example,
        *sets,
        log=folder / f"{node.name}.log",
        ready=port_open(4317, node.address),
    ):
        yield


def _file_backend(path: Path, tls: dict[str, str] | None) -> dict[str, object]:
    """A collector that writes down what it gets, over TLS or not."""
    grpc = {"endpoint": "0.0.0.0:4317", "tls": tls}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": grpc}}},
        "exporters": {"file": {"path": str(path), "flush_interval": "100ms"}},
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}}
        },
    }


def _expected(ring: Ring, traces: set[bytes]) -> dict[str, set[bytes]]:
    """The traces of each ring name."""
    shares: dict[str, set[bytes]] = {}
    for trace_id in traces:
        owner = ring.owner(trace_id)
        assert owner is not None
        shares.setdefault(owner, set()).add(trace_id)
    return shares


@pytest.mark.parametrize(
    ("example", "suffix"), [("tier1-dns.yaml", ":4317"), ("tier1-resilient.yaml", "")]
)
def test_router_example_keeps_the_ring(
    tmp_path: Path, example: str, suffix: str
) -> None:
    """Traces go where a ring of the addresses sends them: bare ones without a port."""
    with cluster() as made, ExitStack() as stack:
        nodes = [made.node(f"backend-{number}") for number in range(3)]
        router = made.node("router")
        addresses = [node.address for node in nodes]
        tls = _tls_for(example, tmp_path)
        files: dict[str, Path] = {}
        for node in nodes:
            path = tmp_path / f"{node.name}.jsonl"
            files[f"{node.address}{suffix}"] = path
            config = _file_backend(path, tls.receiver(node) if tls else None)
            folder = tmp_path / node.name
            stack.enter_context(servers.otelcol(config, folder, place=node.place))
        stack.enter_context(_named(made, tmp_path / "dns", {_SAMPLERS: addresses}))
        stack.enter_context(_ours(router, example, tmp_path, tls=tls))
        payloads = [otlp.realistic_request(400, seed) for seed in range(10)]
        _send(router, payloads)
        wait_until(
            lambda: (
                sum(len(servers.exported_spans(path)) for path in files.values())
                == 4000
            ),
            "4000 spans in the files of the backends",
        )
        arrived = {
            name: {record.trace_id for record in servers.exported_spans(path)}
            for name, path in files.items()
        }
    sent = set().union(*(otlp.trace_ids_of(payload) for payload in payloads))
    assert arrived == _expected(build(files), sent)


def test_router_example_on_ecs(tmp_path: Path) -> None:
    """With the file for ECS as it stands, and Cloud Map where the environment says,
    traces go where a ring of the instances sends them."""
    with cluster() as made, ExitStack() as stack:
        nodes = [made.node(f"task-{number}") for number in range(3)]
        router, aws = made.node("router"), made.node("aws")
        files: dict[str, Path] = {}
        for node in nodes:
            path = files[f"{node.address}:4317"] = tmp_path / f"{node.name}.jsonl"
            folder = tmp_path / node.name
            config = _file_backend(path, tls=None)
            stack.enter_context(servers.otelcol(config, folder, place=node.place))
        cloud = stack.enter_context(moto(tmp_path / "aws", place=aws.place))
        samplers = cloud.service("otel-collectors", "tier2-collector")
        for node in nodes:
            samplers.register(node.name, AWS_INSTANCE_IPV4=node.address)
        variables = [f"{name}={at}" for name, at in aws_environment(cloud.url).items()]
        stack.enter_context(
            router.running(
                "env",
                *variables,
                services.command("tailring-router"),
                "--config",
                _EXAMPLES / "tier1-ecs.yaml",
                log=tmp_path / "router.log",
                ready=port_open(4317, router.address),
            )
        )
        payloads = [otlp.realistic_request(400, seed) for seed in range(5)]
        _send(router, payloads)
        wait_until(
            lambda: sum(map(len, map(servers.exported_spans, files.values()))) == 2000,
            "2000 spans in the files of the backends",
        )
        arrived = {
            name: {record.trace_id for record in servers.exported_spans(path)}
            for name, path in files.items()
        }
    sent = set().union(*(otlp.trace_ids_of(payload) for payload in payloads))
    assert arrived == _expected(build(files), sent)


def _trace(trace_id: bytes, *, status: int = 0, duration_ms: int = 10) -> list[bytes]:
    """A trace of four spans, in four requests."""
    end_ns = otlp.EPOCH_NS + duration_ms * 1_000_000
    root = otlp.span(trace_id, b"\x01" * 8, start_ns=otlp.EPOCH_NS, end_ns=end_ns)
    children = [
        otlp.span(
            trace_id,
            bytes([number]) * 8,
            parent=root.span_id,
            start_ns=otlp.EPOCH_NS,
            end_ns=otlp.EPOCH_NS + 1_000_000,
            status=status if number == 4 else 0,
        )
        for number in (2, 3, 4)
    ]
    resource = {"service.name": "shop"}
    return [otlp.request(span, resource=resource) for span in (*children, root)]


@pytest.mark.parametrize("example", ["tier1-dns.yaml", "tier1-resilient.yaml"])
def test_examples_together(tmp_path: Path, example: str) -> None:
    """A router file and the sampler file carry traces whole into Jaeger: all with an
    error, all slow ones, and about a tenth of the others."""
    with cluster() as made, ExitStack() as stack:
        samplers = [made.node(f"sampler-{number}") for number in range(3)]
        router, backend = made.node("router"), made.node("jaeger")
        tls = _tls_for(example, tmp_path)
        names = {
            _SAMPLERS: [node.address for node in samplers],
            _JAEGER: [backend.address],
        }
        stack.enter_context(_named(made, tmp_path / "dns", names))
        jaeger = stack.enter_context(
            servers.jaeger(tmp_path / "jaeger", grpc_port=4317, place=backend.place)
        )
        for node in samplers:
            stack.enter_context(_ours(node, "tier2.yaml", tmp_path, tls=tls))
        stack.enter_context(_ours(router, example, tmp_path, tls=tls))
        ids = otlp.trace_ids(400, seed=4)
        errors, slow, plain = ids[:50], ids[50:100], ids[100:]
        traces = [  # those that are waited for are decided last
            *(_trace(one) for one in plain),
            *(_trace(one, status=2) for one in errors),
            *(_trace(one, duration_ms=501) for one in slow),
        ]
        _send(router, [payload for trace in traces for payload in trace])
        sure = set(errors) | set(slow)
        wait_until(  # decision_wait is 30 s in the file
            lambda: sure <= jaeger.trace_ids("shop"),
            "every trace with an error and every slow one",
            timeout_s=60,
        )
        kept = jaeger.trace_ids("shop")
        sizes = {len(jaeger.trace(trace_id)) for trace_id in kept}
    assert sizes == {4}
    assert 10 < len(kept - sure) < 60
