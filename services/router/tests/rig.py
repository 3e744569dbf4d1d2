"""What the router's tests share: a forwarder's parts, and a bench for deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tailring_pipeline import Batch, Refused, RetryConfig
from tailring_resolvers import Endpoint
from tailring_router.delivery import Delivery, Dispatcher
from tailring_router.fleet import Fleet
from tailring_router.forwarder import Forwarder
from tailring_router.metrics import Door, RouterMetrics
from tailring_router.part import Part, Result
from tailring_testkit.client import ScriptedClient
from tailring_testkit.otlp import realistic_request, spans_of

HOUR_NS = 3600_000_000_000
UNREACHABLE = Refused("unreachable", "connection refused")
SOON = {"initial_interval": 1_000_000, "max_interval": 1_000_000}
NEVER = {"initial_interval": HOUR_NS, "max_interval": HOUR_NS, "max_elapsed_time": 0}
RETRY = RetryConfig(initial_interval=1_000_000, max_interval=1_000_000)
SLOW_RETRY = RetryConfig(initial_interval=60_000_000_000, max_interval=60_000_000_000)
NO_RETRY = RetryConfig(enabled=False)
SPANS = 64
BATCH = Batch(realistic_request(SPANS, seed=7), SPANS)


def part_of(payload: bytes = b"p", spans: int = 1) -> Part:
    """A part for the backend of the forwarder's tests."""
    return Part(payload, spans, address="b:1")


async def within(awaitable: Awaitable[Result]) -> Result:
    """The result of a part; a test does not hang."""
    async with asyncio.timeout(10):
        return await awaitable


@dataclass
class Bench:
    """A dispatcher over a fleet of scripted clients.

    ``clients`` holds the present client of each address, ``everyone`` all that were.
    """

    fleet: Fleet
    dispatcher: Dispatcher
    metrics: RouterMetrics
    clients: dict[str, ScriptedClient] = field(default_factory=dict)
    everyone: list[ScriptedClient] = field(default_factory=list)

    def use(self, *names: str) -> None:
        """Make these the backends."""
        addresses = [f"{name}:1" for name in names]
        for address in set(addresses) - set(self.fleet.topology.addresses):
            # Made now, so that a test can script it; connected with the first request.
            self.clients[address] = ScriptedClient()
            self.everyone.append(self.clients[address])
        self.fleet.update(tuple(Endpoint(one, one) for one in addresses))

    def begin(self) -> Delivery:
        return self.dispatcher.begin(BATCH)

    def delivered(self) -> int:
        payloads = [p for c in self.everyone for p in c.delivered]
        return sum(len(spans_of(payload)) for payload in payloads)

    def left(self) -> dict[str, int]:
        counts = {door.value: self.metrics.left_by(door) for door in Door}
        return {door: count for door, count in counts.items() if count}

    def balanced(self) -> bool:
        self.fleet.check_invariants()
        left = sum(self.left().values())
        held = self.dispatcher.held_items()
        return self.metrics.received.value == left + held


MakeForwarder = Callable[..., Forwarder]
MakeBench = Callable[..., Bench]
