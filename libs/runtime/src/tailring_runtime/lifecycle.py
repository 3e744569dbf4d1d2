"""Start against the flow of data, drain along it.

Rules:

* Stages are given in data order: receivers first, exporters last. Stages that stand
  side by side (two receivers, two exporters) are one group and are drained together.
* They start in reverse, so that nobody is sent data before he can take it.
* A drain goes group by group: close, then join. A group is closed only when everything
  before it has flushed into it. At the end every stage is terminated.
* All joins together have one deadline. Receivers get at most half of the time, so that
  a client that hangs cannot cost the others their flush. What stands between them and
  the last group gets the rest but a small reserve: while it has something to deliver,
  the exporters stay open, retries included. What a join does not need goes to the next.
* Stages that break their word and overrun do so within one `OVERRUN_MAX_S`, all
  together, and never in the reserve of those behind them.
* The first SIGTERM or SIGINT begins the drain; the second abandons it at once.
* A stop is clean when nothing acknowledged was lost (`tailring_runtime.losses`) and no
  stage failed. The deadline alone is no failure: who waited has been refused.

    starting --> running --(signal)--> draining --(clean)--> stopped     exit code 0
        \\            \\                     \\--(signal, loss, failure)--> stopped  1
         \\--(a stage cannot start)--> stopped                                   1
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from tailring_runtime.config.collector import Loaded
from tailring_runtime.feed import Feed, Reloaded
from tailring_runtime.health import State
from tailring_runtime.logs import get_logger
from tailring_runtime.losses import Losing, Loss
from tailring_runtime.process import (
    loop_factory,
    tune_collector,
    use_all_descriptors,
)
from tailring_runtime.settings import Settings
from tailring_runtime.tasks import TaskSet
from tailring_runtime.telemetry import Telemetry

__all__ = [
    "Changing",
    "Hurrying",
    "Stage",
    "Stages",
    "StopRequests",
    "run",
    "serve",
    "signals",
]

# How much longer than the deadline the whole stop may take: with the default deadline
# of 25 s it ends before the 30 s after which Kubernetes kills.
OVERRUN_MAX_S = 3.0
# What is kept for the last group when the groups before it need all the time.
RESERVE_MAX_S = 2.0
RESERVE_SHARE = 0.2
# Even when no time is left a stage may do what is done in a moment.
MOMENT_S = 0.1


class Stage(Protocol):
    """A part with a life; the pipeline package says what each word promises."""

    async def start(self) -> None:
        """Begin work. Raises when it can never work."""

    def close(self) -> None:
        """Stop intake at once."""

    async def join(self, timeout_s: float) -> None:
        """Flush what is held, for at most ``timeout_s``."""

    async def terminate(self) -> None:
        """Abandon what is left, release everything."""


@runtime_checkable
class Hurrying(Protocol):
    """A stage whose waits between attempts can be cut short."""

    def hurry(self) -> None:
        """A drain has begun: data still comes and goes, but waits are short now."""


# Data order; a tuple or list inside holds stages that stand side by side.
Stages = Sequence[Stage | Sequence[Stage]]


class Changing(Protocol):
    """The stages of a service that takes new configurations while it runs."""

    def stages(self) -> Stages:
        """As they are now, in data order."""

    async def settle(self) -> None:
        """Let them change no more; a change that is under way is undone."""

    async def reload(self, loaded: Loaded) -> Reloaded:
        """Put a configuration in force, or say why not; raises nothing."""


class _Fixed:
    """Stages that never change."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def stages(self) -> Stages:
        return self._stages

    async def settle(self) -> None:
        pass


class StopRequests:
    """Counts how often the process was asked to stop: drain, then at once."""

    def __init__(self) -> None:
        self._drain = asyncio.Event()
        self._abandon = asyncio.Event()

    def request(self) -> None:
        """Ask once more."""
        (self._abandon if self._drain.is_set() else self._drain).set()

    @property
    def asked(self) -> bool:
        """Whether a drain was asked for."""
        return self._drain.is_set()

    async def wait_drain(self) -> None:
        """Return at the first request."""
        await self._drain.wait()

    async def wait_abandon(self) -> None:
        """Return at the second request."""
        await self._abandon.wait()


