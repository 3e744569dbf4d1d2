"""The verdict can fail: each rule is broken on purpose, and the run says so."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.simulation import world
from tests.simulation.broken import unbroken
from tests.simulation.scenario import Faults, Scenario
from tests.simulation.world import SimulationFailed, run

from tailring_otlpwire import RoutingRule
from tailring_pipeline import Batch, SendingQueue
from tailring_router import fleet
from tailring_router.balancer import LoadBalancer
from tailring_router.forwarder import Forwarder
from tailring_router.line import Line
from tailring_router.metrics import BackendMetrics, Door, RouterMetrics
from tailring_router.part import DELIVERED, Part, Result
from tailring_router.partition import Partition, partition
from tailring_router.repeats import Repeats
from tailring_router.topology import Topology
from tailring_sampler import processor
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.release import Release
from tailring_sampler.sampler import KeptTrace, Sampler

Patch = Callable[[Any, str, Any], None]


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Put something broken in the place of something sound."""
    return monkeypatch.setattr


def test_nothing_fails_unbroken() -> None:
    """The scenario of this module keeps every rule, so what fails was broken here."""
    sound = run(unbroken())
    assert sum(sound.ledger.taken_by.values()) == len(sound.plan.spans)
    probes = len(sound.plan.probes)  # which are not kept
    assert sum(sound.ledger.exported_by.values()) == len(sound.plan.spans) - probes
    assert len(sound.ledger.taken_by) == 3


def test_a_wrong_owner_is_seen(patch: Patch) -> None:
    """A router that sends parts to the neighbour of their owner splits traces."""

    def wrong(payload: bytes, topology: Topology, rule: RoutingRule) -> Partition:
        owners = topology.addresses
        return Partition(
            [
                part._replace(address=owners[owners.index(part.address) - 1])
                for part in partition(payload, topology, rule).routed
            ]
        )

    patch(fleet, "partition", wrong)
    assert "splits a trace" in _failure(unbroken())


def test_a_dropped_part_is_seen(patch: Patch) -> None:
    """A part that is called delivered and was never sent is missed at its answer."""

    def drop(_forwarder: Forwarder, part: Part) -> None:
        part.resolve(DELIVERED)

    patch(Forwarder, "offer", drop)
    assert "acknowledged what no sampler had taken" in _failure(unbroken())


def test_a_span_that_is_lost_in_the_router_is_seen(patch: Patch) -> None:
    """Where an early answer is allowed, a loss still has to leave by a door."""

    async def swallow(_line: Line, _parts: list[Part]) -> Result:
        return DELIVERED

    patch(Line, "call", swallow)
    scenario = unbroken()
    early = replace(scenario.router, acknowledges_early=True)
    failure = _failure(replace(scenario, router=early))
    assert "are missing, 0 left by a named door" in failure


def test_an_answer_before_the_delivery_is_seen(patch: Patch) -> None:
    """A router that acknowledges early although nobody configured it is caught, also
    when everything is delivered in the end."""
    consume = LoadBalancer.consume

    async def early(balancer: LoadBalancer, batch: Batch) -> None:
        settings = balancer._settings
        balancer._settings = replace(settings, acknowledges_early=True)
        await consume(balancer, batch)

    patch(LoadBalancer, "consume", early)
    assert "acknowledged what no sampler had taken" in _failure(unbroken())


def test_half_a_trace_is_seen(patch: Patch) -> None:
    """A sampler that decides before the trace is whole drops what it had to keep."""
    build = processor.build_sampler

    def hasty(config: TailSamplingConfig, **more: Any) -> Sampler:
        hurried = config.model_copy(update={"decision_wait": 1_000_000_000})
        return build(hurried, **more)

    patch(processor, "build_sampler", hasty)
    scenario = unbroken()
    slow = replace(scenario.traffic, spread_s=8.0)
    failure = _failure(replace(scenario, traffic=slow))
    assert "spans of kept traces are missing" in failure


