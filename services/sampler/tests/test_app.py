"""The wired sampler: real gRPC in, a scripted backend out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import yaml

from tailring_otlpio import Assembly
from tailring_runtime.config import load
from tailring_runtime.health import Health, State
from tailring_runtime.metrics import Metrics
from tailring_sampler import __main__ as command
from tailring_sampler import app, components
from tailring_testkit import otlp
from tailring_testkit.backend import EXPORT_TRACES, Answer, Backend

KEEP_ERRORS = {
    "name": "errors-policy",
    "type": "status_code",
    "status_code": {"status_codes": ["ERROR"]},
}
SLOW = {"name": "latency-policy", "type": "latency", "latency": {"threshold_ms": 500}}
SHARE = {
    "name": "probabilistic-policy",
    "type": "probabilistic",
    "probabilistic": {"sampling_percentage": 10},
}

Tree = dict[str, Any]


def tree_of(backend: str, **processors: Any) -> Tree:
    """The example of tier 2, on free ports and with a short wait."""
    sampling = {"decision_wait": "1s", "policies": [KEEP_ERRORS, SLOW, SHARE]}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}},
        "processors": processors or {"tail_sampling": sampling},
        "exporters": {"otlp": {"endpoint": backend, "tls": {"insecure": True}}},
        "service": {
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": list(processors) or ["tail_sampling"],
                    "exporters": ["otlp"],
                }
            }
        },
    }


class Running:
    """A started sampler and a channel to it."""

    def __init__(self, sampling: Assembly, metrics: Metrics, health: Health) -> None:
        self.sampling = sampling
        self.metrics = metrics
        self.health = health
        (receiver,) = sampling.receivers.values()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_port}")

    async def send(self, payload: bytes) -> None:
        """Export one request, as a client does."""
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        export = self.channel.unary_unary(EXPORT_TRACES)
        await export(payload)

    async def drain(self) -> None:
        """What the lifecycle does at SIGTERM."""
        await self.channel.close()
        for group in self.sampling.stages:
            for stage in group:
                stage.close()
            for stage in group:
                await stage.join(10)


@asynccontextmanager
async def running(tree: Tree, folder: Path) -> AsyncIterator[Running]:
    """Build and start what the configuration says; terminate it at the end."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    loaded = load([str(path)], environ={}, registry=components.registry())
    metrics = Metrics()
    sampling = app.assemble(loaded.config, metrics)
    groups: Sequence[Sequence[Any]] = sampling.stages
    try:
        for group in reversed(groups):
            for stage in group:
                await stage.start()
        health = Health()
        app.follow(sampling, health)
        health.move(State.RUNNING)
        yield Running(sampling, metrics, health)
    finally:
        for group in groups:
            for stage in group:
                await stage.terminate()


def error_trace(trace_id: bytes, spans: int = 3) -> list[bytes]:
    """Requests of one span each; the last span of the trace is an error."""
    return [
        otlp.request(
            otlp.span(trace_id, bytes([n] * 8), status=2 if n == spans else 0),
            resource={"service.name": f"service-{n}"},
            scope="library",
        )
        for n in range(1, spans + 1)
    ]


async def test_kept_traces_arrive_whole(tmp_path: Path) -> None:
    """With the example of tier 2, traces with an error reach the backend as sent."""
    kept_id, dropped_id = bytes.fromhex("ad" * 16), bytes.fromhex("0102" * 8)
    async with (
        Backend() as backend,
        running(tree_of(backend.address), tmp_path) as sampler,
    ):
        payloads = error_trace(kept_id)
        ok = otlp.request(otlp.span(dropped_id, b"12345678", status=1))
        for payload in (*payloads, ok):
            await sampler.send(payload)
        await asyncio.wait_for(backend.wait_received(1), 10)
        sent = [span for payload in payloads for span in otlp.spans_of(payload)]
        out = [span for payload in backend.received for span in otlp.spans_of(payload)]
        assert sorted(out) == sorted(sent)
        await sampler.drain()
        left = sampler.metrics.value("tailring_sampler_spans_left")
        assert left == sampler.metrics.value("tailring_sampler_spans_received") == 4


async def test_a_sampler_that_makes_no_decisions_is_not_ready(tmp_path: Path) -> None:
    """Readiness hangs on the tick of every tail sampling processor."""
    async with Backend() as backend:
        tree = tree_of(backend.address)
        pipeline = tree["service"]["pipelines"].pop("traces")
        tree["service"]["pipelines"] = {"traces/a": pipeline, "traces/b": pipeline}
        async with running(tree, tmp_path) as sampler:
            assert sampler.health.ready
            _, (second,) = sampler.sampling.processors
            await second.join(0)
            assert sampler.health.unmet() == ("decisions",)


async def test_a_drain_exports_what_is_held(tmp_path: Path) -> None:
    """At shutdown traces that still wait are judged and reach the backend."""
    async with (
        Backend() as backend,
        running(tree_of(backend.address), tmp_path) as sampler,
    ):
        for payload in error_trace(bytes(16)):
            await sampler.send(payload)
        await sampler.drain()
        assert backend.span_count == 3


