"""Several worker processes as one service: ``--workers N``.

    supervisor --+-- worker 0     every worker is the whole service and listens on the
                 +-- worker 1     same addresses (SO_REUSEPORT); the kernel spreads
                 `-- ...          connections over them

Rules:

* The supervisor touches no data and imports no component: a child reads the
  configuration (`plan`). Workers are new programs, never forks: gRPC does not survive
  one.
* Before the workers share an address it is bound once alone, so that one that is taken
  is one error (`claim`).
* A worker that dies is started again with the configuration that is in force
  (`restarts`). Until all have run once, and in a crash loop, its end is the end of all,
  with its exit code.
* Metrics and health of the workers are shown as one service's. It becomes ready when
  all workers are, so that the first connections find all of them; then it is ready
  while one is, because the kernel gives connections to those that listen.
* SIGHUP, or a changed file, gives a new configuration to all workers or to none
  (`rollout`).
* SIGTERM and SIGINT drain all workers at once, a second signal stops them at once. The
  exit code is the worst of theirs. A worker whose supervisor is gone drains and ends
  (`channel.leave_with`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Coroutine
from importlib.metadata import version as version_of
from typing import Any

from tailring_runtime import logs
from tailring_runtime.changes import Changes
from tailring_runtime.claim import check_free
from tailring_runtime.config.compare import same
from tailring_runtime.crew import Child, describe_exit, exit_code
from tailring_runtime.health import State
from tailring_runtime.lifecycle import OVERRUN_MAX_S, StopRequests, signals
from tailring_runtime.merge import Departed, labelled, merged
from tailring_runtime.metrics import MetricSpec
from tailring_runtime.plan import MakePlan, Origin, Plan, Refusal, Work
from tailring_runtime.process import Identity
from tailring_runtime.reload import ReloadBooks
from tailring_runtime.restarts import Restarts
from tailring_runtime.rollout import roll_out
from tailring_runtime.series import Family
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry, restart_needed

__all__ = ["RESTARTS", "WORKERS", "Supervisor"]

# How long a worker may take to tell its metrics before its last ones stand for it.
METRICS_TIMEOUT_S = 2.0
# What a stop may take beyond the workers' own deadline before they are killed.
KILL_MARGIN_S = 2.0
# Between two looks at the workers: their ends and beats have no event in common.
LOOK_S = 0.05

WORKERS = MetricSpec(
    "tailring_workers",
    "gauge",
    "Worker processes that are ready; below the number configured one is restarting.",
    unit="{workers}",
)
RESTARTS = MetricSpec(
    "tailring_worker_restarts",
    "counter",
    "Workers that died and were started again; any growth is worth a look at the log.",
    unit="{restarts}",
)


class Supervisor:
    """Keeps the workers of one plan running; lives on one event loop."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        *,
        origin: Origin,
        service: str,
        module: str,
    ) -> None:
        """``service`` is the command's name, ``module`` holds its `COMMAND`."""
        self._origin = origin
        self.plan = plan
        self._settings = settings
        self._module = module
        self._service = service
        self._log = logs.get_logger()
        self._stop = StopRequests()
        self._places: list[Child | None] = [None] * settings.workers
        self._codes: list[int] = []
        # Whether the workers were told to stop.
        self._told = False
        self._departed = Departed()
        identity = Identity(service, version_of(service))
        self.telemetry = Telemetry(plan.shell, settings, identity=identity)
        self.telemetry.gather = self._gather
        self.telemetry.health.require("workers", lambda: self._ready_workers() > 0)
        self.telemetry.metrics.gauge_callback(WORKERS, self._ready_workers)
        self._books = ReloadBooks(self.telemetry.metrics)
        self._restarts = self.telemetry.metrics.counter(RESTARTS)

    @property
    def children(self) -> list[Child]:
        """The workers that live and stay, by their place."""
        return [child for child in self._processes if child.stays]

    async def run(self) -> int:
        """Until stopped, or until a worker's end is the end of all; the exit code.

        Raises `RuntimeFailure` when an address cannot be had.
        """
        changes = Changes(self._origin.uris, poll_s=self._settings.reload_poll_s)
        with signals(self._stop.request), changes.following():
            try:
                check_free(self.plan.endpoints)
                await self.telemetry.start()
                await self._work(changes)
            finally:
                self.telemetry.health.move(State.STOPPED)
                await self.telemetry.stop()
        code = max(map(exit_code, self._codes), default=0)
        self._log.info("supervisor stopped", exit_code=code)
        return code

    async def _work(self, changes: Changes) -> None:
        async with asyncio.TaskGroup() as group:
            places = range(len(self._places))
            keeps = {group.create_task(self._keep(place)) for place in places}
            follow = group.create_task(self._follow(changes))
            await self._watch()
            follow.cancel()
            await self._drain(keeps)

    # ------------------------------------------------------------ one place

    async def _keep(self, place: int) -> None:
        """Have a worker in that place until the stop."""
        restarts = Restarts(random=random.Random())
        while not self._stop.asked:
            try:
                child = await self._start(place)
            except OSError as error:
                returned, how = 1, f"no process could be made: {error}"
                wait_s: float | None = restarts.not_made()
            else:
                returned = await self._live(place, child)
                how = describe_exit(returned)
                wait_s = restarts.died(ran_s=child.ran_s, was_running=child.was_running)
            if self._stop.asked:
                return
            if wait_s is None or not self._started:
                self._log.error("worker ended, stopping", worker=place, how=how)
                self._codes.append(returned or 1)
                self._stop.request()
                return
            self._log.error(
                "worker ended, starting it again", worker=place, how=how, wait_s=wait_s
            )
            self._restarts.add()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait_drain(), wait_s)

    async def _start(self, place: int) -> Child:
        settings = self._settings.for_worker(place)
        name = f"{self._service}-{place}"
        child = await Child.start(self._module, name)
        # No await from here on: whoever changes the plan later finds it in its place.
        child.payload = self.plan.payload
        child.give(Work(settings, child.payload))
        self._places[place] = child
        self._log.info("worker started", worker=place, pid=child.pid)
        if self._told:  # while it was made
            child.send_signal(signal.SIGTERM)
        return child

    async def _live(self, place: int, child: Child) -> int:
        """Until it has ended; how, as `subprocess` tells it."""
        try:
            await child.listen()
        except TimeoutError:
            self._log.error("worker is silent and is killed", pid=child.pid)
            child.send_signal(signal.SIGKILL)
        returned = await child.wait()
        self._places[place] = None
        self._departed.add(child.families, living=self._families())
        if self._stop.asked:
            # A stop before it could take the signal is a clean one.
            early = self._told and not child.was_running
            clean = early and returned == -signal.SIGTERM
            self._codes.append(0 if clean else returned)
        return returned

    # ------------------------------------------------------------ reloading

    async def _follow(self, changes: Changes) -> None:
        """Give the workers every new configuration, one after the other."""
        await self._all_running()
        while True:
            reason = await changes.wait()
            self._log.info("reading the configuration again", reason=reason)
            plan = await make_plan(self._module, self._origin)
            if isinstance(plan, int):
                self._books.refused((f"reading it ended with exit code {plan}",))
            elif isinstance(plan, Refusal):
                self._books.refused(plan.problems, plan.warnings)
            else:
                await self._take(plan)

    async def _take(self, plan: Plan) -> None:
        self._books.warn(plan.warnings)
        before = self.plan.shell
        outcome = await roll_out(self, plan)
        self._books.tried(outcome)
        if outcome.problems:
            return
        for key in restart_needed(before, plan.shell):
            self._log.warning("a change takes a restart", key=key)
        was, wanted = (it.service.telemetry.logs for it in (before, plan.shell))
        if not same(was, wanted):
            logs.configure(wanted.settings())

    async def wait_change(self) -> None:
        """Return when other workers may live than now."""
        await asyncio.sleep(LOOK_S)

    def replace(self, child: Child) -> None:
        """End that worker, so that another one starts with the plan."""
        self._log.error("worker cannot go back and is replaced", pid=child.pid)
        child.end(grace_s=self._drain_limit_s)

    # ------------------------------------------------------------ all of them

    @property
    def _processes(self) -> list[Child]:
        """All that there are, those that are about to end included."""
        return [child for child in self._places if child is not None]

    @property
    def _drain_limit_s(self) -> float:
        return self._settings.drain_timeout_s + OVERRUN_MAX_S + KILL_MARGIN_S

    @property
    def _started(self) -> bool:
        return self.telemetry.health.state is not State.STARTING

    async def _watch(self) -> None:
        """Ready when all workers are; until told to stop."""
        await _first(self._all_running(), self._stop.wait_drain())
        if not self._stop.asked:
            self.telemetry.health.move(State.RUNNING)
            self._log.info("service started", workers=len(self._places))
        await self._stop.wait_drain()

    async def _drain(self, keeps: set[asyncio.Task[None]]) -> None:
        """Until every place is given up."""
        if self._started:
            self.telemetry.health.move(State.DRAINING)
        self._log.info("draining workers", timeout_s=self._settings.drain_timeout_s)
        self._told = True
        self._signal(signal.SIGTERM)
        abandon = self._stop.wait_abandon()
        await _first(asyncio.wait(keeps, timeout=self._drain_limit_s), abandon)
        if all(keep.done() for keep in keeps):
            return
        self._log.warning("workers are stopped at once")
        self._signal(signal.SIGTERM)
        _, left = await asyncio.wait(keeps, timeout=OVERRUN_MAX_S + KILL_MARGIN_S)
        while left:
            self._signal(signal.SIGKILL)
            _, left = await asyncio.wait(left, timeout=KILL_MARGIN_S)

    async def _all_running(self) -> None:
        while not all(it and it.was_running for it in self._places):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

    def _signal(self, number: signal.Signals) -> None:
        for child in self._processes:
            child.send_signal(number)

    # ------------------------------------------------------------ what is shown

    def _ready_workers(self) -> int:
        return sum(child.ready for child in self.children)

    async def _gather(self) -> list[Family]:
        """The metrics of all workers together, and our own."""
        await asyncio.gather(*map(self._refresh, self.children))
        return self._families()

    async def _refresh(self, child: Child) -> None:
        # One that does not answer is shown as it was.
        with contextlib.suppress(TimeoutError, EOFError):
            child.families = await child.ask("metrics", timeout_s=METRICS_TIMEOUT_S)

    def _families(self) -> list[Family]:
        workers = [
            labelled(child.families, str(place))
            for place, child in enumerate(self._places)
            if child is not None
        ]
        own = labelled(self.telemetry.metrics.families(), "supervisor")
        return self._departed.beside(merged([*workers, own]))


async def _first(*works: Coroutine[Any, Any, Any]) -> None:
    """Until one of them is done; the others are cancelled."""
    loop = asyncio.get_running_loop()
    tasks = {loop.create_task(work) for work in works}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def make_plan(module: str, origin: Origin) -> Plan | Refusal | int:
    """Have a child read the configuration; its exit code when it could not say."""
    try:
        child = await Child.start(module, "plan")
    except OSError as error:
        return Refusal((f"no process could be made to read it: {error}",))
    child.give(MakePlan(origin))
    try:
        plan: Plan | Refusal = await child.first_answer()
    except EOFError:
        return exit_code(await child.wait()) or 1
    await child.wait()
    return plan