def run(main: Callable[[], Coroutine[Any, Any, int]], *, settings: Settings) -> int:
    """Run ``main`` on a new event loop; its result is the exit code of the process."""
    use_all_descriptors()
    factory = loop_factory(uvloop=settings.uvloop)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(_log_loop_error)
        return runner.run(main())


async def serve(
    stages: Stages | Changing,
    *,
    telemetry: Telemetry,
    settings: Settings,
    stop: StopRequests | None = None,
    feed: Feed | None = None,
) -> int:
    """Start ``stages``, work until asked to stop, drain; the exit code.

    ``stop`` (made here when not given) is bound to SIGTERM and SIGINT meanwhile.
    ``feed`` runs beside all of it. A worker whose feed fails drains and ends with 1: it
    is out of its supervisor's sight and reach, who starts another. A service without a
    supervisor goes on.
    Raises `RuntimeFailure` or OSError of the stage that could not start, after the
    others were terminated.
    """
    requests = stop if stop is not None else StopRequests()
    changing = _Fixed(stages) if isinstance(stages, Sequence) else stages
    life = _Life(changing, telemetry, settings, requests=requests)
    beside = TaskSet("feed", metrics=telemetry.metrics)
    with signals(requests.request):
        try:
            await telemetry.start()
            if feed is not None:
                reload = None if isinstance(stages, Sequence) else stages.reload
                fed = beside.spawn(feed.follow(telemetry, reload), name="feed")
                fed.add_done_callback(partial(life.unfed, settings.worker))
            return await life.live()
        finally:
            telemetry.health.move(State.STOPPED)
            await beside.close()
            await telemetry.stop()


