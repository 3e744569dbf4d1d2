"""The memory limiter as a stage, with memory that a test moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from tailring_pipeline import (
    Batch,
    MemoryLimiter,
    MemoryLimiterConfig,
    MemorySettings,
    Refused,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time

MIB = 1024 * 1024
BATCH = Batch(b"abcd", 4)


@dataclass
class _Memory:
    """What the process uses, and what a collection would leave."""

    used_mib: int = 100
    garbage_mib: int = 0
    collections: int = 0

    def readers(self, *, workers: int) -> MemorySettings:
        """The readers to inject."""
        return MemorySettings(
            workers=workers,
            used_bytes=lambda: self.used_mib * MIB,
            total_bytes=lambda: 2000 * MIB,
            reclaim=self.reclaim,
        )

    def reclaim(self) -> None:
        """Free what is garbage."""
        self.used_mib -= self.garbage_mib
        self.garbage_mib = 0
        self.collections += 1


class _Rig:
    def __init__(self, *, workers: int = 1, **written: int) -> None:
        self.memory = _Memory()
        self.sink = Sink()
        self.metrics = Metrics()
        self.limiter = MemoryLimiter(
            MemoryLimiterConfig(
                **{"check_interval": 10**9, "limit_mib": 1000} | written
            ),
            consumer=self.sink,
            metrics=self.metrics,
            settings=self.memory.readers(workers=workers),
        )

    def value(self, name: str) -> float:
        return self.metrics.value(f"otelcol_processor_{name}")


@virtual_time
async def test_data_passes_while_memory_is_there() -> None:
    """Below the soft limit a batch is passed on and counted as accepted."""
    rig = _Rig()
    await rig.limiter.start()
    await rig.limiter.consume(BATCH)
    assert rig.sink.batches == [BATCH]
    assert rig.value("memory_limiter_accepted_spans") == 4
    assert rig.value("incoming_items") == rig.value("outgoing_items") == 4
    await rig.limiter.terminate()


@virtual_time
async def test_data_is_refused_while_memory_is_short() -> None:
    """Above the soft limit a batch is refused, retryable, and counted as refused."""
    rig = _Rig()
    await rig.limiter.start()
    rig.memory.used_mib = 900
    await asyncio.sleep(1.5)
    with pytest.raises(Refused) as caught:
        await rig.limiter.consume(BATCH)
    assert caught.value.reason == "memory_limited"
    assert rig.sink.batches == []
    assert rig.value("memory_limiter_refused_spans") == 4
    assert rig.value("outgoing_items") == 0
    await rig.limiter.terminate()


@virtual_time
async def test_memory_is_measured_before_the_first_batch() -> None:
    """A process that starts above its limit refuses from the start."""
    rig = _Rig()
    rig.memory.used_mib = 900
    await rig.limiter.start()
    assert rig.limiter.refusing
    await rig.limiter.terminate()


@virtual_time
async def test_a_failure_behind_it_still_counts_as_accepted() -> None:
    """As upstream, what was let through is accepted whatever the next stage says."""
    rig = _Rig()
    rig.sink.refuse()
    await rig.limiter.start()
    with pytest.raises(Refused, match="sink"):
        await rig.limiter.consume(BATCH)
    assert rig.value("memory_limiter_accepted_spans") == 4
    assert rig.value("outgoing_items") == 0
    await rig.limiter.terminate()


@virtual_time
async def test_garbage_is_collected_at_the_hard_limit() -> None:
    """Above the hard limit a collection runs, and its effect decides."""
    rig = _Rig()
    await rig.limiter.start()
    rig.memory.used_mib, rig.memory.garbage_mib = 1100, 600
    await asyncio.sleep(2.5)
    assert rig.memory.collections == 1
    assert not rig.limiter.refusing
    await rig.limiter.terminate()


@virtual_time
async def test_it_says_when_it_begins_and_ends_to_refuse() -> None:
    """The two changes are logged once each, with upstream's words."""
    rig = _Rig()
    await rig.limiter.start()
    with capture_logs() as logs:
        rig.memory.used_mib = 900
        await asyncio.sleep(5)
        rig.memory.used_mib = 100
        await asyncio.sleep(5)
    events = [line["event"] for line in logs]
    assert events == [
        "Memory usage is above soft limit. Refusing data.",
        "Memory usage back within limits. Resuming normal operation.",
    ]
    await rig.limiter.terminate()


@virtual_time
async def test_a_percentage_is_of_what_may_be_used() -> None:
    """Of 2000 MiB, 50 percent make a soft limit of 800 MiB."""
    rig = _Rig(limit_mib=0, limit_percentage=50)
    rig.memory.used_mib = 799
    await rig.limiter.start()
    assert not rig.limiter.refusing
    rig.memory.used_mib = 800
    rig.limiter.check()
    assert rig.limiter.refusing
    await rig.limiter.terminate()


@pytest.mark.parametrize(
    ("written", "soft_mib"),
    [
        ({"limit_mib": 0, "limit_percentage": 80}, 320),
        (
            {"limit_mib": 0, "limit_percentage": 80, "spike_limit_percentage": 20},
            300,
        ),
        ({"limit_mib": 500}, 400),
    ],
)
@virtual_time
async def test_workers_share_a_percentage(
    written: dict[str, int], soft_mib: int
) -> None:
    """Each of four workers has a quarter of it; MiB are each worker's own."""
    rig = _Rig(workers=4, **written)
    rig.memory.used_mib = soft_mib - 1
    await rig.limiter.start()
    assert not rig.limiter.refusing
    rig.memory.used_mib = soft_mib
    rig.limiter.check()
    assert rig.limiter.refusing
    await rig.limiter.terminate()


@virtual_time
async def test_nothing_is_measured_after_the_end() -> None:
    """Termination ends the checks."""
    rig = _Rig()
    await rig.limiter.start()
    await rig.limiter.terminate()
    rig.memory.used_mib = 900
    await asyncio.sleep(10)
    assert not rig.limiter.refusing
