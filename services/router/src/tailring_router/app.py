"""The router: receivers, processors of the pipeline, and the load balancer last."""

from __future__ import annotations

from importlib.metadata import version as version_of

from tailring_hashring import COMPILED as RING_COMPILED
from tailring_otlpio import Assembly, Extensions, Part, client_credentials
from tailring_otlpwire import COMPILED as WIRE_COMPILED
from tailring_pipeline import Signal
from tailring_router.config import LoadBalancingConfig
from tailring_router.exporter import LoadBalancingExporter
from tailring_router.metrics import EndpointSeries, RouterMetrics
from tailring_router.pages import add_router_pages
from tailring_runtime import lifecycle
from tailring_runtime.config import CollectorConfig, ComponentId, Loaded
from tailring_runtime.feed import Feed
from tailring_runtime.health import Health
from tailring_runtime.metrics import Metrics
from tailring_runtime.pages import Pages
from tailring_runtime.process import Identity
from tailring_runtime.process_pages import add_pipeline_page, add_service_page
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry
from tailring_runtime.zpages import ZPagesConfig, zpages_of

__all__ = ["Routing", "run", "version"]

NAME = "tailring-router"


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
        shared = settings.worker is not None
        app = Routing(loaded.config, telemetry.metrics, reuse_port=shared)
        app.follow(telemetry.health)
        add_service_page(app.pages, identity=identity, health=telemetry.health)
        stages = app.assembly.stages
        return await lifecycle.serve(
            stages, telemetry=telemetry, settings=settings, feed=feed
        )

    return lifecycle.run(main, settings=settings)


class Routing:
    """All parts of one router; made on the running loop, not started."""

    def __init__(
        self, config: CollectorConfig, metrics: Metrics, *, reuse_port: bool = False
    ) -> None:
        endpoints = EndpointSeries(metrics)
        self.pages = Pages()
        makers = {ZPagesConfig: zpages_of(self.pages)}
        extensions = Extensions(config, metrics=metrics, makers=makers)

        def balancer(
            component: ComponentId, model: LoadBalancingConfig, signal: Signal
        ) -> Part:
            credentials = client_credentials(
                model.protocol.otlp,
                where=f"exporters::{component}::protocol::otlp",
                metrics=metrics,
                extensions=extensions,
            )
            return LoadBalancingExporter(
                model,
                metrics=RouterMetrics(
                    metrics, str(component), signal=signal, endpoints=endpoints
                ),
                credentials=credentials,
            )

        self.assembly = Assembly(
            config,
            metrics=metrics,
            exporters={LoadBalancingConfig: balancer},
            extensions=extensions,
            reuse_port=reuse_port,
        )
        add_router_pages(self.pages, self._balancers)
        add_pipeline_page(self.pages, config=config, metrics=metrics)

    @property
    def ready(self) -> bool:
        """True when every load balancer has a backend to send to."""
        return all(balancer.ready for balancer in self._balancers())

    def follow(self, health: Health) -> None:
        """Be ready while there are backends to send to."""
        self.assembly.follow(health)
        health.require("backends", lambda: self.ready)

    def _balancers(self) -> list[LoadBalancingExporter]:
        exporters = self.assembly.exporters.values()
        return [one for one in exporters if isinstance(one, LoadBalancingExporter)]
