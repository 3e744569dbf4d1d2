"""When to refuse data and when to collect garbage: the limiter's rules, pure.

Rules, as upstream's:

* Above the soft limit data is refused; nothing else decides that.
* A collection is forced at most every ``min_gc_interval_when_*_limited``, and less
  often (twice the interval each time, up to ``max_gc_interval_*``) while collections
  free little: memory that is held by live queues is not garbage.
* When memory falls, by itself or by a collection, the intervals start again.

It does not measure and does not collect; its owner does both and brings the figures.
"""

from __future__ import annotations

from enum import Enum

from tailring_pipeline.memory_limiter_config import MemoryLimiterConfig

__all__ = ["Limits", "MemoryGate", "Pressure"]

MIB = 1024 * 1024
# A collection that frees less than this share was not worth its time.
EFFECTIVE_PERCENT = 5
# The least interval between collections is a little under one check, so that a check
# that comes slightly early still collects.
CHECK_SHARE = 0.95


class Pressure(Enum):
    """Which limit memory is above."""

    NONE = "none"
    SOFT = "soft"
    HARD = "hard"


class Limits:
    """The two limits in bytes. Raises ValueError when they leave nothing to use."""

    def __init__(self, config: MemoryLimiterConfig, *, total_bytes: int) -> None:
        if config.limit_mib:
            self.hard_bytes = config.limit_mib * MIB
            spike_bytes = config.spike_limit_mib * MIB
        else:
            self.hard_bytes = config.limit_percentage * total_bytes // 100
            spike_bytes = config.spike_limit_percentage * total_bytes // 100
        self.soft_bytes = self.hard_bytes - (spike_bytes or self.hard_bytes // 5)

    def pressure(self, used_bytes: int) -> Pressure:
        """Which limit ``used_bytes`` reach."""
        if used_bytes < self.soft_bytes:
            return Pressure.NONE
        return Pressure.SOFT if used_bytes < self.hard_bytes else Pressure.HARD


class MemoryGate:
    """Holds whether data is refused, and when the next collection is due."""

    def __init__(
        self, config: MemoryLimiterConfig, limits: Limits, *, now_ns: int
    ) -> None:
        self.limits = limits
        self.refusing = False
        self._check_ns: int = config.check_interval
        self._intervals = {
            Pressure.SOFT: _Interval(
                least_ns=config.min_gc_interval_when_soft_limited,
                most_ns=config.max_gc_interval_when_soft_limited,
            ),
            Pressure.HARD: _Interval(
                least_ns=config.min_gc_interval_when_hard_limited,
                most_ns=config.max_gc_interval_when_hard_limited,
            ),
        }
        self._collected_ns = now_ns
        self._seen_bytes = 0

    def measured(self, used_bytes: int, *, now_ns: int) -> bool:
        """Note a measurement; True when garbage is to be collected now.

        The owner then collects, measures again and calls `collected`.
        """
        self._note(used_bytes)
        pressure = self.limits.pressure(used_bytes)
        if pressure is Pressure.NONE:
            return False
        waited_ns = now_ns - self._collected_ns
        return waited_ns > self._intervals[pressure].gate_ns

    def collected(self, used_bytes: int, *, now_ns: int) -> bool:
        """Note what a collection left; False when it was not worth its time."""
        self._collected_ns = now_ns
        if self._note(used_bytes):
            return True
        for interval in self._intervals.values():
            interval.grow(check_ns=self._check_ns)
        return False

    def _note(self, used_bytes: int) -> bool:
        self.refusing = self.limits.pressure(used_bytes) is not Pressure.NONE
        enough_bytes = self._seen_bytes * (100 - EFFECTIVE_PERCENT) // 100
        effective = not self.refusing or used_bytes <= enough_bytes
        self._seen_bytes = used_bytes
        if effective:
            for interval in self._intervals.values():
                interval.reset()
        return effective


class _Interval:
    def __init__(self, *, least_ns: int, most_ns: int) -> None:
        self._least_ns = least_ns
        self._most_ns = most_ns
        self._grown_ns = 0

    @property
    def gate_ns(self) -> int:
        return max(self._least_ns, self._grown_ns)

    def reset(self) -> None:
        self._grown_ns = 0

    def grow(self, *, check_ns: int) -> None:
        if not self._most_ns:
            self._grown_ns = self._least_ns
            return
        start_ns = max(self._least_ns, int(check_ns * CHECK_SHARE))
        doubled_ns = max(self._grown_ns, start_ns) * 2
        self._grown_ns = min(doubled_ns, max(self._most_ns, self._least_ns))