async def test_a_backend_that_is_away_costs_nothing(tmp_path: Path) -> None:
    """What the backend refuses at first arrives when it takes again."""
    busy = Answer(grpc.StatusCode.UNAVAILABLE, "busy", retry_after_s=0.1)
    async with (
        Backend() as backend,
        running(tree_of(backend.address), tmp_path) as sampler,
    ):
        backend.script([busy, busy])
        for payload in error_trace(bytes(16)):
            await sampler.send(payload)
        await asyncio.wait_for(backend.wait_received(1), 20)
        assert backend.span_count == 3
        assert backend.requests == 3
        await sampler.drain()


async def test_processors_run_in_the_configured_order(tmp_path: Path) -> None:
    """A chain of limiter, sampling and batch delivers, and drains in its order."""
    chain = {
        "memory_limiter": {"check_interval": "1s", "limit_mib": 100_000},
        "tail_sampling": {"policies": [{"name": "all", "type": "always_sample"}]},
        "batch": {"timeout": "50ms"},
    }
    async with (
        Backend() as backend,
        running(tree_of(backend.address, **chain), tmp_path) as sampler,
    ):
        names = [type(group[0]).__name__ for group in sampler.sampling.stages]
        assert names == [
            "OtlpReceiver",
            "MemoryLimiter",
            "TailSamplingProcessor",
            "BatchProcessor",
            "OtlpExporter",
        ]
        await sampler.send(otlp.realistic_request(80, 1))
        await sampler.drain()
        assert backend.span_count == 80


async def test_two_pipelines_share_receivers_and_exporters(tmp_path: Path) -> None:
    """Each pipeline samples for itself, between a shared receiver and exporter."""
    async with Backend() as backend:
        tree = tree_of(
            backend.address,
            **{
                "tail_sampling/all": {
                    "policies": [{"name": "p", "type": "always_sample"}]
                },
                "tail_sampling/none": {"policies": []},
            },
        )
        pipeline = tree["service"]["pipelines"].pop("traces")
        tree["exporters"]["nop"] = None
        for name in ("all", "none"):
            tree["service"]["pipelines"][f"traces/{name}"] = {
                **pipeline,
                "processors": [f"tail_sampling/{name}"],
                "exporters": ["otlp", "nop"],
            }
        async with running(tree, tmp_path) as sampler:
            await sampler.send(otlp.realistic_request(80, 1))
            await sampler.drain()
            assert backend.span_count == 80
            votes = sampler.metrics.value(
                "otelcol_processor_tail_sampling_count_traces_sampled", policy="all.p"
            )
            assert votes == 10


def test_the_version_names_the_form(capsys: pytest.CaptureFixture[str]) -> None:
    """One sees whether the compiled form runs."""
    assert command.main(["--version"]) == 0
    said = capsys.readouterr().out
    assert "(compiled)" in said or "(pure Python)" in said


def test_the_example_is_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example of tier 2 is called valid."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree_of("localhost:1")))
    assert command.main(["validate", "--config", str(path)]) == 0
    assert capsys.readouterr().out == "configuration is valid\n"


def test_a_file_of_the_router_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file with a load-balancing exporter ends with 2 and says what to do."""
    tree = tree_of("localhost:1")
    tree["exporters"] = {"loadbalancing": {"resolver": {}}}
    tree["service"]["pipelines"]["traces"]["exporters"] = ["loadbalancing"]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert command.main(["validate", "--config", str(path)]) == 2
    assert "run that with tailring-router" in " ".join(capsys.readouterr().err.split())


def test_there_is_nothing_to_resolve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sampler has no resolver: `resolve` says so, fails, and prints no endpoint."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree_of("localhost:1")))
    assert command.main(["resolve", "--config", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "this configuration has no resolver" in said.err
    assert "tailring-router" in said.err


def test_resolve_reads_the_file_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong file is a wrong file to every sub-command: its problems, exit code 2."""
    path = tmp_path / "config.yaml"
    path.write_text("receivers: {otlpp: {}}\n")
    assert command.main(["resolve", "--config", str(path)]) == 2
    assert "otlpp" in capsys.readouterr().err


async def test_one_component_in_two_pipelines_adds_up(tmp_path: Path) -> None:
    """A component that two pipelines name is made twice and counted in one series."""
    async with Backend() as backend:
        tree = tree_of(backend.address)
        pipeline = tree["service"]["pipelines"].pop("traces")
        tree["service"]["pipelines"] = {"traces/a": pipeline, "traces/b": pipeline}
        async with running(tree, tmp_path) as sampler:
            await sampler.send(otlp.realistic_request(80, 1))
            await asyncio.sleep(0.3)
            held = sampler.metrics.value("tailring_sampler_spans_held")
            live = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
            assert (held, sampler.metrics.value(live)) == (160, 20)
            await sampler.drain()
            assert sampler.metrics.value("tailring_sampler_spans_received") == 160
