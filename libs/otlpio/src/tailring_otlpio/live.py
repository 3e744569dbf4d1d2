"""A service that takes a new configuration while it runs, without losing a span.

How a new configuration is put in force:

1. Its parts are made; what has not changed goes on as it is (`heritage`).
2. What is new starts against the flow of data. A receiver that changed listens beside
   the one that it replaces (SO_REUSEPORT), so nobody is refused at the socket.
3. In one step the receivers that go on feed the new pipelines (`Inlet.point`).
4. What was replaced ends in the background, when it is empty (`retirement`).

Two queues on disk cannot have the same folder: the old one is ended between 1 and 2,
while requests wait at the door, bounded by the receivers' limits. When anything new
cannot start, the old configuration goes on; a part that was ended for it is made again.

What this does not do: ``service.telemetry`` apart from its logs, and ``health_check``,
belong to the process; a change is reported and takes a restart.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tailring_otlpio.assembly import Assembly
from tailring_otlpio.heritage import Adopting, Heritage
from tailring_otlpio.inlet import Way
from tailring_otlpio.retirement import RETIREMENTS_MAX, Retirement, end
from tailring_pipeline import Stage
from tailring_runtime import logs
from tailring_runtime.claim import check_free
from tailring_runtime.config import CollectorConfig, ConfigError, Loaded
from tailring_runtime.errors import RuntimeFailure
from tailring_runtime.feed import Reloaded
from tailring_runtime.health import State
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry, restart_needed

__all__ = ["Live", "LiveAssembly"]

Build = Callable[[CollectorConfig, Heritage], Assembly]

# A queue on disk keeps what it has not delivered by then; requests wait so long.
EXCLUSIVE_S = 3.0


@dataclass(frozen=True, slots=True)
class Live:
    """What a service says of itself: how its assembly is built, where it listens."""

    build: Build
    endpoints: Callable[[CollectorConfig], Mapping[str, str]]
    show: Callable[[Assembly], None]
    """Told of each assembly that is in force, for the debug pages."""


class LiveAssembly:
    """The assembly in force and those behind it; lives on one event loop."""

    def __init__(
        self,
        config: CollectorConfig,
        *,
        live: Live,
        telemetry: Telemetry,
        settings: Settings,
    ) -> None:
        """Makes the parts of ``config``; raises what that raises."""
        self._live = live
        self._telemetry = telemetry
        self._settings = settings
        self._log = logs.get_logger()
        self._config = config
        self._changing: asyncio.Task[Reloaded] | None = None
        self._settled = False
        self._retirement = Retirement(
            metrics=telemetry.metrics, calls_s=settings.drain_timeout_s
        )
        self.assembly = live.build(config, Heritage(None, config))
        live.show(self.assembly)
        telemetry.health.follow(lambda state: self._tell(state is State.RUNNING))

    def stages(self) -> Sequence[Sequence[Stage]]:
        """All parts as they are now, in data order."""
        *levels, last = self.assembly.stages
        return [*levels, [self._retirement], last]

    def claim(self) -> None:
        """Raise `StartError` when somebody else listens where this service will."""
        self._check_free(set())

    async def reload(self, loaded: Loaded) -> Reloaded:
        """Put a configuration in force, or say why not; one after the other."""
        running = self._telemetry.health.state is State.RUNNING
        if not running or self._settled or self._changing is not None:
            return Reloaded(("the service starts, stops or is being changed",))
        change = asyncio.get_running_loop().create_task(self._reload(loaded.config))
        self._changing = change
        try:
            await asyncio.wait({change})
        finally:
            self._changing = None
        if change.cancelled():
            return Reloaded(("the service stops",))
        return change.result()

    async def settle(self) -> None:
        """No change from now on; one that is under way is undone."""
        self._settled = True
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.wait({self._changing})

    async def _reload(self, config: CollectorConfig) -> Reloaded:
        if self._retirement.full:
            return Reloaded(
                (f"{RETIREMENTS_MAX} earlier configurations still hold data",)
            )
        try:
            changed = await self._change(config)
            changed |= self._log_as(config)
        except ConfigError as error:
            return Reloaded(tuple(map(str, error.problems)))
        except (RuntimeFailure, OSError) as error:
            return Reloaded((str(error),))
        except Exception as error:  # noqa: BLE001 - a bug in one part: the others go on
            self._log.exception("a change failed unexpectedly")
            return Reloaded((f"{type(error).__name__}: {error}",))
        # Of workers the supervisor serves these, and tells.
        alone = self._settings.worker is None
        for key in restart_needed(self._config, config) if alone else ():
            self._log.warning("a change takes a restart", key=key)
            changed = True
        self._config = config
        return Reloaded(changed=changed)

    # ------------------------------------------------------------ one change

    async def _change(
        self, config: CollectorConfig, *, without: Collection[Stage] = ()
    ) -> bool:
        """Put ``config`` in force; whether anything has changed."""
        before = self.assembly
        after = self._live.build(config, Heritage(before, config, without=without))
        fresh = _only(after.stages, beside=before.stages)
        leaving = _only(before.stages, beside=[*after.stages, without])
        exclusive = _exclusive(before, after, leaving)
        if not (any(fresh) or any(leaving) or after.adopts):
            self.assembly = after
            after.take_over()
            return False
        ending = False
        try:
            if self._settings.worker is None:
                known = set(self._live.endpoints(before.config).values())
                self._check_free(known, config)
            self._retirement.check_free(after.extensions.stored.values())
            if exclusive:
                ending = True
                await self._end(before, exclusive)
            await _start(fresh)
        except BaseException:
            after.discard()
            if ending:
                await self._restore(before, exclusive)
            raise
        self._take_over(after, _only(leaving, beside=[exclusive]))
        return True

    def _take_over(self, after: Assembly, leaving: Sequence[Sequence[Stage]]) -> None:
        before, self.assembly = self.assembly, after
        ways = after.take_over()
        self._live.show(after)
        for key, part in before.exporters.items():
            successor = after.exporters.get(key)
            if successor not in (None, part) and isinstance(part, Adopting):
                part.adopt(after.config.exporters[key[0]])
        for inlet in before.inlets.values():
            inlet.release()  # those of receivers that were replaced
        ready = self._telemetry.health.state is State.RUNNING
        self._tell(ready)
        self._retirement.retire(
            leaving, ways, ended=before.forget, stored=before.stored
        )

    async def _end(self, before: Assembly, exclusive: Sequence[Stage]) -> None:
        """End parts of the assembly in force while requests wait at the door."""
        ways: list[Way] = [inlet.hold() for inlet in before.inlets.values()]
        try:
            async with asyncio.timeout(EXCLUSIVE_S):
                for way in ways:
                    await way.wait_idle()
        except TimeoutError:
            self._log.warning("requests in flight are refused for a change")
        await end([exclusive], timeout_s=EXCLUSIVE_S)
        for part in exclusive:
            before.forget(part)

    async def _restore(self, before: Assembly, ended: Sequence[Stage]) -> None:
        """Make what was ended for a change that failed again."""
        try:
            for part in ended:
                await part.terminate()
            await self._change(before.config, without=ended)
        except Exception:  # noqa: BLE001 - nothing is left to go on with
            self._log.exception("the old configuration cannot go on, stopping")
            signal.raise_signal(signal.SIGTERM)
        finally:  # also when the process stops meanwhile: nobody waits in vain
            for inlet in before.inlets.values():
                inlet.release()

    def _check_free(
        self, known: set[str], config: CollectorConfig | None = None
    ) -> None:
        endpoints = set(self._live.endpoints(config or self._config).values())
        check_free(
            endpoint
            for endpoint in sorted(endpoints - known)
            # A unix socket, or a port that the system chooses.
            if endpoint.rpartition(":")[2].strip("0").isdigit()
        )

    def _log_as(self, config: CollectorConfig) -> bool:
        wanted = config.service.telemetry.logs.settings(worker=self._settings.worker)
        before = self._config.service.telemetry.logs
        if before.settings(worker=self._settings.worker) == wanted:
            return False
        logs.configure(wanted)
        return True

    def _tell(self, ready: bool) -> None:
        for receiver in self.assembly.receivers.values():
            receiver.set_ready(ready)


async def _start(groups: Sequence[Sequence[Stage]]) -> None:
    """Start parts against the flow of data; all or none."""
    touched: list[Stage] = []
    try:
        for group in reversed(groups):
            for part in reversed(group):
                touched.insert(0, part)
                await part.start()
    except BaseException:
        for part in touched:
            await part.terminate()
        raise


def _only(
    groups: Sequence[Sequence[Stage]], *, beside: Sequence[Collection[Stage]]
) -> list[list[Stage]]:
    """The parts of ``groups`` that are not among the others."""
    others = {id(part) for group in beside for part in group}
    return [[part for part in group if id(part) not in others] for group in groups]


def _exclusive(
    before: Assembly, after: Assembly, leaving: Sequence[Sequence[Stage]]
) -> list[Stage]:
    """The exporters that must end before those that replace them can start."""
    left = {id(part) for group in leaving for part in group}
    return [
        part
        for key, part in before.exporters.items()
        if id(part) in left
        and (was := before.extensions.stored.get(key)) is not None
        and (will_be := after.extensions.stored.get(key)) is not None
        and was.shares_with(will_be)
    ]
