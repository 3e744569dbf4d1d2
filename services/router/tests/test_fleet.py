"""The fleet: new lists of backends, limits over all of them, parts above a request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from services.router.tests.rig import (
    BATCH,
    NEVER,
    SPANS,
    UNREACHABLE,
    MakeBench,
    within,
)
from structlog.testing import capture_logs

from tailring_pipeline import Refused, RetryConfig
from tailring_resolvers import Endpoint
from tailring_router.client import ForwarderSettings
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.metrics import RouterMetrics
from tailring_router.part import Outcome
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp
from tailring_testkit.client import ScriptedClient
from tailring_testkit.otlp import realistic_request, spans_of

MakeFleet = Callable[..., Fleet]
NEVER_AGAIN = RetryConfig.model_validate(NEVER)
MS = 1_000_000


@pytest.fixture
async def make_fleet(client: ScriptedClient, metrics: Metrics) -> AsyncIterator[Any]:
    """Makes fleets whose backends all answer as `client` does."""
    made: list[Fleet] = []

    def build(*, name: str = "lb", **settings: Any) -> Fleet:
        forwarder = ForwarderSettings(
            **{"retry": NEVER_AGAIN, **settings.pop("forwarder", {})}
        )
        fleet = Fleet(
            FleetSettings(forwarder=forwarder, **settings),
            connect=lambda _: client,
            metrics=RouterMetrics(metrics.child(), name),
        )
        made.append(fleet)
        return fleet

    yield build
    for fleet in made:
        await fleet.close()
        fleet.check_invariants()


def endpoints(count: int, *, first: int = 0) -> tuple[Endpoint, ...]:
    """Some backends."""
    numbers = range(first, first + count)
    return tuple(Endpoint(f"b{n}:1", f"b{n}:1") for n in numbers)


async def test_hundreds_of_backends_do_not_hold_up_the_loop(
    make_fleet: MakeFleet,
) -> None:
    """While a list of 300 is taken, others get their turn again and again."""
    fleet = make_fleet()
    turns = 0
    fleet.update(endpoints(300))
    async with asyncio.timeout(10):
        while not fleet.ready:
            turns += 1
            await asyncio.sleep(0)
    assert len(fleet.topology.addresses) == 300
    assert turns > 300 // 20


async def test_the_newest_of_several_large_lists_is_taken(
    make_fleet: MakeFleet,
) -> None:
    """Lists that come while one is being taken are followed by the last of them, and
    a small list is not overtaken by a large one before it."""
    fleet = make_fleet()
    fleet.update(endpoints(100))
    fleet.update(endpoints(200, first=50))
    fleet.update(endpoints(3))
    async with asyncio.timeout(10):
        while len(fleet.topology.addresses) != 3:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.001)
    assert set(fleet.topology.addresses) == {"b0:1", "b1:1", "b2:1"}


async def test_a_part_above_the_size_of_a_request_is_cut(
    make_fleet: MakeFleet, client: ScriptedClient
) -> None:
    """No request to a backend is above the limit, and every span arrives once."""
    payload = realistic_request(500, seed=1)
    limit = len(payload) // 5
    fleet = make_fleet(forwarder={"request_bytes_max": limit})
    fleet.update(endpoints(1))
    parts = fleet.dispatch(payload, now_ns=0)
    assert len(parts) > 4
    for part in parts:
        assert (await within(part.result)).outcome is Outcome.DELIVERED
    # A cut is by spans, which differ in size.
    assert max(map(len, client.delivered)) < 2 * limit
    arrived = [span for one in client.delivered for span in spans_of(one)]
    assert sorted(map(repr, arrived)) == sorted(map(repr, spans_of(payload)))


async def test_a_part_that_is_cut_has_room_as_a_whole(
    make_fleet: MakeFleet, client: ScriptedClient
) -> None:
    """More pieces than the queue may hold are taken while it is not full: sent again
    as a whole, they would never fit."""
    limit = len(BATCH.payload) // 5
    fleet = make_fleet(forwarder={"request_bytes_max": limit, "queue_max": 1})
    fleet.update(endpoints(1))
    parts = fleet.dispatch(BATCH.payload, now_ns=0)
    assert len(parts) > 4
    for part in parts:
        assert (await within(part.result)).outcome is Outcome.DELIVERED


async def test_cutting_never_multiplies_a_heavy_resource(
    make_fleet: MakeFleet,
) -> None:
    """Where the resource is most of a part, cutting would send it a thousand times; the
    part leaves as it is."""
    tags = {"large": "x" * 200_000}
    spans = [otlp.span(bytes([n]) * 16, bytes([n]) * 8) for n in range(1, 51)]
    payload = otlp.request(*spans, resource=tags)
    fleet = make_fleet(forwarder={"request_bytes_max": 100_000})
    fleet.update(endpoints(1))
    parts = fleet.dispatch(payload, now_ns=0)
    assert sum(len(part.payload) for part in parts) <= 2 * len(payload)
    assert sum(part.items for part in parts) == 50


async def test_what_rests_between_tries_of_level_1_counts(
    make_bench: MakeBench,
) -> None:
    """Parts that wait for another try of level 1 fill the fleet's memory too: senders
    who are answered early cannot fill more."""
    bench = make_bench(
        level1={"enabled": True, **NEVER},
        level2={"enabled": False},
        queued_bytes_max=3 * len(BATCH.payload),
    )
    bench.use("a")
    bench.clients["a:1"].answer = UNREACHABLE
    taken = 0
    for _ in range(10):
        delivery = bench.begin()
        if not delivery.turned_away:
            taken += 1
        delivery.acknowledge(lambda _: None)
        await asyncio.sleep(0.005)
    assert taken == 3


async def test_all_backends_together_have_a_limit_of_bytes(
    make_fleet: MakeFleet, client: ScriptedClient
) -> None:
    """With the fleet's memory used up by some, every backend counts as full."""
    client.hold()
    fleet = make_fleet(
        forwarder={"sends_max": 1}, queued_bytes_max=2 * len(BATCH.payload)
    )
    fleet.update(endpoints(2))
    with capture_logs() as logs:
        for _ in range(6):
            fleet.dispatch(BATCH.payload, now_ns=0)
            await asyncio.sleep(0.005)
    told = "Dropping data because sending_queue is full"
    # Who reads "dropping" sees that its sender still has it.
    assert {line["refused"] for line in logs if line["event"] == told} == {True}
    for part in fleet.dispatch(BATCH.payload, now_ns=0):
        assert part.result.result().reason == "queue_full"
    client.release()


