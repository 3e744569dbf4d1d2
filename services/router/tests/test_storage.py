"""The router with its level-1 queue on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import yaml
from services.router.tests.wired import FAST, Running, router

from tailring_testkit.backend import Backend
from tailring_testkit.otlp import realistic_request
from tailring_testkit.ports import free_port

SPANS = 400
OK = grpc.StatusCode.OK
RETRY = {"enabled": True, **FAST, "max_elapsed_time": "0s"}


def keys_of(folder: Path) -> dict[str, Any]:
    """What the exporter, and the file, need for a queue on disk."""
    storage = {"directory": str(folder / "storage"), "create_directory": True}
    return {
        "sending_queue": {"storage": "file_storage"},
        "retry_on_failure": RETRY,
        "extensions": {"file_storage": storage},
    }


async def _send(running: Running, count: int) -> None:
    for seed in range(count):
        reply = await running.client.export(realistic_request(SPANS, seed=seed))
        assert reply.code is OK


async def test_a_router_stops_without_loss_while_backends_are_away(
    tmp_path: Path,
) -> None:
    """What could not be delivered stays on disk and is no loss; the next router
    delivers it."""
    port = free_port()
    hosts = [f"127.0.0.1:{port}"]
    async with router(hosts, tmp_path, backends=[], **keys_of(tmp_path)) as running:
        await _send(running, 5)
        await running.drain(0.5)
        await running.exporter.terminate()
        assert running.exporter.loss.spans == 0
    async with (
        Backend(port=port) as backend,
        router(hosts, tmp_path, backends=[], **keys_of(tmp_path)) as running,
    ):
        await backend.wait_requests(1)
        await running.drain()
        assert backend.span_count == 5 * SPANS
        held = running.metrics.value("otelcol_exporter_queue_size")
        assert held == 0


async def test_only_the_rest_is_delivered_by_the_next_router(tmp_path: Path) -> None:
    """What one of two backends took before a stop is not sent to it again."""
    port = free_port()
    async with Backend() as living:
        hosts = [living.address, f"127.0.0.1:{port}"]
        async with router(hosts, tmp_path, backends=[], **keys_of(tmp_path)) as running:
            await _send(running, 5)
            await running.drain(0.5)
        taken = living.span_count
        assert 0 < taken < 5 * SPANS
        async with Backend(port=port) as late:
            keys = keys_of(tmp_path)
            async with router(hosts, tmp_path, backends=[], **keys) as running:
                await late.wait_requests(1)
                await running.drain()
            assert living.span_count == taken
            assert late.span_count == 5 * SPANS - taken


async def test_a_queue_that_is_not_on_disk_needs_no_extension(tmp_path: Path) -> None:
    """An extension that nobody names makes no folder."""
    storage = tmp_path / "storage"
    keys = {"extensions": {"file_storage": {"directory": str(tmp_path)}}}
    async with (
        Backend() as backend,
        router([backend.address], tmp_path, backends=[backend], **keys) as running,
    ):
        await _send(running, 1)
    assert not storage.exists()
    assert yaml.safe_load((tmp_path / "router.yaml").read_text())["extensions"]
