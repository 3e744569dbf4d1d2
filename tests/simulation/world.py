"""One run: a fleet is set up, harmed, healed, drained and judged.

Everything lives in one thread on one event loop whose clock jumps, so an hour takes a
second and the same seed is the same run. The books of a machine are checked whenever
something happened to it, and all of them several times a virtual second.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace

import structlog
from structlog.typing import EventDict
from tests.simulation.chaos import Chaos
from tests.simulation.clients import Client
from tests.simulation.determinism import History, number_tasks, seeded
from tests.simulation.ledger import Attempt, Ledger
from tests.simulation.machines import RouterMachine
from tests.simulation.network import Network
from tests.simulation.orderly import check_acknowledged, check_orderly
from tests.simulation.samplers import Backend, SamplerMachine
from tests.simulation.scenario import Scenario, draw
from tests.simulation.spans import Plan
from tests.simulation.verdict import check_answer, judge

from tailring_testkit import virtual_time

__all__ = [
    "SimulationFailed",
    "World",
    "repeat_command",
    "root_cause",
    "run",
    "run_seed",
]

_CHECK_EACH_S = 0.25
# No run may need more; virtual, so it is no matter of speed.
RUN_MAX_S = 36_000.0
# After this, whatever waited for a retry has had it.
_MENDED_S = 40.0
_LAST_DRAIN_S = 3_600.0
# Of the history, with a failure; `python -m tests.simulation` tells all of it.
_LINES_TOLD = 30


class SimulationFailed(AssertionError):
    """Raised when a run broke a rule; says which, and how to run it again.

    ``lines`` is the history as far as it was kept.
    """

    def __init__(self, text: str, *, lines: Sequence[str]) -> None:
        super().__init__(text)
        self.lines = lines


def repeat_command(seed: int) -> str:
    """The command that runs one seed again and tells its history."""
    return f".venv/bin/python -m tests.simulation {seed}"


class World:
    """All machines of one run, and what happened to them."""

    def __init__(self, scenario: Scenario, bugs: Sequence[str] = ()) -> None:
        """``bugs`` are log lines that may never be written; it grows meanwhile."""
        self.scenario = scenario
        self.bugs = bugs
        self.history = History()
        self.plan = Plan(scenario)
        self.ledger = Ledger(self.plan.trace_of)
        self.network = Network(scenario.rng("network"))
        self.backends = [
            Backend(number, self.ledger, self.history)
            for number in range(scenario.sampler.backends)
        ]
        self.samplers = {
            address: SamplerMachine(
                address, scenario, backends=self.backends, network=self.network
            )
            for address in (f"s{n}:4317" for n in range(scenario.sampler.samplers))
        }
        self.routers = [
            RouterMachine(
                number,
                scenario,
                machines=self.samplers,
                network=self.network,
                ledger=self.ledger,
                history=self.history,
            )
            for number in range(scenario.router.routers)
        ]
        self.clients = [
            Client(
                scenario.traffic,
                plan=self.plan,
                routers=self.routers,
                ledger=self.ledger,
                rng=scenario.rng(f"client {number}"),
                note=self.note,
                answered=self._answered,
            )
            for number in range(scenario.traffic.clients)
        ]

    def note(self, text: str) -> None:
        """Write into the history of the run."""
        self.history.note(text)

    async def run(self) -> None:
        """The whole run; raises `AssertionError` when a rule is broken."""
        async with asyncio.timeout(RUN_MAX_S):
            await self._start()
            async with asyncio.TaskGroup() as group:
                checker = group.create_task(self._check_for_ever())
                await self._live()
                checker.cancel()
            await self._drain()
        self._judge()

    def check(self) -> None:
        """Assert that the books of every machine that runs are right."""
        self._check_told()
        for router in self.routers:
            if router.up:
                router.life.check()
        for sampler in self.samplers.values():
            if sampler.up:
                sampler.life.check()
        assert not self.network.tasks.failures, "a server raised what is no answer"

    def _check_told(self) -> None:
        assert not self.ledger.broken, self.ledger.broken[0]
        assert not self.bugs, f"a bug was logged: {self.bugs[0]}"

    async def _start(self) -> None:
        for sampler in self.samplers.values():
            await sampler.start()
        for router in self.routers:
            await router.start()

    async def _live(self) -> None:
        """Clients send while things happen; then all is mended and they finish."""
        shares: list[list[list[int]]] = [[] for _ in self.clients]
        for number, request in enumerate(self.plan.requests):
            shares[number % len(shares)].append(request)
        async with asyncio.TaskGroup() as group:
            for client, requests in zip(self.clients, shares, strict=True):
                group.create_task(client.send_all(requests))
            await Chaos(self).run()
            self._heal()
        await self._probe()

    def _heal(self) -> None:
        self.note("all is mended")
        self.network.heal()
        for backend in self.backends:
            backend.down = False
        for sampler in self.samplers.values():
            sampler.refuses = False
            sampler.delay_s = 0.0
            sampler.throttles_s = 0.0
        for client in self.clients:
            client.healed = True
        for router in self.routers:
            router.silence(silent=False)
            router.hear(self.samplers)
            for address in self.samplers:
                router.block(address, blocked=False)

    async def _probe(self) -> None:
        """What was mended works again: a patient client gets everything through."""
        await asyncio.sleep(_MENDED_S)
        self.note("probes are sent")
        traffic = replace(
            self.scenario.traffic, attempts_max=20, patience_s=60.0, spread_s=1.0
        )
        client = Client(
            traffic,
            plan=self.plan,
            routers=self.routers,
            ledger=self.ledger,
            rng=self.scenario.rng("probe"),
            note=self.note,
            answered=self._answered,
        )
        client.healed = True
        await client.send_all(self.plan.probes)
        numbers = [number for probe in self.plan.probes for number in probe]
        check_acknowledged(self.plan, self.ledger, numbers)

    async def _drain(self) -> None:
        """Routers first, then samplers, as their deadlines allow them for once."""
        rng = self.scenario.rng("drain")
        if rng.random() < 0.5:
            await asyncio.sleep(_MENDED_S)
        for router in self.routers:
            await router.end(join_s=_LAST_DRAIN_S, cut=rng.random() < 0.5)
        # A request that its router no longer waits for may still come.
        await self.network.tasks.join()
        for sampler in self.samplers.values():
            await sampler.end(join_s=_LAST_DRAIN_S)
        await self.network.tasks.join()
        self.note("all is drained")

    async def _check_for_ever(self) -> None:
        while True:
            self.check()
            await asyncio.sleep(_CHECK_EACH_S)

    def _answered(self, attempt: Attempt) -> None:
        spans = [f"{one:x}" for one in attempt.copies]
        self.note(f"{attempt.router} {attempt.answer.value} {spans}")
        self._check_told()
        for router in self.routers:
            if router.up:
                router.life.check()
            for life in router.lives:
                if life.name == attempt.router:
                    check_answer(
                        attempt, life, scenario=self.scenario, ledger=self.ledger
                    )

    def _judge(self) -> None:
        self._check_told()
        for router in self.routers:
            shutdown = router.life.lost_at_shutdown()
            assert not shutdown, "the last drain of a router lost spans"
        for sampler in self.samplers.values():
            abandoned = sampler.life.lost_at_shutdown()
            assert not abandoned, "the last drain of a sampler lost spans"
        judge(
            self.scenario,
            self.plan,
            ledger=self.ledger,
            routers=[life for one in self.routers for life in one.lives],
            samplers=[life for one in self.samplers.values() for life in one.lives],
        )
        if self.scenario.orderly:
            check_orderly(
                self.plan,
                ledger=self.ledger,
                routers=[life for one in self.routers for life in one.lives],
                samplers=[life for one in self.samplers.values() for life in one.lives],
            )
        _check_nothing_runs()


def run_seed(seed: int) -> World:
    """Run what a seed stands for; raises `SimulationFailed`."""
    return run(draw(seed))


def run(scenario: Scenario) -> World:
    """Run a scenario to its end; raises `SimulationFailed`."""
    bugs: list[str] = []
    worlds: list[World] = []

    def listen(_logger: object, _method: str, event: EventDict) -> EventDict:
        # No fault of the network is logged with a traceback: only what nobody expects.
        if error := event.get("exc_info"):
            error = sys.exc_info()[1] if error is True else error
            bugs.append(f"{event.get('event')}: {error!r}")
        raise structlog.DropEvent

    async def main() -> None:
        number_tasks(asyncio.get_running_loop())
        world = World(scenario, bugs)
        worlds.append(world)
        try:
            await world.run()
            world.check()
        finally:
            await _end_all_tasks()

    before = structlog.get_config()
    structlog.configure(processors=[listen])
    try:
        with seeded(scenario.seed):
            virtual_time.run(main())
    except Exception as error:
        lines = list(worlds[0].history.lines) if worlds else []
        story = _story(scenario, lines, rule=str(root_cause(error)), bugs=bugs)
        raise SimulationFailed(story, lines=lines) from error
    finally:
        structlog.configure(**before)
    return worlds[0]


def root_cause(error: BaseException) -> BaseException:
    """What was raised first, without the groups around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _story(
    scenario: Scenario, lines: Sequence[str], *, rule: str, bugs: list[str]
) -> str:
    return "\n".join(
        [
            f"seed {scenario.seed} broke a rule: {rule}",
            f"repeat it with: {repeat_command(scenario.seed)}",
            textwrap.fill(str(scenario), 110),
            *bugs,
            f"the end of its history ({_LINES_TOLD} lines; the command tells all):",
            *lines[-_LINES_TOLD:],
        ]
    )


async def _end_all_tasks() -> None:
    """After a failure: one that is cancelled may begin others, which nobody would."""
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _check_nothing_runs() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert not tasks, f"tasks outlived their owners: {tasks}"
