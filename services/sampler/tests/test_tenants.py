"""Headers of clients' requests survive the sampler; signals and instances side by side.

The wired sampler, in one process: real receivers, scripted backends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import yaml

from tailring_otlpio import Assembly
from tailring_otlpwire import count
from tailring_pipeline import KINDS, Signal
from tailring_runtime.config import load
from tailring_runtime.metrics import Metrics
from tailring_sampler import app, components
from tailring_testkit import otlp, signals
from tailring_testkit.backend import EXPORT_TRACES, Answer, Backend
from tailring_testkit.http_backend import HttpBackend
from tailring_testkit.process import eventually

Tree = dict[str, Any]
SAMPLING = {
    "decision_wait": "1s",
    "policies": [{"name": "all", "type": "always_sample"}],
}
PLAIN = {"tls": {"insecure": True}, "metadata_keys": ["X-Tenant"]}


class Running:
    """A started sampler."""

    def __init__(self, parts: Assembly, metrics: Metrics) -> None:
        self.parts = parts
        self.metrics = metrics
        (self.receiver,) = parts.receivers.values()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.receiver.grpc_port}")

    async def send(self, payload: bytes, **headers: str) -> None:
        """Export one request of traces over gRPC; `x_tenant` is a header x-tenant."""
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        export = self.channel.unary_unary(EXPORT_TRACES)
        metadata = [(key.replace("_", "-"), value) for key, value in headers.items()]
        await export(payload, metadata=metadata)

    async def post(self, payload: bytes, signal: Signal, tenant: str) -> None:
        """The same over HTTP, for any signal."""
        url = f"http://127.0.0.1:{self.receiver.http_port}/v1/{signal.value}"
        headers = {"Content-Type": "application/x-protobuf", "X-Tenant": tenant}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=payload, headers=headers) as answer,
        ):
            assert answer.status == 200

    async def drain(self) -> None:
        """What the lifecycle does at SIGTERM."""
        for group in self.parts.stages:
            for stage in group:
                stage.close()
            for stage in group:
                await stage.join(10)


@asynccontextmanager
async def sampling(
    tmp_path: Path, tree: Tree, *, include_metadata: bool = True
) -> AsyncIterator[Running]:
    """A sampler with this configuration and a receiver; drained at the end."""
    protocols = {
        one: {"endpoint": "127.0.0.1:0", "include_metadata": include_metadata}
        for one in ("grpc", "http")
    }
    path = tmp_path / "sampler.yaml"
    full = {"receivers": {"otlp": {"protocols": protocols}}, **tree}
    path.write_text(yaml.safe_dump(full))
    config = load([str(path)], registry=components.registry(), environ={}).config
    metrics = Metrics()
    parts = app.assemble(config, metrics)
    stages = [stage for group in parts.stages for stage in group]
    async with AsyncExitStack() as stack:
        for stage in reversed(stages):
            stack.push_async_callback(stage.terminate)
            await stage.start()
        running = Running(parts, metrics)
        stack.push_async_callback(running.channel.close)
        yield running


def one_pipeline(
    exporters: Tree, *, processors: Tree | None = None, **more: Any
) -> Tree:
    """A pipeline of traces through these."""
    chosen = {"tail_sampling": SAMPLING} if processors is None else processors
    return {
        "processors": chosen,
        "exporters": exporters,
        "service": {
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": list(chosen),
                    "exporters": list(exporters),
                }
            },
            **more,
        },
    }


def span_of(trace: int, span: int) -> bytes:
    """A request of one span."""
    return otlp.request(otlp.span(bytes([trace]) * 16, bytes([span]) * 8))


def seen_by(backend: Backend) -> Counter[tuple[str, ...]]:
    """Spans by the tenants of their request, all values of it."""
    found: Counter[tuple[str, ...]] = Counter()
    for metadata, payload in zip(backend.metadata, backend.received, strict=True):
        tenants = tuple(str(v) for k, v in metadata if k == "x-tenant")
        found[tenants] += count(payload)
    return found


async def test_each_tenant_keeps_its_header(tmp_path: Path) -> None:
    """Spans leave with the header that they came with, never with another's."""
    async with Backend() as backend:
        tree = one_pipeline({"otlp": {"endpoint": backend.address, **PLAIN}})
        async with sampling(tmp_path, tree) as running:
            for number in range(1, 30):
                tenant = {"x_tenant": f"t{number % 3}"} if number % 3 else {}
                await running.send(span_of(number, 1), **tenant)
            await running.send(span_of(1, 2), x_tenant="other")  # of the same trace
            await running.drain()
        assert seen_by(backend) == {("t1",): 10, ("t2",): 10, (): 9, ("other",): 1}
        assert b"x-tenant" not in b"".join(backend.received)


