"""The warning about a backend that gets far more than the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from services.router.tests.rig import part_of
from structlog.testing import capture_logs

from tailring_router.part import Part, now_ns
from tailring_router.watch import (
    LOOK_BYTES_MAX,
    LOOK_EVERY_NS,
    BalanceWatch,
    WatchSettings,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.virtual_time import virtual_time

SKEWED = "a backend gets more than twice the mean"
EVEN = {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}


def chunks(payload: bytes) -> Sequence[bytes]:
    """Payloads of these tests are trace ids, one after the other."""
    return [payload[at : at + 16] for at in range(0, len(payload), 16)]


def watch_of(metrics: Metrics) -> BalanceWatch:
    settings = WatchSettings("lb", "traces", "traceID")
    return BalanceWatch(settings, keys_of=chunks, metrics=metrics)


def part(address: str, payload: bytes) -> Part:
    made = part_of(payload)
    made.address = address
    return made


def sent(a: int, others: int) -> dict[str, int]:
    return {"a": a, "b": others, "c": others, "d": others}


def warnings(logged: Sequence[Any], event: str = SKEWED) -> list[Any]:
    return [one for one in logged if one["event"].startswith(event)]


async def test_a_hot_backend_is_told_with_its_cause(metrics: Metrics) -> None:
    """The warning has the backend, its share, and the trace that is to blame."""
    watch = watch_of(metrics)
    giant, source = b"\x4b" * 16, random.Random(1)
    watch.look([part("a", giant * 90 + source.randbytes(16 * 30))])
    with capture_logs() as logged:
        watch.judge(sent(70_000, 10_000), EVEN)
    (told,) = warnings(logged)
    assert (told["backend"], told["over_the_mean"], told["share"]) == ("a", 2.8, 0.7)
    assert told["likely_cause"].startswith(f"one giant trace: {giant.hex()} is 75%")
    assert metrics.value("tailring_router_hottest_backend_ratio") == 2.8


async def test_only_the_last_window_counts(metrics: Metrics) -> None:
    """What was sent before, and to a backend that came back, is no skew of today."""
    watch = watch_of(metrics)
    watch.judge(sent(10_000, 10_000), EVEN)
    with capture_logs() as logged:
        watch.judge(sent(80_000, 80_000), EVEN)
        watch.judge(sent(2_000, 82_000), EVEN)
    assert not warnings(logged)


@virtual_time
async def test_a_warning_is_not_repeated_every_minute(metrics: Metrics) -> None:
    """While it holds, it is told at once and then every ten minutes."""
    watch = watch_of(metrics)
    totals = sent(0, 0)
    with capture_logs() as logged:
        watch.start(lambda: dict(totals), lambda: EVEN)
        for _ in range(25):
            for address in totals:
                totals[address] += 70_000 if address == "a" else 10_000
            await asyncio.sleep(60)
        await watch.close()
    assert len(warnings(logged)) == 3
    assert "tailring_router_hottest_backend_ratio{" not in metrics.expose().decode()


async def test_sequential_ids_are_told(metrics: Metrics) -> None:
    """Ids that count up get a warning of their own, once."""
    watch = watch_of(metrics)
    with capture_logs() as logged:
        for window in range(2):
            ids = [(1 << 100 | window << 20 | n).to_bytes(16) for n in range(99)]
            watch.look([part("a", b"".join(ids))])
            watch.judge(sent(10, 10), EVEN)
    assert len(warnings(logged, "trace ids are sequential")) == 1


async def test_few_parts_are_looked_into(metrics: Metrics) -> None:
    """After a look the next is due later; large parts and homeless ones are let go."""
    looked: list[bytes] = []

    def keys_of(payload: bytes) -> list[bytes]:
        """Remembers what it was asked."""
        looked.append(payload)
        return []

    settings = WatchSettings("lb", "traces", "traceID")
    watch = BalanceWatch(settings, keys_of=keys_of, metrics=metrics)
    at_ns = now_ns()
    watch.look([part("a", b"x" * (LOOK_BYTES_MAX + 1))])
    watch.look([part("", b"y")])
    assert watch.due_ns >= at_ns + LOOK_EVERY_NS
    assert looked == []
    watch.look([part("a", b"z")])
    assert looked == [b"z"]


@pytest.mark.parametrize("total", [{}, {"a": 0, "b": 0}])
async def test_no_traffic_is_no_skew(metrics: Metrics, total: dict[str, int]) -> None:
    """Without backends, or without items, the ratio is 0 and nothing is told."""
    watch = watch_of(metrics)
    with capture_logs() as logged:
        watch.judge(total, {})
    assert not warnings(logged)
    assert metrics.value("tailring_router_hottest_backend_ratio") == 0
