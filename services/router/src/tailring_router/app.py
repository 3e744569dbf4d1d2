"""The router: receivers, processors of the pipeline, and the load balancer last.

Its receivers share their port, among workers and when one is replaced by a new
configuration; `LiveAssembly` says how that goes. Whether the port was free is asked
before, here or by the supervisor.
"""

from __future__ import annotations

from importlib.metadata import version as version_of

from tailring_hashring import COMPILED as RING_COMPILED
from tailring_otlpio import (
    Assembly,
    Heritage,
    Live,
    LiveAssembly,
    Makers,
    Making,
    client_credentials,
)
from tailring_otlpwire import COMPILED as WIRE_COMPILED
from tailring_pipeline import (
    ExporterMetrics,
    FileStorageConfig,
    Store,
    Worker,
    file_storage_of,
)
from tailring_router.config import LoadBalancingConfig
from tailring_router.endpoints import endpoints
from tailring_router.exporter import LoadBalancingExporter
from tailring_router.metrics import RouterMetrics
from tailring_router.pages import add_router_pages
from tailring_runtime import lifecycle
from tailring_runtime.config import CollectorConfig, Loaded
from tailring_runtime.feed import Feed
from tailring_runtime.metrics import Metrics
from tailring_runtime.pages import Pages
from tailring_runtime.process import Identity
from tailring_runtime.process_pages import add_pipeline_page, add_service_page
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry
from tailring_runtime.zpages import ZPagesConfig, zpages_of

__all__ = ["add_pages", "assemble", "makers_of", "run", "version"]

NAME = "tailring-router"
# How long all backends have before what was not taken is written down as the rest.
PARK_S = 0.3


def version() -> str:
    """The version and the form that runs."""
    compiled = RING_COMPILED and WIRE_COMPILED
    return f"{version_of(NAME)} ({'compiled' if compiled else 'pure Python'})"


def run(loaded: Loaded, settings: Settings, feed: Feed | None = None) -> int:
    """Run the router until it is stopped; the exit code."""

    async def main() -> int:
        """Wire the stages and serve."""
        identity = Identity(NAME, version_of(NAME))
        telemetry = Telemetry(loaded.config, settings, identity=identity)
        pages = Pages()
        add_service_page(pages, identity=identity, health=telemetry.health)

        def build(config: CollectorConfig, heritage: Heritage) -> Assembly:
            """The parts of a configuration, some of which may be inherited."""
            worker = Worker(settings.worker, settings.workers)
            return assemble(
                config,
                telemetry.metrics,
                makers=makers_of(pages, worker),
                heritage=heritage,
            )

        def show(assembly: Assembly) -> None:
            """Let the debug pages tell of these parts from now on."""
            add_pages(pages, assembly, telemetry.metrics)

        live = LiveAssembly(
            loaded.config,
            live=Live(build, endpoints, show),
            telemetry=telemetry,
            settings=settings,
        )
        telemetry.health.require("backends", lambda: _ready(live.assembly))
        if settings.worker is None:
            live.claim()
        return await lifecycle.serve(
            live, telemetry=telemetry, settings=settings, feed=feed
        )

    return lifecycle.run(main, settings=settings)


def makers_of(pages: Pages, worker: Worker) -> Makers:
    """How the parts of a router are made; its debug pages are added to ``pages``."""
    return Makers(
        exporters={LoadBalancingConfig: _balancer},
        extensions={
            ZPagesConfig: zpages_of(pages, worker=worker.index),
            FileStorageConfig: file_storage_of(worker),
        },
        workers=worker.count,
    )


def assemble(
    config: CollectorConfig,
    metrics: Metrics,
    *,
    makers: Makers,
    heritage: Heritage | None = None,
) -> Assembly:
    """All parts of one router; made on the running loop, not started."""
    return Assembly(
        config, metrics=metrics, makers=makers, reuse_port=True, heritage=heritage
    )


def _balancer(model: LoadBalancingConfig, making: Making) -> LoadBalancingExporter:
    name = str(making.component)
    credentials = client_credentials(
        model.protocol.otlp,
        where=f"exporters::{name}::protocol::otlp",
        metrics=making.metrics,
        extensions=making.extensions,
    )
    metrics = RouterMetrics(making.metrics, name, signal=making.signal)
    return LoadBalancingExporter(
        model, metrics=metrics, credentials=credentials, store=_store(model, making)
    )


def _store(model: LoadBalancingConfig, making: Making) -> Store | None:
    """What keeps the level-1 queue on disk."""
    queue = model.level1_queue
    if queue is None:
        return None
    metrics = ExporterMetrics(
        making.metrics,
        str(making.component),
        signal=making.signal,
        counts_sending=False,
    )
    return making.extensions.store(
        making.component, queue, metrics=metrics, park_s=PARK_S
    )


def _balancers(assembly: Assembly) -> list[LoadBalancingExporter]:
    exporters = assembly.exporters.values()
    return [one for one in exporters if isinstance(one, LoadBalancingExporter)]


def _ready(assembly: Assembly) -> bool:
    return all(balancer.ready for balancer in _balancers(assembly))


def add_pages(pages: Pages, assembly: Assembly, metrics: Metrics) -> None:
    """Let the debug pages tell of these parts."""
    add_router_pages(pages, lambda: _balancers(assembly))
    add_pipeline_page(pages, config=assembly.config, metrics=metrics)