async def test_late_spans_have_their_header(tmp_path: Path) -> None:
    """A span that comes after the decision on its trace leaves with its own header."""
    async with Backend() as backend:
        tree = one_pipeline({"otlp": {"endpoint": backend.address, **PLAIN}})
        async with sampling(tmp_path, tree) as running:
            await running.send(span_of(1, 1), x_tenant="a")
            await backend.wait_received(1)
            await running.send(span_of(1, 2), x_tenant="b")
            await running.drain()
        assert seen_by(backend) == {("a",): 1, ("b",): 1}


async def test_headers_survive_joining_and_a_queue_on_disk(tmp_path: Path) -> None:
    """Behind `batch` and a queue on disk the header is still that of each span."""
    storage = {"directory": str(tmp_path / "queue"), "create_directory": True}
    async with Backend() as backend:
        backend.answer = Answer(grpc.StatusCode.UNAVAILABLE)
        queue = {"storage": "file_storage", "batch": {"flush_timeout": "50ms"}}
        exporter = {"endpoint": backend.address, "sending_queue": queue, **PLAIN}
        tree = one_pipeline(
            {"otlp": exporter},
            processors={"batch": {"timeout": "50ms"}},
            extensions=["file_storage"],
        )
        tree["extensions"] = {"file_storage": storage}
        async with sampling(tmp_path, tree) as running:
            for number in range(1, 9):
                await running.send(span_of(number, 1), x_tenant=f"t{number % 2}")
            await running.drain()
        assert not backend.received
        backend.answer = Answer()
        backend.metadata.clear()
        async with sampling(tmp_path, tree) as running:
            await eventually(
                lambda: sum(map(count, backend.received)) == 8, "all spans came"
            )
            await running.drain()
        assert seen_by(backend) == {("t0",): 4, ("t1",): 4}


async def test_a_refused_tenant_is_sent_again_alone(tmp_path: Path) -> None:
    """When one tenant's request is refused, the others' are not sent twice."""
    async with Backend() as backend:
        fast = {"initial_interval": "1ms", "max_interval": "5ms"}
        exporter = {"endpoint": backend.address, "retry_on_failure": fast, **PLAIN}
        tree = one_pipeline({"otlp": exporter})
        async with sampling(tmp_path, tree) as running:
            for number in range(1, 7):
                await running.send(span_of(number, 1), x_tenant=f"t{number % 3}")
            backend.script([Answer(), Answer(grpc.StatusCode.UNAVAILABLE)])
            await running.drain()
        assert sum(map(count, backend.received)) == 6
        assert backend.requests == 4