class _Life:
    """One walk from start to stop."""

    def __init__(
        self,
        changing: Changing | _Fixed,
        telemetry: Telemetry,
        settings: Settings,
        *,
        requests: StopRequests,
    ) -> None:
        self._changing = changing
        self._groups: list[list[Stage]] = []
        self._health = telemetry.health
        self._settings = settings
        self._requests = requests
        self._log = get_logger()
        self._touched: list[Stage] = []
        self._failed = False

    async def live(self) -> int:
        try:
            started = await _first(self._start(), self._requests.wait_drain())
        except BaseException:
            await self._terminate()
            raise
        if not started:
            self._log.warning("stopped while starting")
            await self._terminate()
            return 1 if self._failed else 0
        tune_collector(self._settings.gc_threshold)
        self._health.move(State.RUNNING)
        self._log.info("service started")
        await self._requests.wait_drain()
        return await self._stop()

    def unfed(self, worker: int | None, fed: asyncio.Task[None]) -> None:
        """The feed has ended; the set that it belongs to has told why."""
        if worker is None or fed.cancelled() or fed.exception() is None:
            return
        self._log.error("worker is cut off from its supervisor and ends")
        self._failed = True
        if not self._requests.asked:
            self._requests.request()

    def _look(self) -> None:
        stages = self._changing.stages()
        self._groups = [list(g) if isinstance(g, Sequence) else [g] for g in stages]

    async def _start(self) -> None:
        self._look()
        for group in reversed(self._groups):
            for stage in reversed(group):
                # A start that fails half way has something to terminate as well.
                self._touched.insert(0, stage)
                await stage.start()

    async def _stop(self) -> int:
        self._health.move(State.DRAINING)
        timeout_s = self._settings.drain_timeout_s
        self._log.info("draining", timeout_s=timeout_s)
        await self._changing.settle()
        self._look()
        self._touched = [stage for group in self._groups for stage in group]
        before = self._losses()
        end_s = time.monotonic() + timeout_s
        drained = await _first(self._drain(end_s), self._requests.wait_abandon())
        if not drained:
            self._log.warning("second signal, the drain is abandoned")
        elif time.monotonic() >= end_s:
            self._log.warning("the drain ran into its deadline")
        await self._terminate(end_s)
        lost = self._log_losses(before)
        clean = drained and not lost and not self._failed
        self._log.info("service stopped", clean=clean)
        return 0 if clean else 1

    async def _drain(self, end_s: float) -> None:
        for stage in self._touched:
            if isinstance(stage, Hurrying):
                self._call(stage.hurry, stage)
        for i, group in enumerate(self._groups):
            for stage in group:
                self._call(stage.close, stage)
            left_s = max(0.0, end_s - time.monotonic())
            share_s = self._share_s(i, left_s)
            give_up_s = share_s + self._overrun_s(i, left_s - share_s)
            await asyncio.gather(
                *(self._join(stage, share_s, give_up_s) for stage in group)
            )

    def _share_s(self, i: int, left_s: float) -> float:
        """How much of the time that is left the group at ``i`` may use."""
        if i == len(self._groups) - 1:
            return left_s
        if i == 0:
            return left_s / 2
        whole_s = self._settings.drain_timeout_s
        reserve_s = min(RESERVE_MAX_S, whole_s * RESERVE_SHARE)
        return max(left_s - reserve_s, left_s / 2)

    def _overrun_s(self, i: int, others_s: float) -> float:
        """How long a stage of that group is waited for beyond what it was given."""
        if i == len(self._groups) - 1:
            return OVERRUN_MAX_S / 2
        return max(MOMENT_S, min(OVERRUN_MAX_S, others_s) / 2)

    def _call(self, method: Callable[[], None], stage: Stage) -> None:
        try:
            method()
        except Exception:  # noqa: BLE001 - the other stages must still drain
            self._fail("stage failed to close", stage)

    async def _join(self, stage: Stage, timeout_s: float, give_up_s: float) -> None:
        try:
            async with asyncio.timeout(give_up_s):
                await stage.join(timeout_s)
        except Exception:  # noqa: BLE001 - the other stages must still drain
            self._fail("stage failed to flush", stage)

    async def _terminate(self, end_s: float = math.inf) -> None:
        until_s = min(time.monotonic(), end_s) + OVERRUN_MAX_S
        for stage in self._touched:
            # One that hangs leaves as much for the others as it takes.
            share_s = (until_s - time.monotonic()) / 2
            try:
                async with asyncio.timeout(max(share_s, MOMENT_S)):
                    await stage.terminate()
            except Exception:  # noqa: BLE001 - nor must it keep the process
                self._fail("stage failed to terminate", stage)

    def _fail(self, event: str, stage: Stage) -> None:
        self._failed = True
        self._log.exception(event, stage=_name(stage))

    def _losses(self) -> dict[Losing, Loss]:
        return {one: one.loss for one in self._touched if isinstance(one, Losing)}

    def _log_losses(self, before: dict[Losing, Loss]) -> bool:
        """One line for each stage that lost something; whether any did."""
        lost = False
        for stage, loss in self._losses().items():
            grown = loss.since(before[stage])
            if grown:
                lost = True
                counts = {"spans": grown.spans, "traces": grown.traces}
                told = {what: count for what, count in counts.items() if count}
                self._log.error(
                    "acknowledged data was lost by stopping", stage=stage.name, **told
                )
        return lost


async def _first(
    work: Coroutine[Any, Any, None], interrupt: Coroutine[Any, Any, None]
) -> bool:
    """Do ``work`` unless ``interrupt`` returns first; whether it was done."""
    loop = asyncio.get_running_loop()
    doing = loop.create_task(work)
    waiting = loop.create_task(interrupt)
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        doing.cancel()
        await asyncio.wait({doing, waiting})
    if doing.cancelled():
        return False
    doing.result()
    return True


@contextlib.contextmanager
def signals(handler: Callable[[], None]) -> Iterator[None]:
    """Call ``handler`` at each SIGTERM and SIGINT meanwhile."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    get_logger().error(
        "event loop error",
        what=context.get("message", ""),
        exc_info=context.get("exception"),
    )


def _name(stage: Stage) -> str:
    return stage.name if isinstance(stage, Losing) else type(stage).__name__
