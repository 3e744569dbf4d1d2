"""What one process shows of itself: its metrics, its health, and where.

`Telemetry` is the first thing that a service makes and the last that it stops, so that
health is answered (503) while the service starts and drains.

An address that the configuration names must be had, or the start fails. The default
ports (8888, 13133) are a courtesy: when one is taken, because another collector runs on
the machine, that is a warning. A worker serves neither: its supervisor does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from tailring_runtime.config.collector import CollectorConfig
from tailring_runtime.config.compare import same
from tailring_runtime.config.health_check import HealthCheckConfig
from tailring_runtime.config.telemetry import PrometheusReaderConfig
from tailring_runtime.errors import StartError
from tailring_runtime.exposition import CONTENT_TYPE, Exposition, expose
from tailring_runtime.health import Health, health_app
from tailring_runtime.log_outputs import LOST_LINES, LOST_LOG_LINES
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.process import Identity, add_process_metrics
from tailring_runtime.series import Family
from tailring_runtime.settings import Settings
from tailring_runtime.web import WebServer

__all__ = ["Gather", "Telemetry", "exposition_of", "restart_needed"]

Gather = Callable[[], Awaitable[Sequence[Family]]]


class Telemetry:
    """The metrics and the health of one process, and the servers that show them."""

    def __init__(
        self, config: CollectorConfig, settings: Settings, *, identity: Identity
    ) -> None:
        self.metrics = Metrics()
        self.health = Health()
        # A supervisor shows its workers' metrics as well, which it has to ask for.
        self.gather: Gather = self._own
        self._log = get_logger()
        self._identity = identity
        self._resource = identity.resource(config.service.telemetry.resource)
        add_process_metrics(self.metrics)
        self.metrics.counter_callback(LOST_LOG_LINES, lambda: LOST_LINES.value)
        self._metrics_servers = self._make_metrics_servers(config, settings)
        self._health_servers = self._make_health_servers(config, settings)

    @property
    def metrics_addresses(self) -> tuple[str, ...]:
        """Where ``/metrics`` is served, as bound."""
        return tuple(server.address for server, _ in self._metrics_servers)

    @property
    def health_addresses(self) -> tuple[str, ...]:
        """Where health is served, as bound."""
        return tuple(server.address for server, _ in self._health_servers)

    async def start(self) -> None:
        """Serve. Raises `StartError` when an address that was written is taken."""
        self._metrics_servers = await self._start(self._metrics_servers, "metrics")
        self._health_servers = await self._start(self._health_servers, "health")

    async def stop(self) -> None:
        """Stop serving. Safe twice and unstarted."""
        for server, _ in (*self._metrics_servers, *self._health_servers):
            await server.stop()

    async def _own(self) -> Sequence[Family]:
        return self.metrics.families()

    async def _start(
        self, servers: list[tuple[WebServer, bool]], what: str
    ) -> list[tuple[WebServer, bool]]:
        started = []
        for server, written in servers:
            try:
                await server.start()
            except StartError as error:
                if written:
                    await self.stop()
                    raise
                self._log.warning(
                    "default port is taken, going on without it",
                    what=what,
                    reason=str(error),
                )
            else:
                self._log.info("serving", what=what, address=server.address)
                started.append((server, written))
        return started

    def _make_metrics_servers(
        self, config: CollectorConfig, settings: Settings
    ) -> list[tuple[WebServer, bool]]:
        if settings.worker is not None:
            return []
        readers = config.service.telemetry.metrics.endpoints()
        if readers is not None:
            return [(self._reader(r, r.address), True) for r in readers]
        if not settings.metrics_endpoint:
            return []
        address = settings.metrics_endpoint
        reader = PrometheusReaderConfig(host="", port=0)
        return [(self._reader(reader, address), _written(settings, "metrics"))]

    def _reader(self, reader: PrometheusReaderConfig, address: str) -> WebServer:
        exposition = exposition_of(
            reader, self._resource, version=self._identity.version
        )

        async def answer(_request: web.Request) -> web.Response:
            text = expose(await self.gather(), exposition)
            return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

        app = web.Application()
        app.router.add_get("/metrics", answer)
        return WebServer(app, address)

    def _make_health_servers(
        self, config: CollectorConfig, settings: Settings
    ) -> list[tuple[WebServer, bool]]:
        if settings.worker is not None:
            return []
        checks = _checks(config)
        if checks:
            return [
                (WebServer(health_app(self.health, check), check.endpoint), True)
                for check in checks
            ]
        if not settings.health_endpoint:
            return []
        default = HealthCheckConfig(endpoint=settings.health_endpoint)
        server = WebServer(health_app(self.health, default), default.endpoint)
        return [(server, _written(settings, "health"))]


def restart_needed(before: CollectorConfig, after: CollectorConfig) -> tuple[str, ...]:
    """The keys of what a process shows that differ and that it cannot change alive."""
    was, will = before.service.telemetry, after.service.telemetry
    changed = {
        "service::telemetry::metrics": not same(was.metrics, will.metrics),
        "service::telemetry::resource": not same(was.resource, will.resource),
        "extensions::health_check": not same(_checks(before), _checks(after)),
    }
    return tuple(key for key, differs in changed.items() if differs)


def _checks(config: CollectorConfig) -> list[HealthCheckConfig]:
    models = [config.extensions[one] for one in config.service.extensions]
    return [model for model in models if isinstance(model, HealthCheckConfig)]


def _written(settings: Settings, what: str) -> bool:
    # TAILRING_HEALTH_ENDPOINT is written too, only not in the file.
    return f"{what}_endpoint" in settings.model_fields_set


def exposition_of(
    reader: PrometheusReaderConfig, resource: dict[str, str], *, version: str
) -> Exposition:
    """How ``reader`` wants names and labels written, given the process's resource."""
    picks = reader.with_resource_constant_labels.picks
    return Exposition(
        without_type_suffix=reader.without_type_suffix,
        without_units=reader.without_units,
        without_scope_info=reader.without_scope_info,
        constant_labels=tuple(
            (_label(name), value) for name, value in resource.items() if picks(name)
        ),
        target_info=()
        if reader.without_target_info
        else tuple((_label(name), value) for name, value in resource.items()),
        scope=("tailring", version),
    )


def _label(attribute: str) -> str:
    # OpenTelemetry's rule for Prometheus: what is no letter or digit becomes "_".
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in attribute)
    return f"key_{text}" if text[:1].isdigit() else text
