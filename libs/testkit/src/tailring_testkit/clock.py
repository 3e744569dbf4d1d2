"""A clock that only a test moves."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """Stands in for a monotonic clock; ``now_ns()`` changes by `advance` alone."""

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """The current reading in nanoseconds."""
        return self._now_ns

    def __call__(self) -> int:
        """The same as `now_ns`, for parts that take a function."""
        return self._now_ns

    def advance(self, *, s: float = 0.0, ms: float = 0.0, ns: int = 0) -> int:
        """Move forward by the sum of the arguments; returns the new reading."""
        step_ns = round(s * 1e9) + round(ms * 1e6) + ns
        if step_ns < 0:
            raise ValueError("a monotonic clock never goes back")
        self._now_ns += step_ns
        return self._now_ns
