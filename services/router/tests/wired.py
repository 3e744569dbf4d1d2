"""The wired router on real sockets, for the tests of its behaviour."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tailring_otlpio import Assembly
from tailring_pipeline import Worker
from tailring_router import app, components
from tailring_router.exporter import LoadBalancingExporter
from tailring_runtime.config import load
from tailring_runtime.metrics import Metrics
from tailring_runtime.pages import Pages
from tailring_runtime.zpages import ZPages
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient

FAST = {"initial_interval": "10ms", "max_interval": "20ms", "max_elapsed_time": "10s"}


@dataclass
class Running:
    """A started router, a client, and its backends."""

    assembly: Assembly
    metrics: Metrics
    client: GrpcClient
    backends: Sequence[Backend]

    def left(self) -> dict[str, int]:
        """Spans by the door they left through."""
        doors = ("delivered", "refused", "rejected", "retries_exhausted", "abandoned")
        counts = {
            door: int(self.metrics.value("tailring_router_left_spans", door=door))
            for door in doors
        }
        return {door: count for door, count in counts.items() if count}

    @property
    def exporter(self) -> LoadBalancingExporter:
        """The load balancer as a part of the pipeline."""
        (only,) = self.assembly.exporters.values()
        assert isinstance(only, LoadBalancingExporter)
        return only

    @property
    def pages_address(self) -> str:
        """Where the debug pages are served."""
        (pages,) = self.assembly.extensions.parts.values()
        assert isinstance(pages, ZPages)
        return pages.address

    def held(self) -> int:
        """Spans that have not left."""
        return int(self.metrics.value("tailring_router_held_spans"))

    async def drain(self, timeout_s: float = 10.0) -> None:
        """Close and join the stages in data order."""
        for group in self.assembly.stages:
            for stage in group:
                stage.close()
            for stage in group:
                await stage.join(timeout_s)


@asynccontextmanager
async def router(
    hostnames: Sequence[str], folder: Path, *, backends: Sequence[Backend], **keys: Any
) -> AsyncIterator[Running]:
    """A router to ``hostnames``; ``keys`` are added to its exporter, but for
    ``extensions``, which are the file's."""
    extensions = {"zpages": {"endpoint": "127.0.0.1:0"}, **keys.pop("extensions", {})}
    otlp = {"tls": {"insecure": True}, "compression": "none", "retry_on_failure": FAST}
    exporter = {
        "resolver": {"static": {"hostnames": list(hostnames)}},
        "protocol": {"otlp": {**otlp, **keys.pop("otlp", {})}},
        **keys,
    }
    pipeline = {"receivers": ["otlp"], "exporters": ["loadbalancing"]}
    tree = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}},
        "exporters": {"loadbalancing": exporter},
        "extensions": extensions,
        "service": {
            "extensions": list(extensions),
            "pipelines": {"traces": pipeline},
        },
    }
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump(tree))
    loaded = load([str(path)], environ={}, registry=components.registry())
    metrics = Metrics()
    pages = Pages()
    assembly = app.assemble(
        loaded.config, metrics, makers=app.makers_of(pages, Worker())
    )
    app.add_pages(pages, assembly, metrics)
    stages = [stage for group in assembly.stages for stage in group]
    for stage in reversed(stages):
        await stage.start()
    (receiver,) = assembly.receivers.values()
    async with AsyncExitStack() as stack:
        for stage in stages:
            stack.push_async_callback(stage.terminate)
        client = GrpcClient(f"127.0.0.1:{receiver.grpc_port}")
        stack.push_async_callback(client.channel.close)
        yield Running(assembly, metrics, client, backends)
