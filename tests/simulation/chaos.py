"""What happens to the machines while the clients send.

Every event is a small coroutine that begins at a time drawn from the seed, does its
harm, and mends it again after a while; what is not mended when the run ends, the world
mends (`World.heal`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from tests.simulation.machines import RouterMachine
from tests.simulation.samplers import Backend, SamplerMachine
from tests.simulation.scenario import Scenario

__all__ = ["Chaos", "Machines"]

_SPREAD_S = 40.0
_BREAK_MAX_S = 15.0
_LAG_MAX_S = 3.0
# What a process gets by default.
_DRAIN_S = 25.0

Event = Callable[[], Awaitable[None]]


class Machines(Protocol):
    """What events act on."""

    scenario: Scenario
    routers: list[RouterMachine]
    samplers: dict[str, SamplerMachine]
    backends: list[Backend]

    def note(self, text: str) -> None:
        """Write into the history of the run."""


class Chaos:
    """All events of a scenario; `run` returns when each has ended."""

    def __init__(self, machines: Machines) -> None:
        self._all = machines
        self._rng = machines.scenario.rng("chaos")
        self._busy: set[str] = set()
        self._orderly = machines.scenario.orderly

    async def run(self) -> None:
        """Let everything happen that the scenario wants; also without an event, the
        network is bad for that long."""
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(_SPREAD_S))
            for event in self._events():
                delay_s = self._rng.random() * _SPREAD_S
                group.create_task(self._later(delay_s, event))

    async def _later(self, delay_s: float, event: Event) -> None:
        await asyncio.sleep(delay_s)
        await event()

    def _events(self) -> Iterator[Event]:
        events = self._all.scenario.events
        for count, event in (
            (events.ring_changes, self._change_ring),
            (events.sampler_restarts, self._restart_some_sampler),
            (events.sampler_kills, self._kill_sampler),
            (events.sampler_rolls, self._roll_samplers),
            (events.router_restarts, self._restart_some_router),
            (events.router_rolls, self._roll_routers),
            (events.backend_outages, self._stop_backend),
            (events.partitions, self._cut_cable),
            (events.flaps, self._flap),
            (events.slow_samplers, self._slow_sampler),
            (events.throttling_samplers, self._throttling_sampler),
            (events.removals, self._remove_slow_sampler),
            (events.silent_resolvers, self._silence_resolver),
        ):
            for _ in range(count):
                yield event

    # ------------------------------------------------------------ rings

    async def _change_ring(self) -> None:
        """Another list of samplers, which each router hears of in its own time."""
        addresses = list(self._all.samplers)
        size = self._rng.randint(1, len(addresses))
        chosen = self._rng.sample(addresses, size)
        self._all.note(f"ring becomes {sorted(chosen)}")
        async with asyncio.TaskGroup() as group:
            for router in self._all.routers:
                group.create_task(self._hear(router, chosen))

    async def _hear(self, router: RouterMachine, addresses: list[str]) -> None:
        await asyncio.sleep(self._rng.choice([0.0, self._rng.random() * _LAG_MAX_S]))
        router.hear(addresses)

    async def _leave(self, address: str) -> None:
        """Every router hears that this one is gone, if another is left."""
        for router in self._all.routers:
            rest = [one for one in router.listed if one != address]
            if rest:
                await self._hear(router, rest)

    async def _silence_resolver(self) -> None:
        router = self._rng.choice(self._all.routers)
        self._all.note(f"the resolver of {router.name} is silent")
        router.silence(silent=True)
        await self._break()
        self._all.note(f"the resolver of {router.name} answers again")
        router.silence(silent=False)

    # ------------------------------------------------------------ samplers

    async def _restart_some_sampler(self) -> None:
        """A drain, long or short, with or without leaving the list before."""
        machine = self._idle_sampler()
        if machine is not None:
            leaves = self._orderly or self._rng.random() < 0.5
            await self._restart_sampler(machine, leaves=leaves, join_s=self._drain_s())

    async def _roll_samplers(self) -> None:
        """A rolling restart as an orchestrator does it."""
        for address, machine in self._all.samplers.items():
            if address not in self._busy:
                self._busy.add(address)
                await self._restart_sampler(machine, leaves=True, join_s=_DRAIN_S)

    async def _restart_sampler(
        self, machine: SamplerMachine, *, leaves: bool, join_s: float
    ) -> None:
        if leaves:
            await self._leave(machine.address)
        self._all.note(f"{machine.address} drains for {join_s} s")
        await machine.end(join_s=join_s)
        await self._return(machine)

    async def _kill_sampler(self) -> None:
        """Terminated without a drain."""
        machine = self._idle_sampler()
        if machine is None:
            return
        self._all.note(f"{machine.address} is terminated")
        await machine.end(join_s=None)
        await self._return(machine)

    async def _return(self, machine: SamplerMachine) -> None:
        await self._break()
        self._all.note(f"{machine.address} is back")
        await machine.start()
        self._busy.discard(machine.address)
        for router in self._all.routers:
            await self._hear(router, sorted({*router.listed, machine.address}))

    async def _flap(self) -> None:
        machine = self._rng.choice(list(self._all.samplers.values()))
        for _ in range(self._rng.randint(2, 8)):
            self._all.note(f"{machine.address} refuses")
            machine.refuses = True
            await asyncio.sleep(self._rng.random())
            self._all.note(f"{machine.address} takes again")
            machine.refuses = False
            await asyncio.sleep(self._rng.random())

    async def _slow_sampler(self) -> None:
        machine = self._rng.choice(list(self._all.samplers.values()))
        machine.delay_s = self._rng.choice([0.1, 1.0, 10.0])
        self._all.note(f"{machine.address} answers after {machine.delay_s} s")
        await self._break()
        self._all.note(f"{machine.address} answers at once again")
        machine.delay_s = 0.0

    async def _throttling_sampler(self) -> None:
        machine = self._rng.choice(list(self._all.samplers.values()))
        machine.throttles_s = self._rng.choice([0.1, 1.0, 10.0])
        self._all.note(f"{machine.address} throttles by {machine.throttles_s} s")
        await self._break()
        self._all.note(f"{machine.address} throttles no more")
        machine.throttles_s = 0.0

    async def _remove_slow_sampler(self) -> None:
        machine = self._rng.choice(list(self._all.samplers.values()))
        machine.delay_s = self._rng.choice([0.1, 1.0, 10.0])
        self._all.note(f"{machine.address} answers after {machine.delay_s} s, and goes")
        await asyncio.sleep(self._rng.random() * machine.delay_s)
        await self._leave(machine.address)
        await self._break()
        machine.delay_s = 0.0
        self._all.note(f"{machine.address} is listed again")
        for router in self._all.routers:
            await self._hear(router, sorted({*router.listed, machine.address}))

    def _idle_sampler(self) -> SamplerMachine | None:
        idle = [
            machine
            for address, machine in self._all.samplers.items()
            if address not in self._busy
        ]
        if not idle:
            return None
        machine = self._rng.choice(idle)
        self._busy.add(machine.address)
        return machine

    # ------------------------------------------------------------ the others

    async def _restart_some_router(self) -> None:
        idle = [one for one in self._all.routers if one.name not in self._busy]
        if idle:
            machine = self._rng.choice(idle)
            await self._restart_router(machine, join_s=self._drain_s())

    async def _roll_routers(self) -> None:
        for machine in self._all.routers:
            if machine.name not in self._busy:
                await self._restart_router(machine, join_s=_DRAIN_S)

    async def _restart_router(self, machine: RouterMachine, *, join_s: float) -> None:
        self._busy.add(machine.name)
        cut = not self._orderly and self._rng.random() < 0.5
        self._all.note(f"{machine.name} drains for {join_s} s, cut={cut}")
        await machine.end(join_s=join_s, cut=cut)
        await self._break()
        self._all.note(f"{machine.name} is back")
        await machine.start()
        self._busy.discard(machine.name)

    async def _stop_backend(self) -> None:
        backend = self._rng.choice(self._all.backends)
        self._all.note(f"{backend.name} goes down")
        backend.down = True
        await self._break()
        self._all.note(f"{backend.name} is back")
        backend.down = False

    async def _cut_cable(self) -> None:
        router = self._rng.choice(self._all.routers)
        address = self._rng.choice(list(self._all.samplers))
        self._all.note(f"{router.name} cannot reach {address}")
        router.block(address, blocked=True)
        await self._break()
        self._all.note(f"{router.name} reaches {address} again")
        router.block(address, blocked=False)

    def _drain_s(self) -> float:
        return _DRAIN_S if self._orderly else self._rng.choice((0.0, 0.5, _DRAIN_S))

    async def _break(self) -> None:
        await asyncio.sleep(self._rng.random() * _BREAK_MAX_S)
