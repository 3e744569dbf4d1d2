"""The limiter's rules: when to refuse, when to collect, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from tailring_pipeline import MemoryLimiterConfig
from tailring_pipeline.memory_gate import MIB, Limits, MemoryGate, Pressure

S = 1_000_000_000


def _config(**written: Any) -> MemoryLimiterConfig:
    base: dict[str, Any] = {"check_interval": S, "limit_mib": 1000}
    return MemoryLimiterConfig.model_validate({**base, **written})


def _gate(**written: Any) -> MemoryGate:
    config = _config(**written)
    return MemoryGate(config, Limits(config, total_bytes=0), now_ns=0)


@pytest.mark.parametrize(
    ("written", "total_mib", "hard_mib", "soft_mib"),
    [
        ({"limit_mib": 1000}, 0, 1000, 800),
        ({"limit_mib": 1000, "spike_limit_mib": 300}, 0, 1000, 700),
        ({"limit_mib": 0, "limit_percentage": 80}, 2000, 1600, 1280),
        (
            {"limit_mib": 0, "limit_percentage": 80, "spike_limit_percentage": 30},
            2000,
            1600,
            1000,
        ),
        ({"limit_mib": 1000, "limit_percentage": 80}, 2000, 1000, 800),
    ],
)
def test_the_limits_follow_the_configuration(
    written: dict[str, int], total_mib: int, hard_mib: int, soft_mib: int
) -> None:
    """The soft limit lies a spike below the hard one, a fifth of it by default."""
    limits = Limits(_config(**written), total_bytes=total_mib * MIB)
    assert limits.hard_bytes == hard_mib * MIB
    assert limits.soft_bytes == soft_mib * MIB


@pytest.mark.parametrize(
    ("used_mib", "pressure"),
    [
        (799, Pressure.NONE),
        (800, Pressure.SOFT),
        (999, Pressure.SOFT),
        (1000, Pressure.HARD),
    ],
)
def test_a_limit_is_reached_at_its_value(used_mib: int, pressure: Pressure) -> None:
    """Exactly at a limit counts as above it."""
    assert Limits(_config(), total_bytes=0).pressure(used_mib * MIB) is pressure


def test_it_refuses_above_the_soft_limit_only() -> None:
    """Refusing follows each measurement, whatever was measured before."""
    gate = _gate()
    refusing = []
    for used_mib in (100, 850, 1200, 790):
        gate.measured(used_mib * MIB, now_ns=0)
        refusing.append(gate.refusing)
    assert refusing == [False, True, True, False]


def test_above_the_soft_limit_it_collects_every_ten_seconds() -> None:
    """The first collection comes more than min_gc_interval_when_soft_limited later."""
    gate = _gate()
    assert not gate.measured(900 * MIB, now_ns=10 * S)
    assert gate.measured(900 * MIB, now_ns=11 * S)


def test_above_the_hard_limit_it_collects_at_each_check() -> None:
    """By default nothing has to pass between collections above the hard limit."""
    gate = _gate()
    assert gate.measured(1100 * MIB, now_ns=1 * S)


def test_a_collection_that_helps_ends_the_refusing() -> None:
    """When a collection brings memory below the soft limit, data is taken again."""
    gate = _gate()
    assert gate.measured(1100 * MIB, now_ns=1 * S)
    assert gate.collected(500 * MIB, now_ns=2 * S)
    assert not gate.refusing


def test_collections_that_free_little_become_rare() -> None:
    """The interval doubles from just under a check up to the configured maximum."""
    gate = _gate()
    gaps_s = []
    now_s, last_s = 0, 0
    while now_s < 200:
        now_s += 1
        if gate.measured(1100 * MIB, now_ns=now_s * S):
            assert not gate.collected(1095 * MIB, now_ns=now_s * S)
            gaps_s.append(now_s - last_s)
            last_s = now_s
    assert gaps_s[:7] == [1, 2, 4, 8, 16, 31, 31]


def test_memory_that_falls_resets_the_interval() -> None:
    """Once five percent are free again, the next collection is not held back."""
    gate = _gate()
    gate.measured(1100 * MIB, now_ns=1 * S)
    gate.collected(1100 * MIB, now_ns=1 * S)
    assert not gate.measured(1100 * MIB, now_ns=2 * S)
    assert gate.measured(1040 * MIB, now_ns=3 * S)


def test_a_maximum_of_zero_keeps_the_interval() -> None:
    """With max_gc_interval_when_hard_limited 0 every check above it collects."""
    gate = _gate(max_gc_interval_when_hard_limited=0)
    for second in range(1, 6):
        assert gate.measured(1100 * MIB, now_ns=second * S)
        gate.collected(1100 * MIB, now_ns=second * S)
