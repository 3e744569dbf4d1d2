"""The debug pages of a running router, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from services.router.tests.wired import Running, router

from tailring_testkit.backend import Backend
from tailring_testkit.otlp import realistic_request

SPANS = 400
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def shown(running: Running, path: str, **query: str) -> Mapping[str, Any]:
    """A page as JSON."""
    async with (
        aiohttp.ClientSession(f"http://{running.pages_address}") as session,
        session.get(f"/debug/{path}", params={"format": "json", **query}) as response,
    ):
        assert response.status == 200
        found: Mapping[str, Any] = await response.json()
        return found


async def test_the_pages_tell_what_was_routed(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """Rings, backends and pipelines agree with what was sent."""
    names = [backend.address for backend in two]
    async with router(names, tmp_path, backends=two) as running:
        await running.client.export(realistic_request(SPANS, seed=1))
        backends = await shown(running, "backendz")
        rings = await shown(running, "ringz", trace_id=TRACE_ID)
        pipelines = await shown(running, "pipelinez")
        ring = running.exporter.topology.ring
    rows = backends["tables"][0]["rows"]
    assert sorted(row["address"] for row in rows) == sorted(names)
    assert sum(row["items_sent"] for row in rows) == SPANS
    assert {row["state"] for row in rows} == {"open"}
    owner = rings["facts"]["loadbalancing (traces): owner"]
    assert owner == ring.owner(bytes.fromhex(TRACE_ID))
    wired, *parts = pipelines["tables"]
    assert wired["rows"] == [
        {
            "pipeline": "traces",
            "receivers": "otlp",
            "processors": "none",
            "exporters": "loadbalancing",
        }
    ]
    accepted = {
        row["accepted_spans"]
        for table in parts
        for row in table["rows"]
        if "receiver" in row
    }
    assert accepted == {SPANS}


async def test_some_parts_are_looked_into(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """The balance of the backends is watched with the keys that are routed by."""
    names = [backend.address for backend in two]
    async with router(names, tmp_path, backends=two) as running:
        await running.client.export(realistic_request(SPANS, seed=1))
        keys = running.exporter.watch.sample.keys()
        assert len(keys) > SPANS / 8 / 4
        assert all(len(key) == 16 for key in keys)
