"""The load balancer keeps the contract of every stage, with and without queues."""

from typing import Any

import pytest

from tailring_otlpwire import count_spans
from tailring_pipeline import RetryConfig, TopLevelRetryConfig
from tailring_router.balancer import BalancerSettings, LoadBalancer
from tailring_router.client import ForwarderSettings
from tailring_router.config import LoadBalancingConfig
from tailring_router.delivery import Dispatcher
from tailring_router.exporter import LoadBalancingExporter
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.metrics import RouterMetrics
from tailring_runtime.metrics import Metrics
from tailring_testkit.client import ScriptedClient
from tailring_testkit.fake_resolver import FakeResolver
from tailring_testkit.stage_contract import (
    ConsumingContract,
    StageContract,
    StageSubject,
)


def _subject(*, early: bool) -> StageSubject:
    clients: list[ScriptedClient] = []

    def connect(_address: str) -> ScriptedClient:
        clients.append(ScriptedClient())
        return clients[-1]

    metrics = RouterMetrics(Metrics(), "lb")
    settings = ForwarderSettings(retry=RetryConfig())
    fleet = Fleet(FleetSettings(settings), connect=connect, metrics=metrics)
    stage = LoadBalancer(
        BalancerSettings(acknowledges_early=early),
        resolver=FakeResolver("a:1", "b:1"),
        fleet=fleet,
        dispatcher=Dispatcher(fleet, retry=TopLevelRetryConfig(), metrics=metrics),
    )

    def delivered() -> int:
        payloads = [p for client in clients for p in client.delivered]
        return sum(count_spans(payload) for payload in payloads)

    return StageSubject(stage, delivered)


class TestWaitingBalancer(ConsumingContract):
    """Acknowledged by the backends."""

    @pytest.fixture
    async def subject(self) -> StageSubject:
        return _subject(early=False)


class TestAcknowledgingBalancer(ConsumingContract):
    """Acknowledged when queued at level 2."""

    @pytest.fixture
    async def subject(self) -> StageSubject:
        return _subject(early=True)


@pytest.mark.parametrize("keys", [{}, {"queue": {}}], ids=["no queue", "level 1"])
class TestExporter(StageContract):
    """The whole part, with real clients that are never asked for anything."""

    @pytest.fixture
    async def subject(self, keys: dict[str, Any]) -> LoadBalancingExporter:
        config = LoadBalancingConfig.model_validate(
            {"resolver": {"static": {"hostnames": ["127.0.0.1:9"]}}, **keys}
        )
        return LoadBalancingExporter(
            config, metrics=RouterMetrics(Metrics(), "load_balancing")
        )