def test_a_doubt_that_is_not_counted_is_seen(patch: Patch) -> None:
    """A router has to say of how many spans it does not know whether they arrived."""
    patch(BackendMetrics, "doubted", lambda _metrics, _spans: None)
    scenario = unbroken()
    failure = _failure(replace(scenario, to_sampler=Faults(answer_lost=0.3)))
    assert "doubts 0 spans" in failure


def test_a_double_delivery_is_seen(patch: Patch) -> None:
    """A router that sends what it knows to have arrived is caught at that moment."""
    call = Line.call

    async def twice(line: Line, parts: list[Part]) -> Result:
        await call(line, parts)
        return await call(line, parts)

    patch(Line, "call", twice)
    assert "although its delivery was known" in _failure(unbroken())


def test_a_double_export_is_seen(patch: Patch) -> None:
    """A sampler's exporter that sends twice is caught at that moment."""
    consume = SendingQueue.consume

    async def twice(queue: SendingQueue, batch: Batch) -> None:
        await consume(queue, batch)
        await consume(queue, batch)

    patch(SendingQueue, "consume", twice)
    assert "although it had arrived" in _failure(unbroken())


def test_a_part_that_is_sent_again_after_it_arrived_is_seen(patch: Patch) -> None:
    """A router that forgets what arrived of a refused request sends it twice."""
    patch(Repeats, "take", lambda *_: None)
    scenario = unbroken()
    failure = _failure(
        replace(
            scenario,
            traffic=replace(scenario.traffic, verbatim=True),
            router=replace(
                scenario.router, routers=1, level1_retry=False, level2_retry=False
            ),
            to_sampler=replace(scenario.to_sampler, unavailable=0.5),
        )
    )
    assert "knew that copy" in failure


def test_an_export_that_never_happened_is_seen(patch: Patch) -> None:
    """A kept trace that an exporter swallows is missing at the end."""

    async def swallow(_queue: SendingQueue, _batch: Batch) -> None:
        """Acknowledge, and forget."""

    patch(SendingQueue, "consume", swallow)
    assert "delivered, and never seen" in _failure(unbroken())


def test_a_trace_of_the_wrong_decision_is_seen(patch: Patch) -> None:
    """A sampler that exports what its policies dropped is caught."""
    build = processor.build_sampler
    every = {"policies": [{"name": "every", "type": "always_sample"}]}

    def generous(config: TailSamplingConfig, **more: Any) -> Sampler:
        policies = TailSamplingConfig.model_validate(every).policies
        return build(config.model_copy(update={"policies": policies}), **more)

    patch(processor, "build_sampler", generous)
    scenario = unbroken()
    traffic = replace(scenario.traffic, error_share=0.0)
    failure = _failure(replace(scenario, traffic=traffic))
    assert "a dropped trace was exported" in failure


def test_books_of_a_router_that_do_not_balance_are_seen(patch: Patch) -> None:
    """A delivery that nobody counted leaves the router's books unbalanced."""
    left = RouterMetrics.left

    def forgetful(metrics: RouterMetrics, door: Door, spans: int) -> None:
        if door is not Door.DELIVERED:
            left(metrics, door, spans)

    patch(RouterMetrics, "left", forgetful)
    assert "held by the counters" in _failure(unbroken())


def test_books_of_a_sampler_that_do_not_balance_are_seen(patch: Patch) -> None:
    """A kept trace that does not get to the release is missed at once."""

    def forget(_release: Release, _trace: KeptTrace) -> None:
        """Let it go."""

    patch(Release, "offer", forget)
    assert "a kept span did not go to the release" in _failure(unbroken())


def test_a_part_that_is_never_resolved_is_seen(patch: Patch) -> None:
    """A request whose part is forgotten is waited for for ever, which is no end."""

    async def forget(_line: Line, parts: list[Part]) -> Result:
        return await parts[0].result

    patch(Line, "call", forget)
    patch(world, "RUN_MAX_S", 60.0)
    assert "TimeoutError" in _failure(unbroken())


def _failure(scenario: Scenario) -> str:
    """What the run of something broken says."""
    with pytest.raises(SimulationFailed) as failure:
        run(scenario)
    return "".join(traceback.format_exception(failure.value.__cause__))
