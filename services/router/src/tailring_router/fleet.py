"""The backends as they are now: one topology, one forwarder an address.

What it is: the owner of the topology and of the forwarders. A resolver tells it the
endpoints; it swaps the topology by one assignment, opens what is new, and retires
what left in the background: such a forwarder sends what it holds for a while and
hands the rest back, to be partitioned on the new ring.

A backend that cannot be reached is *suspected*: its parts wait where they are, for
the resolver will soon know; when the ring changes they are handed back as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tailring_pipeline import Refused
from tailring_resolvers import Endpoint
from tailring_router.forwarder import Client, Forwarder, ForwarderSettings
from tailring_router.metrics import BackendMetrics, RouterMetrics
from tailring_router.part import Part
from tailring_router.partition import Routed, partition
from tailring_router.topology import EMPTY, Topology, build_topology, compare
from tailring_runtime.logs import get_logger
from tailring_runtime.tasks import TaskSet

__all__ = ["Fleet", "FleetSettings", "Rest"]

log = get_logger()


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """How the fleet treats its members."""

    forwarder: ForwarderSettings
    generation: int = 3
    retire_timeout_s: float = 5.0
    """How long a removed backend is still sent what it was given."""
    deadline_s: float = 0.0
    """No retry of a part begins later than this after it was given; 0: no limit."""


@dataclass(slots=True)
class _Member:
    forwarder: Forwarder
    metrics: BackendMetrics


class Rest:
    """A wait for a time or for a change of the ring, whichever comes first."""

    def __init__(self, then: Callable[[], None], rests: set[Rest]) -> None:
        self._then = then
        self._rests = rests
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """``then`` will not be called."""
        self._rests.discard(self)
        if self.handle is not None:
            self.handle.cancel()

    def end(self) -> None:
        """Stop waiting and go on."""
        self.cancel()
        self._then()


class Fleet:
    """Topology and forwarders; lives on one event loop."""

    def __init__(
        self,
        settings: FleetSettings,
        *,
        connect: Callable[[str], Client],
        metrics: RouterMetrics,
    ) -> None:
        """``connect`` makes a client for an address; it must not block."""
        self.topology: Topology = EMPTY
        self._settings = settings
        self._connect = connect
        self._metrics = metrics
        self._members: dict[str, _Member] = {}
        self._retiring: set[Forwarder] = set()
        self._tasks = TaskSet("fleet")
        self._rests: set[Rest] = set()

    @property
    def ready(self) -> bool:
        """True when there is a backend to send to."""
        return not self.topology.empty

    def update(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Follow the resolver: called on the event loop with each new list."""
        new = build_topology(endpoints, generation=self._settings.generation)
        change = compare(self.topology, new)
        for address in change.opened:
            self._open(address)
        self.topology = new
        for address in change.removed:
            self._retire(address)
        if change.ring_changed:
            for member in self._members.values():
                if member.forwarder.suspected:
                    member.forwarder.hand_back()
            for rest in list(self._rests):
                rest.end()

    def rest(self, delay_s: float, then: Callable[[], None]) -> Rest:
        """Call ``then`` once: after the delay, or earlier when the ring changes."""
        rest = Rest(then, self._rests)
        rest.handle = asyncio.get_running_loop().call_later(delay_s, rest.end)
        self._rests.add(rest)
        return rest

    def dispatch(
        self, payload: bytes, *, now_ns: int, held: bool = False
    ) -> list[Part]:
        """Partition a request and give every backend its part, or none to any.

        A payload that is ``held`` already is taken over the limits of the queues.
        Raises `Refused` when a backend has no room or none is known, and `Rejected`
        for malformed bytes.
        """
        routed = partition(payload, self.topology)
        if not held:
            for part in routed:
                if self._members[part.address].forwarder.full:
                    self._members[
                        part.address
                    ].metrics.exporter.enqueue_failed_spans.add(part.spans)
                    raise Refused(
                        "queue_full",
                        f"the queue of backend {part.address} is full",
                    )
        return [self._offer(part, now_ns) for part in routed]

    async def wait_room(self, payload: bytes) -> None:
        """Wait until every backend that owns a part of ``payload`` had room."""
        for part in partition(payload, self.topology):
            await self._members[part.address].forwarder.wait_room()

    async def flush(self, timeout_s: float) -> None:
        """Wait until nothing is held, but not longer than ``timeout_s``."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        forwarders = [member.forwarder for member in self._members.values()]
        for forwarder in [*forwarders, *self._retiring]:
            await forwarder.wait_idle(max(0.0, deadline_s - loop.time()))

    async def close(self) -> None:
        """Abandon what is held and every connection."""
        await self._tasks.close()
        forwarders = [member.forwarder for member in self._members.values()]
        for forwarder in [*forwarders, *self._retiring]:
            await forwarder.close()

    def check_invariants(self) -> None:
        """Assert the rules of the module. Slow: for tests and simulation."""
        assert set(self.topology.addresses) == set(self._members)
        forwarders = [member.forwarder for member in self._members.values()]
        for forwarder in [*forwarders, *self._retiring]:
            forwarder.check_invariants()

    def _offer(self, routed: Routed, now_ns: int) -> Part:
        deadline_s = self._settings.deadline_s
        part = Part(
            routed.payload,
            routed.spans,
            address=routed.address,
            deadline_ns=now_ns + int(deadline_s * 1e9) if deadline_s else 0,
        )
        self._members[routed.address].forwarder.offer(part)
        return part

    def _open(self, address: str) -> None:
        metrics = self._metrics.backend(address)
        forwarder = Forwarder(
            address,
            self._connect(address),
            settings=self._settings.forwarder,
            metrics=metrics,
        )
        metrics.exporter.watch_queue(
            lambda: forwarder.queue_size, capacity=forwarder.queue_capacity
        )
        metrics.exporter.watch_in_flight(lambda: forwarder.sends)
        self._members[address] = _Member(forwarder, metrics)
        log.info(f"backend {address} added", backend=address)

    def _retire(self, address: str) -> None:
        member = self._members.pop(address)
        self._retiring.add(member.forwarder)
        log.info(f"backend {address} removed", backend=address)
        self._tasks.spawn(self._drain(address, member), name=f"retire {address}")

    async def _drain(self, address: str, member: _Member) -> None:
        await member.forwarder.retire(self._settings.retire_timeout_s)
        self._retiring.discard(member.forwarder)
        if address not in self._members:
            member.metrics.remove()
