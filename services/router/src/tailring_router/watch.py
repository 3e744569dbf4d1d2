"""Looks once a minute whether the backends get about alike, and warns when not.

What it is: the shell around `balance`. The items that each backend was sent are read
off its counters; a few parts a second are looked into for their routing keys, so that
the cause can be named. That costs one comparison for a request that is not looked into.

A warning is repeated every ten minutes while it holds. The figure itself is a metric.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tailring_router.balance import KeySample, Skew, find_skew
from tailring_router.part import Part, now_ns
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics, MetricSpec
from tailring_runtime.tasks import TaskSet

__all__ = ["HOTTEST", "BalanceWatch", "WatchSettings"]

log = get_logger()

HOTTEST = MetricSpec(
    name="tailring_router_hottest_backend_ratio",
    kind="gauge",
    across="max",
    labels=("exporter", "data_type"),
    help="Items of the backend that got the most in the last minute, over the mean of"
    " all backends; above 2 a warning names the backend and the likely cause.",
)

WINDOW_S: Final = 60.0
# Between two warnings about the same thing.
QUIET_S: Final = 600.0
# Between two parts that are looked into, and how large one may be.
LOOK_EVERY_NS: Final = 200_000_000
LOOK_BYTES_MAX: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Whom is watched: the labels of its metrics, and what it routes by."""

    exporter: str
    data_type: str
    routing_key: str


class BalanceWatch:
    """Lives on the event loop; `look` is called by whoever partitions."""

    def __init__(
        self,
        settings: WatchSettings,
        *,
        keys_of: Callable[[bytes], Sequence[bytes]],
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``keys_of`` gives the routing key of each item of a payload."""
        self.due_ns = 0
        self._settings = settings
        self._keys_of = keys_of
        self._metrics = metrics
        self._sleep = sleep
        self.sample = KeySample()
        self._before: dict[str, int] = {}
        self._warned_s: dict[str, float] = {}
        self._labels = {
            "exporter": settings.exporter,
            "data_type": settings.data_type,
        }
        self._ratio = metrics.gauge(HOTTEST, **self._labels)
        self._tasks = TaskSet("balance watch", metrics=metrics)

    def look(self, parts: Sequence[Part]) -> None:
        """Take the keys of one of these parts into the sample, now and then.

        The caller has seen that `due_ns` has passed, or need not care.
        """
        self.due_ns = now_ns() + LOOK_EVERY_NS
        whole = [part for part in parts if part.address]
        if not whole:
            return
        part = random.choice(whole)
        if len(part.payload) <= LOOK_BYTES_MAX:
            self.sample.add(part.address, self._keys_of(part.payload))

    def start(
        self, sent: Callable[[], dict[str, int]], shares: Callable[[], dict[str, float]]
    ) -> None:
        """Watch from now on: ``sent`` has the items ever sent to each backend of the
        ring, ``shares`` what each owns of the key space."""
        self._before = sent()
        self._tasks.spawn(self._watch(sent, shares), name="balance watch")

    async def close(self) -> None:
        """Watch no more. Safe twice and unstarted."""
        await self._tasks.close()
        self._metrics.remove(HOTTEST, **self._labels)

    async def _watch(
        self, sent: Callable[[], dict[str, int]], shares: Callable[[], dict[str, float]]
    ) -> None:
        while True:
            await self._sleep(WINDOW_S)
            self.judge(sent(), shares())

    def judge(self, sent: Mapping[str, int], shares: Mapping[str, float]) -> None:
        """End a window: say what was uneven in it, and begin the next one."""
        # A backend that came back counts from zero again.
        grown = {
            address: total - before if total >= before else total
            for address, total in sent.items()
            for before in (self._before.get(address, 0),)
        }
        self._before, sample = dict(sent), self.sample
        self.sample = KeySample()
        mean = sum(grown.values()) / len(grown) if grown else 0.0
        self._ratio.set(max(grown.values()) / mean if mean else 0.0)
        by = self._settings.routing_key
        skew = find_skew(grown, sample=sample, ring_shares=shares, routing_key=by)
        if skew is not None and self._may_warn(skew.address):
            self._warn(skew)
        if by == "traceID" and sample.sequential() and self._may_warn(""):
            log.warning(
                "trace ids are sequential: backends get alike, but a probabilistic"
                " policy behind them does not choose at random; use random trace ids",
                exporter=self._settings.exporter,
            )

    def _may_warn(self, about: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._warned_s.get(about, -QUIET_S) < QUIET_S:
            return False
        self._warned_s = {
            what: at for what, at in self._warned_s.items() if now_s - at < QUIET_S
        }
        self._warned_s[about] = now_s
        return True

    def _warn(self, skew: Skew) -> None:
        log.warning(
            "a backend gets more than twice the mean",
            exporter=self._settings.exporter,
            backend=skew.address,
            over_the_mean=round(skew.ratio, 2),
            share=round(skew.share, 3),
            likely_cause=skew.cause,
        )
