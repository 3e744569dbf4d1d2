"""What becomes of the parts of a configuration that comes, or cannot come."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tailring_otlpio import (
    Assembly,
    Heritage,
    Live,
    LiveAssembly,
    OtlpExporterConfig,
    OtlpReceiverConfig,
)
from tailring_pipeline import Batch, Consumer, FileStorageConfig, Refused
from tailring_runtime.config import (
    HEALTH_CHECK,
    CollectorConfig,
    ComponentType,
    Loaded,
    Registry,
    load,
)
from tailring_runtime.errors import StartError
from tailring_runtime.health import State
from tailring_runtime.process import Identity
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry
from tailring_testkit import otlp
from tailring_testkit.backend import Answer, Backend
from tailring_testkit.receiver_rig import until

REGISTRY = Registry(
    service="test",
    types=(
        ComponentType("receiver", "otlp", OtlpReceiverConfig),
        ComponentType("exporter", "otlp", OtlpExporterConfig),
        ComponentType("extension", "file_storage", FileStorageConfig),
        HEALTH_CHECK,
    ),
)
SETTINGS = Settings(health_endpoint="", metrics_endpoint="")
CAPACITY = "otelcol_exporter_queue_capacity"
SPAN = otlp.request(otlp.span(b"\x01" * 16, b"\x02" * 8))
Yaml = dict[str, Any]


def tree(**exporters: Yaml) -> Yaml:
    """A file with these exporters behind one receiver."""
    backend = {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}
    named = {f"otlp/{name}": backend | keys for name, keys in exporters.items()}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}},
        "exporters": named,
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": [*named]}}
        },
    }


def loaded(written: Yaml, folder: Path) -> Loaded:
    """What the service reads of a file."""
    path = folder / "service.yaml"
    path.write_text(yaml.safe_dump(written))
    return load([str(path)], environ={}, registry=REGISTRY)


@asynccontextmanager
async def running(
    written: Yaml, folder: Path
) -> AsyncIterator[tuple[LiveAssembly, Telemetry]]:
    """A service on that file."""
    config = loaded(written, folder).config
    telemetry = Telemetry(config, SETTINGS, identity=Identity("test", "1"))

    def build(config: CollectorConfig, heritage: Heritage) -> Assembly:
        """As a service does."""
        return Assembly(
            config, metrics=telemetry.metrics, reuse_port=True, heritage=heritage
        )

    live = LiveAssembly(
        config,
        live=Live(build, lambda _: {}, lambda _: None),
        telemetry=telemetry,
        settings=SETTINGS,
    )
    for group in reversed(live.stages()):
        for stage in reversed(group):
            await stage.start()
    telemetry.health.move(State.RUNNING)
    try:
        yield live, telemetry
    finally:
        await live.settle()
        for group in live.stages():
            for stage in group:
                await stage.terminate()


def sized(size: int) -> Yaml:
    """An exporter with a queue of that size."""
    return {"sending_queue": {"queue_size": size}}


def keep_in(written: Yaml, folder: Path) -> None:
    """Let queues be kept in a folder, if they want to be."""
    written["extensions"] = {"file_storage": {"directory": str(folder)}}
    written["service"]["extensions"] = ["file_storage"]


def kept_on_disk(written: Yaml, folder: Path) -> None:
    """Let the queue of each exporter be kept in a folder."""
    keep_in(written, folder)
    for exporter in written["exporters"].values():
        exporter["sending_queue"]["storage"] = "file_storage"


async def refusal_of(consumer: Consumer) -> str:
    """Why one span is refused."""
    with pytest.raises(Refused) as caught:
        await consumer.consume(Batch(SPAN, 1))
    return caught.value.reason


@pytest.mark.parametrize(
    "odd",
    [
        {"tls": {"ca_file": "/no/such/file.pem"}},
        {"sending_queue": {"storage": "file_storage"}},
    ],
    ids=["cannot be made", "cannot start"],
)
async def test_a_change_that_fails_leaves_no_series(tmp_path: Path, odd: Yaml) -> None:
    """Whether a part cannot be made or cannot start, the metrics are as before."""
    async with running(tree(a=sized(1000)), tmp_path) as (live, telemetry):
        for size in (1001, 1002, 1003):
            wanted = tree(a=sized(size), b=odd)
            keep_in(wanted, tmp_path)
            change = loaded(wanted, tmp_path)
            (tmp_path / "exporter_otlp_b_traces").touch()  # no directory
            assert (await live.reload(change)).problems
            assert telemetry.metrics.value(CAPACITY) == 1000
        assert (await live.reload(loaded(tree(a=sized(1001)), tmp_path))).changed


async def test_a_stop_amid_a_change_that_is_undone_lets_requests_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that wait at the door are answered when the process stops while the
    old configuration is made again."""
    written = tree(a=sized(1000) | {"timeout": "1s"})
    kept_on_disk(written, tmp_path)
    restoring = asyncio.Event()

    async def start(_groups: object) -> None:
        """Fail the change, and never end what comes after."""
        if not failed:
            failed.append(True)
            raise StartError("no")
        restoring.set()
        await asyncio.Event().wait()

    failed: list[bool] = []
    async with (
        running(written, tmp_path) as (live, _),
        asyncio.TaskGroup() as group,
    ):
        monkeypatch.setattr("tailring_otlpio.live._start", start)
        written["exporters"]["otlp/a"]["timeout"] = "2s"
        group.create_task(live.reload(loaded(written, tmp_path)))
        await restoring.wait()
        (inlet,) = live.assembly.inlets.values()
        waiting = group.create_task(refusal_of(inlet))
        await live.settle()
        async with asyncio.timeout(5):
            assert await waiting == "draining"


async def test_a_queue_whose_folder_changes_is_delivered_from_the_old_one(
    tmp_path: Path,
) -> None:
    """What was acknowledged into the old folder waits for its backend there, and is
    delivered when that comes."""
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    async with Backend() as standing:
        retries = {"initial_interval": "100ms", "multiplier": 1}
        exporter = {"endpoint": standing.address, "retry_on_failure": retries}
        written = tree(a=sized(1000) | exporter)
        kept_on_disk(written, folders[0])
        standing.script([Answer(grpc.StatusCode.UNAVAILABLE)] * 6)
        async with running(written, tmp_path) as (live, telemetry):
            (inlet,) = live.assembly.inlets.values()
            await inlet.consume(Batch(SPAN, 1))
            kept_on_disk(written, folders[1])
            assert (await live.reload(loaded(written, tmp_path))).changed
            await until(lambda: standing.span_count == 1)
            sent = partial(telemetry.metrics.value, "otelcol_exporter_sent_spans")
            await until(lambda: sent() == 1)


async def test_what_stays_in_a_folder_that_is_left_is_told_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the process stops first, the log says which folder to configure again; a
    service that does has the data."""
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    written = tree(a=sized(1000))
    kept_on_disk(written, folders[0])
    first = copy.deepcopy(written)
    async with running(written, tmp_path) as (live, _):
        (inlet,) = live.assembly.inlets.values()
        await inlet.consume(Batch(SPAN, 1))
        kept_on_disk(written, folders[1])
        assert (await live.reload(loaded(written, tmp_path))).changed
        (problem,) = (await live.reload(loaded(first, tmp_path))).problems
        assert "still delivers from" in problem
    said = capsys.readouterr()
    (line,) = [it for it in (said.out + said.err).splitlines() if "acknowledged" in it]
    assert str(folders[0] / "exporter_otlp_a_traces") in line
    async with running(first, tmp_path) as (live, telemetry):
        assert telemetry.metrics.value("otelcol_exporter_queue_size") == 1
