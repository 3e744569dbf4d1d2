"""A new configuration for a service that runs: read, judged, tried, counted.

What is bad is refused with all its problems in the log, and the old configuration goes
on. What is the same changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from tailring_runtime.changes import Changes
from tailring_runtime.command import ServiceCommand
from tailring_runtime.config import ConfigError
from tailring_runtime.environment import environment
from tailring_runtime.feed import Reload, Reloaded
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics, MetricSpec
from tailring_runtime.plan import Origin, read
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry

__all__ = ["FileFeed", "ReloadBooks"]

RELOADS = MetricSpec(
    "tailring_config_reloads",
    "counter",
    "New configurations by what became of them: applied, unchanged, refused (it is"
    " bad) or failed (it could not be put in force). After the last two the old one"
    " goes on and the log says why.",
    labels=("result",),
    unit="{reloads}",
)
LAST_GOOD = MetricSpec(
    "tailring_config_last_good_timestamp_seconds",
    "gauge",
    "When the configuration that is in force was read, in seconds since 1970.",
    unit="s",
    across="max",
)
RESULTS = ("applied", "unchanged", "refused", "failed")


class ReloadBooks:
    """Counts and logs what became of each new configuration."""

    def __init__(self, metrics: Metrics) -> None:
        self._log = get_logger()
        self._counters = {
            result: metrics.counter(RELOADS, result=result) for result in RESULTS
        }
        self._last_good = metrics.gauge(LAST_GOOD)
        self._stamp()

    def refused(self, problems: Sequence[str], warnings: Sequence[str] = ()) -> None:
        """It is bad."""
        self._counters["refused"].add()
        self._tell("new configuration is refused, the old one goes on", problems)
        self.warn(warnings)

    def tried(self, outcome: Reloaded) -> None:
        """It was good; ``outcome`` says what the service made of it."""
        if outcome.problems:
            self._counters["failed"].add()
            text = "new configuration cannot be put in force, the old one goes on"
            self._tell(text, outcome.problems)
            return
        self._stamp()
        if outcome.changed:
            self._counters["applied"].add()
            self._log.info("new configuration is in force")
        else:
            self._counters["unchanged"].add()
            self._log.info("configuration has not changed")

    def warn(self, warnings: Sequence[str]) -> None:
        """What the operator should know of a good one nevertheless."""
        for warning in warnings:
            self._log.warning("configuration warning", detail=warning)

    def _tell(self, event: str, problems: Sequence[str]) -> None:
        self._log.error(event, problems=list(problems))

    def _stamp(self) -> None:
        self._last_good.set(datetime.now(UTC).timestamp())


class FileFeed:
    """Reads the configuration of this process again when there is a reason."""

    def __init__(
        self, command: ServiceCommand, origin: Origin, settings: Settings
    ) -> None:
        self._command = command
        self._origin = origin
        self._poll_s = settings.reload_poll_s
        self._log = get_logger()

    async def follow(self, telemetry: Telemetry, reload: Reload | None) -> None:
        """Until cancelled."""
        # Of a service that takes no new configuration no file is looked at.
        poll_s = self._poll_s if reload is not None else 0.0
        changes = Changes(self._origin.uris, poll_s=poll_s)
        books = ReloadBooks(telemetry.metrics) if reload is not None else None
        with changes.following():
            while True:
                reason = await changes.wait()
                if reload is None or books is None:
                    self._log.warning(
                        "SIGHUP: this service takes a new configuration only when it is"
                        " restarted; nothing has changed"
                    )
                    continue
                self._log.info("reading the configuration again", reason=reason)
                await self._take(reload, books)

    async def _take(self, reload: Reload, books: ReloadBooks) -> None:
        try:
            loaded = await asyncio.to_thread(
                read, self._command, self._origin, environ=environment()
            )
        except ConfigError as error:
            books.refused(tuple(map(str, error.problems)), error.warnings)
            return
        books.warn(loaded.warnings)
        books.tried(await reload(loaded))
