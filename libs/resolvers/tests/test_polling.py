"""Resolvers that ask again and again: a hold between two changes."""

from __future__ import annotations

import pytest

from tailring_resolvers import Endpoint, ResolverConfig
from tailring_resolvers.endpoint import named
from tailring_resolvers.polling import PollingResolver
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_testkit.resolver_contract import Heard
from tailring_testkit.ticks import Ticks


class Listed(PollingResolver):
    """Answers ``names``; the time is ``now_ns``."""

    kind = "listed"

    def __init__(self, ticks: Ticks, *, hold_down_ns: int) -> None:
        self.names = ["a"]
        self.now_ns = 0
        super().__init__(
            metrics=Metrics(),
            log=get_logger(),
            sleep=ticks.sleep,
            hold_down_ns=hold_down_ns,
            clock_ns=lambda: self.now_ns,
        )

    async def _answer(self) -> tuple[Endpoint, ...]:
        return tuple(named(name) for name in self.names)

    def _pause_s(self, failure: Exception | None) -> float:
        return 1.0

    def _log_started(self) -> None:
        self._log.debug("started")


async def test_a_change_too_soon_is_told_with_a_later_answer() -> None:
    """A second change waits for ``hold_down``, and is told by the answer after it."""
    ticks, heard = Ticks(), Heard()
    resolver = Listed(ticks, hold_down_ns=60)
    await resolver.start(heard)
    resolver.names, resolver.now_ns = ["b"], 59
    await ticks.tick()
    assert heard.names() == [("a",)]
    resolver.now_ns = 60
    await ticks.tick()
    assert heard.names() == [("a",), ("b",)]
    await resolver.stop()


@pytest.mark.parametrize(
    "block",
    [
        {"dns": {"hostname": "a", "hold_down": "10s"}},
        {"k8s": {"service": "a", "hold_down": "10s"}},
        {"aws_cloud_map": {"namespace": "a", "service_name": "b", "hold_down": "10s"}},
    ],
)
def test_every_resolver_that_follows_has_the_key(block: dict[str, object]) -> None:
    """``hold_down`` is a key of each resolver whose source may flap."""
    config = ResolverConfig.model_validate(block)
    (found,) = (one for one in (config.dns, config.k8s, config.aws_cloud_map) if one)
    assert found.hold_down == 10_000_000_000
