"""Fixtures of the router's tests."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from services.router.tests.rig import (
    RETRY,
    SOON,
    Bench,
    MakeBench,
    MakeForwarder,
)

from tailring_otlpwire import LOGS, METRICS, RoutingRule
from tailring_pipeline import RetryConfig, Signal, TopLevelRetryConfig
from tailring_router.client import ForwarderSettings
from tailring_router.delivery import Dispatcher
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.forwarder import Forwarder
from tailring_router.metrics import RouterMetrics
from tailring_router.partition import BY_TRACE
from tailring_router.shared import Shared
from tailring_runtime.metrics import Metrics
from tailring_runtime.process import tune_collector
from tailring_runtime.settings import Settings
from tailring_testkit.backend import Backend
from tailring_testkit.client import ScriptedClient

# The routing keys that are the defaults.
RULES = {
    Signal.TRACES: BY_TRACE,
    Signal.LOGS: RoutingRule(LOGS, "service"),
    Signal.METRICS: RoutingRule(METRICS, "service"),
}


@pytest.fixture
def client() -> ScriptedClient:
    """The one client of a forwarder."""
    return ScriptedClient()


@pytest.fixture
def metrics() -> Metrics:
    """Fresh metrics."""
    return Metrics()


@pytest.fixture
def collector() -> Iterator[None]:
    """Python's garbage collector as the router sets it up: it would walk the objects of
    all tests of this process."""
    thresholds = gc.get_threshold()
    tune_collector(Settings().gc_threshold)
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.fixture
async def make_forwarder(
    client: ScriptedClient, metrics: Metrics
) -> AsyncIterator[MakeForwarder]:
    """Makes forwarders to `client`, and closes them."""
    made: list[Forwarder] = []

    def build(*, fleet: Shared | None = None, **settings: Any) -> Forwarder:
        forwarder = Forwarder(
            "b:1",
            lambda _: client,
            settings=ForwarderSettings(**{"retry": RETRY} | settings),
            metrics=RouterMetrics(metrics, "lb").backend("b:1"),
            fleet=fleet,
        )
        made.append(forwarder)
        return forwarder

    yield build
    for forwarder in made:
        await forwarder.close()


@pytest.fixture
async def make_bench() -> AsyncIterator[MakeBench]:
    """Makes benches; at the end each is closed and its books are in balance."""
    made: list[Bench] = []

    def build(
        *,
        level1: dict[str, Any] | None = None,
        level2: dict[str, Any] | None = None,
        acknowledged: bool = False,
        queued_bytes_max: int = 1 << 30,
        signal: Signal = Signal.TRACES,
        **forwarder: Any,
    ) -> Bench:
        metrics = RouterMetrics(Metrics(), "lb", signal=signal)
        clients: dict[str, ScriptedClient] = {}
        everyone: list[ScriptedClient] = []

        def connect(address: str) -> ScriptedClient:
            if clients[address].closed:  # it left before its first request
                clients[address] = ScriptedClient()
                everyone.append(clients[address])
            return clients[address]

        retry = RetryConfig(**(level2 or SOON))
        fleet = Fleet(
            FleetSettings(
                forwarder=ForwarderSettings(retry=retry, **forwarder),
                retire_timeout_s=1.0,
                queued_bytes_max=queued_bytes_max,
                rule=RULES[signal],
            ),
            connect=connect,
            metrics=metrics,
        )
        dispatcher = Dispatcher(
            fleet,
            retry=TopLevelRetryConfig(**(level1 or {"enabled": False})),
            metrics=metrics,
            acknowledged=acknowledged,
        )
        bench = Bench(fleet, dispatcher, metrics, clients, everyone)
        made.append(bench)
        return bench

    yield build
    for bench in made:
        await bench.fleet.close()
        assert bench.balanced()


@pytest.fixture
async def two() -> AsyncIterator[tuple[Backend, Backend]]:
    """A healthy backend and one that a test makes faulty."""
    async with Backend() as healthy, Backend() as faulty:
        yield healthy, faulty
