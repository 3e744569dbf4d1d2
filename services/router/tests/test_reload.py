"""A wired router takes other configurations, in one process and without a load."""

from __future__ import annotations

import copy
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tailring_otlpio import Assembly, Heritage, Live, LiveAssembly
from tailring_pipeline import Worker
from tailring_router import app, components
from tailring_router.endpoints import endpoints
from tailring_router.exporter import LoadBalancingExporter
from tailring_runtime.config import CollectorConfig, Loaded, load
from tailring_runtime.health import State
from tailring_runtime.pages import Pages
from tailring_runtime.process import Identity
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry
from tailring_testkit.ports import free_port, free_ports

Yaml = dict[str, Any]
_SETTINGS = Settings(health_endpoint="", metrics_endpoint="")


def _tree(grpc: int) -> Yaml:
    exporter = {
        "protocol": {"otlp": {"tls": {"insecure": True}}},
        "resolver": {"static": {"hostnames": ["127.0.0.1:1", "127.0.0.1:2"]}},
    }
    pipeline = {
        "receivers": ["otlp"],
        "processors": ["batch"],
        "exporters": ["load_balancing"],
    }
    return {
        "receivers": {
            "otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{grpc}"}}}
        },
        "processors": {"batch": {"timeout": "10ms"}},
        "exporters": {"load_balancing": exporter},
        "service": {"pipelines": {"traces": pipeline}},
    }


def _loaded(tree: Yaml, folder: Path) -> Loaded:
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump(tree))
    return load([str(path)], environ={}, registry=components.registry())


@asynccontextmanager
async def _running(tree: Yaml, folder: Path) -> AsyncIterator[LiveAssembly]:
    config = _loaded(tree, folder).config
    telemetry = Telemetry(config, _SETTINGS, identity=Identity("router", "1"))

    def build(config: CollectorConfig, heritage: Heritage) -> Assembly:
        makers = app.makers_of(Pages(), Worker())
        return app.assemble(config, telemetry.metrics, makers=makers, heritage=heritage)

    live = LiveAssembly(
        config,
        live=Live(build, endpoints, lambda _: None),
        telemetry=telemetry,
        settings=_SETTINGS,
    )
    for group in reversed(live.stages()):
        for stage in reversed(group):
            await stage.start()
    telemetry.health.move(State.RUNNING)
    try:
        yield live
    finally:
        await live.settle()
        for group in live.stages():
            for stage in group:
                await stage.terminate()


def _parts(live: LiveAssembly) -> tuple[object, ...]:
    assembly = live.assembly
    return (
        *assembly.receivers.values(),
        *(part for chain in assembly.processors for part in chain),
        *assembly.exporters.values(),
    )


async def test_the_same_file_changes_no_part(tmp_path: Path) -> None:
    """Written anew with a comment's worth of difference, everything goes on."""
    tree = _tree(free_port())
    async with _running(tree, tmp_path) as live:
        before = _parts(live)
        outcome = await live.reload(_loaded(copy.deepcopy(tree), tmp_path))
        assert not outcome.changed
        assert not outcome.problems
        assert _parts(live) == before


async def test_a_changed_list_is_followed_by_the_exporter_that_is_there(
    tmp_path: Path,
) -> None:
    """Backends come and go in the same exporter; no part is replaced."""
    tree = _tree(free_port())
    async with _running(tree, tmp_path) as live:
        before = _parts(live)
        static = tree["exporters"]["load_balancing"]["resolver"]["static"]
        static["hostnames"] = ["127.0.0.1:2", "127.0.0.1:3"]
        assert (await live.reload(_loaded(tree, tmp_path))).changed
        assert _parts(live) == before
        (exporter,) = live.assembly.exporters.values()
        assert isinstance(exporter, LoadBalancingExporter)
        assert exporter.topology.addresses == ("127.0.0.1:2", "127.0.0.1:3")


async def test_a_changed_exporter_takes_its_pipeline_along(tmp_path: Path) -> None:
    """The exporter and the processors before it are new; the receiver goes on."""
    tree = _tree(free_port())
    async with _running(tree, tmp_path) as live:
        receiver, batch, exporter = _parts(live)
        tree["exporters"]["load_balancing"]["timeout"] = "3s"
        assert (await live.reload(_loaded(tree, tmp_path))).changed
        after = _parts(live)
        assert after[0] is receiver
        assert after[1] is not batch
        assert after[2] is not exporter


async def test_what_cannot_start_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """A taken port is a problem with its name, and the old parts go on."""
    mine, taken = free_ports(2)
    tree = _tree(mine)
    async with _running(tree, tmp_path) as live:
        before = _parts(live)
        wanted = _tree(taken)
        with socket.create_server(("127.0.0.1", taken)):
            outcome = await live.reload(_loaded(wanted, tmp_path))
        assert f"cannot listen on 127.0.0.1:{taken}" in outcome.problems[0]
        assert _parts(live) == before


async def test_a_service_that_stops_takes_nothing_new(tmp_path: Path) -> None:
    """After the stop has begun a reload is answered, and not done."""
    tree = _tree(free_port())
    async with _running(tree, tmp_path) as live:
        await live.settle()
        assert (await live.reload(_loaded(tree, tmp_path))).problems