async def test_a_flapping_ring_does_not_keep_a_part_for_ever(
    make_bench: MakeBench,
) -> None:
    """A part that is moved again and again has its age from its first try on."""
    waits = {"initial_interval": 60 * MS, "max_interval": 60 * MS}
    bench = make_bench(level2={**waits, "max_elapsed_time": 100 * MS})
    bench.use("a", "b")
    for client in bench.clients.values():
        client.answer = UNREACHABLE
    waiting = asyncio.ensure_future(bench.begin().finish())
    async with asyncio.timeout(10):
        for names in itertools.cycle([("a",), ("b",)]):
            if waiting.done():
                break
            bench.use(*names)
            for client in bench.clients.values():
                client.answer = UNREACHABLE
            await asyncio.sleep(0.01)
    with pytest.raises(Refused):
        await waiting
    assert bench.left() == {"refused": SPANS}


async def test_two_load_balancers_may_share_a_backend(
    make_fleet: MakeFleet, metrics: Metrics
) -> None:
    """When one of them loses it, the series of the other go on."""
    one, two = make_fleet(name="lb/1"), make_fleet(name="lb/2")
    for fleet in (one, two):
        fleet.update(endpoints(1))
    one.update(endpoints(1, first=1))
    await asyncio.sleep(0.01)
    for part in two.dispatch(BATCH.payload, now_ns=0):
        await within(part.result)
    outcome = "otelcol_loadbalancer_backend_outcome"
    assert metrics.value(outcome, endpoint="b0:1", success="true") == 1


async def test_a_backend_that_comes_back_while_it_drains_keeps_its_series(
    make_fleet: MakeFleet, client: ScriptedClient, metrics: Metrics
) -> None:
    """Out of the list and in again within the drain: its counters do not vanish."""
    client.hold()
    fleet = make_fleet()
    fleet.update(endpoints(1))
    (first,) = fleet.dispatch(BATCH.payload, now_ns=0)
    await client.wait_tried(1)
    fleet.update(endpoints(1, first=1))
    fleet.update(endpoints(1))
    client.release()
    await within(first.result)
    await asyncio.sleep(0.01)
    sent = metrics.value("otelcol_exporter_sent_spans", exporter="lb/b0:1")
    assert sent == SPANS


async def test_closing_ends_backends_that_are_being_retired(
    make_fleet: MakeFleet, client: ScriptedClient
) -> None:
    """A backend that left and still holds a part when the router stops: its part is
    resolved and its connection closed."""
    client.hold()
    fleet = make_fleet()
    fleet.update(endpoints(1))
    (part,) = fleet.dispatch(BATCH.payload, now_ns=0)
    await client.wait_tried(1)
    fleet.update(endpoints(1, first=1))
    await asyncio.sleep(0.01)
    await fleet.close()
    assert part.result.result().reason == "shutdown"
    assert client.closed
    client.release()