@pytest.mark.parametrize("included", [True, False])
async def test_every_signal_over_http(tmp_path: Path, included: bool) -> None:
    """Logs and metrics pass through beside traces; headers only when included."""
    async with HttpBackend() as backend:
        exporter = {"endpoint": backend.url, "metadata_keys": ["x-tenant"]}
        pipeline = {"receivers": ["otlp"], "exporters": ["otlp_http"]}
        tree: Tree = {
            "processors": {"tail_sampling": SAMPLING, "batch": {"timeout": "10ms"}},
            "exporters": {"otlp_http": exporter},
            "service": {
                "pipelines": {
                    "traces": {**pipeline, "processors": ["tail_sampling"]},
                    "logs": {**pipeline, "processors": ["batch"]},
                    "metrics": pipeline,
                }
            },
        }
        async with sampling(tmp_path, tree, include_metadata=included) as running:
            for signal in Signal:
                await running.post(signals.request_of(signal, range(3)), signal, "a b")
            await running.drain()
        assert {one.path for one in backend.requests} == {
            f"/v1/{signal.value}" for signal in Signal
        }
        for one in backend.requests:
            assert one.headers.get("x-tenant") == ("a b" if included else None)
        items = {
            Signal(one.path.removeprefix("/v1/")): one.payload
            for one in backend.requests
        }
        for signal, payload in items.items():
            assert count(payload, KINDS[signal]) == 3


async def test_exporters_without_the_key_see_nothing_of_it(tmp_path: Path) -> None:
    """Beside an exporter that names a header the others send requests as they came."""
    async with Backend() as first, Backend() as second:
        exporters: Mapping[str, Any] = {
            "otlp/a": {"endpoint": first.address, **PLAIN},
            "otlp/b": {"endpoint": second.address, "tls": {"insecure": True}},
            "file": {"path": str(tmp_path / "out"), "format": "proto"},
        }
        tree = one_pipeline(dict(exporters), processors={})
        async with sampling(tmp_path, tree) as running:
            await running.send(span_of(1, 1), x_tenant="a")
            await running.drain()
        assert first.received == second.received == [span_of(1, 1)]
        assert (tmp_path / "out").read_bytes()[4:] == span_of(1, 1)
        assert seen_by(first) == {("a",): 1}
        assert seen_by(second) == {(): 1}


async def test_headers_that_are_too_large_are_refused(tmp_path: Path) -> None:
    """Values that would make every resource large are a final error."""
    async with Backend() as backend:
        tree = one_pipeline({"otlp": {"endpoint": backend.address, **PLAIN}})
        async with sampling(tmp_path, tree) as running:
            with pytest.raises(grpc.aio.AioRpcError, match="metadata_keys") as raised:
                await running.send(span_of(1, 1), x_tenant="x" * 5_000)
            await running.drain()
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_several_instances_decide_for_themselves(tmp_path: Path) -> None:
    """Two pipelines with a tail_sampling each keep what their own policies say."""
    async with Backend() as first, Backend() as second:
        never = {
            "decision_wait": "1s",
            "policies": [
                {
                    "name": "errors",
                    "type": "status_code",
                    "status_code": {"status_codes": ["ERROR"]},
                }
            ],
        }
        plain = {"tls": {"insecure": True}}
        tree: Tree = {
            "processors": {
                "tail_sampling/all": SAMPLING,
                "tail_sampling/errors": never,
            },
            "exporters": {
                "otlp/all": {"endpoint": first.address, **plain},
                "otlp/errors": {"endpoint": second.address, **plain},
            },
            "service": {
                "pipelines": {
                    f"traces/{one}": {
                        "receivers": ["otlp"],
                        "processors": [f"tail_sampling/{one}"],
                        "exporters": [f"otlp/{one}"],
                    }
                    for one in ("all", "errors")
                }
            },
        }
        async with sampling(tmp_path, tree) as running:
            for number in range(1, 6):
                await running.send(span_of(number, 1))
            await running.drain()
            counted = {
                policy: running.metrics.value(
                    "otelcol_processor_tail_sampling_count_traces_sampled",
                    policy=policy,
                    sampled=sampled,
                    decision=decision,
                )
                for policy, sampled, decision in (
                    ("all.all", "true", "sampled"),
                    ("errors.errors", "false", "not_sampled"),
                )
            }
        assert sum(map(count, first.received)) == 5
        assert not second.received
        assert counted == {"all.all": 5, "errors.errors": 5}
