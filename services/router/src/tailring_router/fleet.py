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
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tailring_otlpwire import RoutingRule, count
from tailring_pipeline import (
    Batch,
    FailureLog,
    Refused,
    Rejected,
    Signal,
    cut_batch,
)
from tailring_resolvers import Endpoint
from tailring_router.backend_state import BackendState, state_of
from tailring_router.client import Client, ForwarderSettings
from tailring_router.forwarder import Forwarder
from tailring_router.lists import Lists
from tailring_router.metrics import BackendMetrics, RouterMetrics
from tailring_router.part import (
    STOPPED,
    UNROUTABLE,
    Outcome,
    Part,
    Result,
)
from tailring_router.partition import BY_TRACE, Partition, Routed, partition
from tailring_router.repeats import follow
from tailring_router.rests import Rest, Rests
from tailring_router.ring_changes import ring_changed
from tailring_router.shared import Shared
from tailring_router.topology import EMPTY, Topology
from tailring_router.watch import BalanceWatch
from tailring_runtime.logs import get_logger
from tailring_runtime.tasks import TaskSet

__all__ = ["Fleet", "FleetSettings"]

log = get_logger()

# Upstream's word in the line about what it could not route.
_NAMES = {Signal.TRACES: "trace", Signal.LOGS: "log", Signal.METRICS: "metric"}


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """How the fleet treats its members."""

    forwarder: ForwarderSettings
    generation: int = 3
    retire_timeout_s: float = 5.0
    """How long a removed backend is still sent what it was given."""
    deadline_s: float = 0.0
    """No retry of a part begins later than this after it was given; 0: no limit."""
    queued_bytes_max: int = 1 << 30
    """What may wait for all backends together."""
    rule: RoutingRule = BY_TRACE
    """What the backend of an item is chosen by."""


@dataclass(slots=True)
class _Member:
    forwarder: Forwarder
    metrics: BackendMetrics


