"""The verdict can fail, routes and changes: lists, drains and ends that are broken."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.simulation.broken import unbroken
from tests.simulation.scenario import Events, Faults, Scenario
from tests.simulation.world import SimulationFailed, run

from tailring_otlpwire import chunk
from tailring_resolvers import Endpoint
from tailring_router.backlog import Backlog
from tailring_router.delivery import Delivery
from tailring_router.fleet import Fleet
from tailring_router.forwarder import Forwarder
from tailring_router.part import Part

Patch = Callable[[Any, str, Any], None]

_HOUR_S = 3600.0


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Put something broken in the place of something sound."""
    return monkeypatch.setattr


def test_changes_do_no_harm_unbroken() -> None:
    """What the routers of this module live through is no trouble for sound ones."""
    run(_changing())


def test_a_retry_at_another_owner_is_seen(patch: Patch) -> None:
    """A router that routes only what failed before to a neighbour splits traces."""
    dispatch = Fleet.dispatch

    def wrong(fleet: Fleet, payload: bytes, **keys: Any) -> list[Part]:
        topology = fleet.topology
        if keys.get("origin") is not None:
            table = [(one + 1) % len(topology.addresses) for one in topology.table]
            fleet.topology = replace(topology, table=table)
        parts = dispatch(fleet, payload, **keys)
        fleet.topology = topology
        return parts

    patch(Fleet, "dispatch", wrong)
    scenario = unbroken()
    scenario = replace(
        scenario,
        router=replace(scenario.router, level1_retry=True, level2_retry=False),
        to_sampler=replace(scenario.to_sampler, unavailable=0.3),
    )
    assert "splits a trace" in _failure(scenario)


def test_a_list_that_is_not_followed_is_seen(patch: Patch) -> None:
    """A router that keeps its first list sends to those who left, or splits traces."""
    update = Fleet.update

    def once(fleet: Fleet, endpoints: tuple[Endpoint, ...]) -> None:
        if not fleet.ready:
            update(fleet, endpoints)

    patch(Fleet, "update", once)
    failure = _failure(_changing())
    assert "left long ago" in failure or "splits a trace" in failure


def test_a_drain_without_an_end_is_seen(patch: Patch) -> None:
    """A backend that left is not tried for ever."""

    async def never(_forwarder: Forwarder, _timeout_s: float) -> None:
        await asyncio.sleep(_HOUR_S)

    patch(Forwarder, "retire", never)
    scenario = _changing()
    faults = replace(scenario.to_sampler, unavailable=0.9)
    router = replace(scenario.router, retire_timeout_s=0.1)
    failure = _failure(replace(scenario, to_sampler=faults, router=router))
    assert "left long ago" in failure


def test_parts_that_nobody_takes_back_are_seen(patch: Patch) -> None:
    """A removed backend whose parts are dropped leaves requests without an answer."""

    async def forget(forwarder: Forwarder, _timeout_s: float) -> None:
        """Leave everything as it is; the fleet lets go of it."""

    patch(Forwarder, "retire", forget)
    scenario = _changing()
    faults = replace(scenario.to_sampler, unavailable=0.9)
    router = replace(scenario.router, retry_interval_s=5.0)
    assert _failure(replace(scenario, to_sampler=faults, router=router))


def test_a_part_that_a_backlog_forgets_is_seen(patch: Patch) -> None:
    """A part that nobody has any more is never resolved, and its sender never told."""
    take = Backlog.take

    def forget(backlog: Backlog, bytes_max: int) -> list[Part]:
        return take(backlog, bytes_max)[:1]

    patch(Backlog, "take", forget)
    scenario = unbroken()
    scenario = replace(
        scenario,
        traffic=replace(scenario.traffic, spread_s=0.1, patience_s=10.0),
        router=replace(scenario.router, routers=1, sends_max=1),
        sampler=replace(scenario.sampler, samplers=1),
    )
    failure = _failure(scenario)
    assert "no delivery waits for" in failure or "never resolved" in failure


def test_a_part_that_loses_a_span_is_seen(patch: Patch) -> None:
    """A part that is cut short on its way is missed when it is acknowledged."""
    offer = Forwarder.offer

    def cut_short(forwarder: Forwarder, part: Part) -> None:
        if part.items > 1:
            part.payload = chunk(part.payload, part.items - 1)[0]
        offer(forwarder, part)

    patch(Forwarder, "offer", cut_short)
    assert "acknowledged what no sampler had taken" in _failure(unbroken())


def test_a_sender_that_is_never_answered_is_seen(patch: Patch) -> None:
    """A request whose parts have all arrived must be answered."""
    settle = Delivery._settle
    turns: Counter[Delivery] = Counter()

    def silent(delivery: Delivery) -> None:
        turns[delivery] += 1
        if turns[delivery] < 3:  # when it begins, and at its first part
            settle(delivery)

    patch(Delivery, "_settle", silent)
    scenario = unbroken()
    traffic = replace(scenario.traffic, patience_s=20.0)  # so that it ends sooner
    failure = _failure(replace(scenario, traffic=traffic))
    assert "did not answer a patient client" in failure


def test_a_fleet_that_forgets_what_is_retired_is_seen(patch: Patch) -> None:
    """The fault that seed 52 once found: closing did not end backends that had left."""

    async def close(fleet: Fleet) -> None:
        fleet._closed = True
        await fleet._tasks.close()
        for forwarder in fleet._forwarders():
            await forwarder.close()
        fleet.rests.end_all()

    patch(Fleet, "close", close)
    scenario = _changing()
    scenario = replace(
        scenario,
        traffic=replace(scenario.traffic, impatient=0.5, patience_s=2.0),
        router=replace(scenario.router, retire_timeout_s=5.0, retry_interval_s=0.5),
        to_sampler=Faults(unavailable=0.5, delay_max_s=2.0),
        events=Events(ring_changes=40, router_restarts=10),
    )
    failure = _failure(scenario)
    signs = ("held for ever", "never resolved", "no delivery waits for")
    assert any(sign in failure for sign in signs)


def _changing() -> Scenario:
    """A quiet network, and many lists while spans are sent."""
    scenario = unbroken()
    return replace(
        scenario,
        calm=False,
        traffic=replace(scenario.traffic, spread_s=40.0),
        events=Events(ring_changes=15),
    )


def _failure(scenario: Scenario) -> str:
    """What the run of something broken says."""
    with pytest.raises(SimulationFailed) as failure:
        run(scenario)
    error: BaseException | None = failure.value.__cause__
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return repr(error)