class Fleet:
    """Topology and forwarders; lives on one event loop."""

    def __init__(
        self,
        settings: FleetSettings,
        *,
        connect: Callable[[str], Client],
        metrics: RouterMetrics,
        watch: BalanceWatch | None = None,
    ) -> None:
        """``connect`` makes a client for an address; it must not block. ``watch`` is
        shown some of the parts, to say who gets too much."""
        self.topology: Topology = EMPTY
        self._settings = settings
        self._connect = connect
        self._metrics = metrics
        self._watch = watch
        self._members: dict[str, _Member] = {}
        self._retiring: dict[Forwarder, BackendMetrics] = {}
        self._failing = FailureLog(
            f"failed to export {_NAMES[metrics.signal]}", log=log
        )
        self._tasks = TaskSet("fleet")
        self._shared = Shared(queued_bytes_max=settings.queued_bytes_max)
        self.rests = Rests(self._shared.total, self._shared.slices)
        self._shared.came_back = self.rests.end_at
        self._hurries = False
        self._closed = False
        self._lists = Lists(
            generation=settings.generation,
            tasks=self._tasks,
            members=self._members,
            open_member=self._open,
            take=self._take,
        )

    @property
    def closed(self) -> bool:
        """True once `close` was called: nothing is tried any more."""
        return self._closed

    @property
    def ready(self) -> bool:
        """True when there is a backend to send to."""
        return not self.topology.empty

    def watch_open(self, deliveries: int) -> None:
        """So many requests have parts that have not left yet."""
        self._shared.pace.open = deliveries

    def update(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Follow the resolver: called on the event loop with each new list."""
        if not self._closed:
            self._lists.update(endpoints)

    def rest(
        self,
        part: Part,
        delay_s: float,
        then: Callable[[], None],
        *,
        takes_room: bool = False,
        patient: bool = False,
    ) -> Rest:
        """Call ``then`` once: after the delay, or earlier when the ring changes or,
        unless ``patient``, its backend is back. The part counts among what waits
        meanwhile; where it ``takes_room`` also among what waits for that backend."""
        member = self._members.get(part.address) if takes_room else None
        room = None if member is None else member.forwarder
        return self.rests.rest(part, delay_s, then=then, room=room, patient=patient)

    def dispatch(
        self,
        payload: bytes,
        *,
        now_ns: int,
        held: bool = False,
        origin: Part | None = None,
    ) -> list[Part]:
        """Partition a request and give every backend its part.

        A part that its backend has no room for has failed already, as has the whole
        when no backend is known. What is ``held`` anyway is taken over the limits.
        ``origin`` is the part that is routed again. What cannot be routed is a part
        without bytes that was rejected. Raises `Rejected` for malformed bytes.
        """
        rule = self._settings.rule
        try:
            found = partition(payload, self.topology, rule)
        except Refused as refused:
            items = origin.items if origin is not None else count(payload, rule.kind)
            part = self._part(Routed("", payload, items), now_ns, origin)
            stopped = Result(Outcome.FAILED, refused.reason, refused.detail)
            part.resolve(STOPPED if self._closed else stopped)
            return [part]
        # Everything is cut before the first part is given away.
        pieces = [(whole, self._cut(whole)) for whole in found.routed]
        parts = [self._unroutable(found, now_ns)] if found.unroutable_items else []
        for whole, cut in pieces:
            # Asked once: what is one part to the sender has room as one, or has not.
            room = held or not self._is_full(self._members[whole.address])
            for piece in cut:
                part = self._part(piece, now_ns, origin)
                self._give(part, room=room)
                parts.append(part)
        if self._watch is not None and now_ns >= self._watch.due_ns:
            self._watch.look(parts)
        return parts

    def abandon(self, part: Part) -> bool:
        """The sender of a part stopped waiting; True when it was not in flight."""
        owners = [f for f in self._retiring if f.address == part.address]
        if part.address in self._members:
            owners.append(self._members[part.address].forwarder)
        answers = [forwarder.abandon(part) for forwarder in owners]
        return all(answers)

    def follow(self, leader: Part, *, now_ns: int) -> Part:
        """A part that waits for the fate of the same bytes, which are in flight for a
        sender who left; moved if they do not arrive."""
        routed = Routed(leader.address, leader.payload, leader.items)
        part = self._part(routed, now_ns, None)
        follow(leader, part)
        return part

    async def wait_room(self, payload: bytes) -> None:
        """Wait until every backend that owns a part of ``payload`` has room, which it
        has when this returns and nobody ran in between."""
        topology = self.topology
        owners = self._owners(payload)
        while True:
            if topology is not self.topology:
                topology = self.topology
                owners = self._owners(payload)
            full = next((owner for owner in owners if owner.full), None)
            if full is not None:
                await full.wait_room()
            elif owners and self._shared.total.full:
                await self._shared.total.wait_room()
            else:
                return

    def _owners(self, payload: bytes) -> list[Forwarder]:
        if self._closed or self.topology.empty:
            return []
        found = partition(payload, self.topology, self._settings.rule)
        return [self._members[part.address].forwarder for part in found.routed]

    def sent(self) -> dict[str, int]:
        """The items that each backend of the ring took so far."""
        members = ((one, self._members[one]) for one in self.topology.addresses)
        return {one: it.metrics.exporter.sent.value for one, it in members}

    def states(self) -> list[BackendState]:
        """Every backend now, those that are being drained last."""
        names: dict[str, list[str]] = {}
        for name in self.topology.ring.members:
            names.setdefault(self.topology.address_of[name], []).append(name)
        shares = self.topology.shares()
        now_s = asyncio.get_running_loop().time()
        present = [(it.forwarder, it.metrics) for it in self._members.values()]
        return [
            state_of(
                forwarder,
                metrics,
                ring_names=names.get(forwarder.address, ()),
                ring_share=shares.get(forwarder.address, 0.0),
                now_s=now_s,
            )
            for forwarder, metrics in (*present, *self._retiring.items())
        ]

    def hurry(self) -> None:
        """The router drains: try at once what waits, and wait only briefly."""
        self._hurries = self.rests.hurries = True
        for forwarder in self._forwarders():
            forwarder.hurry()
        self.rests.end_all()

    async def close(self) -> None:
        """Abandon what is held and every connection."""
        self._closed = True
        # Taken before the drains end, which forget whom they retire.
        forwarders = self._forwarders()
        await self._tasks.close()
        self._failing.flush()
        self.topology = EMPTY
        self._shared.slices.close()
        for forwarder in forwarders:
            await forwarder.close()
        # What the last of them resolved is told in the next turn, and rests no more.
        await asyncio.sleep(0)
        self.rests.end_all()

    def check_invariants(self) -> None:
        """Assert the rules of the module. Slow: for tests and simulation."""
        if not self._closed:
            assert set(self.topology.addresses) <= set(self._members)
        for forwarder in self._forwarders():
            forwarder.check_invariants()

    def _forwarders(self) -> list[Forwarder]:
        owners = [member.forwarder for member in self._members.values()]
        return [*owners, *self._retiring]

    def _part(self, routed: Routed, at_ns: int, origin: Part | None) -> Part:
        deadline_ns = int(self._settings.deadline_s * 1e9)
        if origin is not None:
            deadline_ns = origin.deadline_ns
        elif deadline_ns:
            deadline_ns += at_ns
        return Part(
            routed.payload,
            routed.items,
            address=routed.address,
            deadline_ns=deadline_ns,
            tried_ns=origin.tried_ns if origin is not None else 0,
        )

    def _unroutable(self, found: Partition, at_ns: int) -> Part:
        """The items that no backend owns, as a part that was rejected."""
        part = self._part(Routed("", b"", found.unroutable_items), at_ns, None)
        result = Result(Outcome.REJECTED, UNROUTABLE, found.unroutable)
        part.resolve(result)
        self._failing.failed(Rejected(UNROUTABLE, found.unroutable), part.items)
        return part

    def _cut(self, routed: Routed) -> Iterable[Routed]:
        """A part above the size of a request in several: a backend may not take it
        whole, and compressing it at once would hold up the event loop."""
        bytes_max = self._settings.forwarder.request_bytes_max
        if len(routed.payload) <= bytes_max:
            return (routed,)
        whole = Batch(routed.payload, routed.items, self._metrics.signal)
        pieces = cut_batch(whole, bytes_max)
        return [Routed(routed.address, it.payload, it.items) for it in pieces]

    def _give(self, part: Part, *, room: bool) -> None:
        forwarder = self._members[part.address].forwarder
        if room:
            forwarder.offer(part)
        else:
            forwarder.turn_away(part)

    def _is_full(self, member: _Member) -> bool:
        return self._shared.total.full or member.forwarder.full

    def _take(self, topology: Topology) -> None:
        for address in topology.addresses:
            if address not in self._members:
                self._open(address)
        changed = self.topology.ring.endpoints != topology.ring.endpoints
        if changed:
            ring_changed(self.topology, topology, metrics=self._metrics)
        self.topology = topology
        left = sorted(set(self._members) - set(topology.addresses))
        self._shared.slices.each(left, self._retire)
        if changed:
            for member in self._members.values():
                if member.forwarder.suspected:
                    member.forwarder.hand_back()
            self.rests.end_all()

    def _open(self, address: str) -> None:
        metrics = self._metrics.backend(address)
        forwarder = Forwarder(
            address,
            self._connect,
            settings=self._settings.forwarder,
            metrics=metrics,
            fleet=self._shared,
        )
        if self._hurries:
            forwarder.hurry()
        metrics.exporter.watch_queue(
            lambda: forwarder.queue_size, capacity=forwarder.queue_capacity
        )
        metrics.exporter.watch_in_flight(lambda: forwarder.sends)
        self._members[address] = _Member(forwarder, metrics)
        self._shared.pace.backends = len(self._members)
        log.info(f"backend {address} added", backend=address)

    def _retire(self, address: str) -> int:
        """Let a member go whose turn has come, unless it is listed again."""
        listed = address in self.topology.addresses
        if self._closed or listed or address not in self._members:
            return 0
        member = self._members.pop(address)
        self._shared.pace.backends = len(self._members)
        self._retiring[member.forwarder] = member.metrics
        log.info(f"backend {address} removed", backend=address)
        self._tasks.spawn(self._drain(member), name=f"retire {address}")
        return 0

    async def _drain(self, member: _Member) -> None:
        try:
            await member.forwarder.retire(self._settings.retire_timeout_s)
        finally:
            self._retiring.pop(member.forwarder, None)
            member.metrics.remove()
