"""``processors.memory_limiter`` as an operator writes it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from tailring_pipeline.backoff import SECOND_NS
from tailring_runtime.config import ConfigModel, Duration, Int, rule

__all__ = ["MemoryLimiterConfig"]

UINT32_MAX = 2**32 - 1


class MemoryLimiterConfig(ConfigModel):
    """When memory is short: collect garbage, and refuse data until it is not.

    The hard limit is ``limit_mib`` (or a percentage of what the process may use); the
    soft limit lies below it by the spike limit, a fifth of the limit when not given.
    """

    check_interval: Duration = Field(
        default=0, description="How often memory is measured; required."
    )
    limit_mib: Int = Field(
        default=0, description="The hard limit; wins over the percentage.",
        ge=0, le=UINT32_MAX,
    )  # fmt: skip
    spike_limit_mib: Int = Field(
        default=0, description="How far the soft limit lies below; 0: a fifth of it.",
        ge=0, le=UINT32_MAX,
    )  # fmt: skip
    limit_percentage: Int = Field(
        default=0, description="The hard limit as a share of what may be used.",
        ge=0, le=UINT32_MAX,
    )  # fmt: skip
    spike_limit_percentage: Int = Field(
        default=0, description="The spike limit as a share of what may be used.",
        ge=0, le=UINT32_MAX,
    )  # fmt: skip
    min_gc_interval_when_soft_limited: Duration = Field(
        default=10 * SECOND_NS,
        description="Between forced collections above the soft limit at least.",
    )
    min_gc_interval_when_hard_limited: Duration = Field(
        default=0,
        description="Between forced collections above the hard limit at least.",
    )
    max_gc_interval_when_soft_limited: Duration = Field(
        default=30 * SECOND_NS,
        description="How far that interval grows while collections free little;"
        " 0: it does not grow.",
    )
    max_gc_interval_when_hard_limited: Duration = Field(
        default=30 * SECOND_NS,
        description="The same above the hard limit.",
    )

    @rule
    def _check_checks(self) -> Iterator[str]:
        if self.check_interval <= 0:
            yield "'check_interval' must be greater than zero"

    @rule
    def _check_intervals(self) -> Iterator[str]:
        soft_min = self.min_gc_interval_when_soft_limited
        hard_min = self.min_gc_interval_when_hard_limited
        soft_max = self.max_gc_interval_when_soft_limited
        hard_max = self.max_gc_interval_when_hard_limited
        if soft_min < hard_min:
            yield (
                "'min_gc_interval_when_soft_limited' should be larger than"
                " 'min_gc_interval_when_hard_limited'"
            )
        soft, hard = ("soft", soft_min, soft_max), ("hard", hard_min, hard_max)
        for word, least, most in (soft, hard):
            if most < 0:
                yield (f"'max_gc_interval_when_{word}_limited' must be non-negative")
            if 0 < most < least:
                yield (
                    f"'max_gc_interval_when_{word}_limited' must be greater than or"
                    f" equal to 'min_gc_interval_when_{word}_limited'"
                    " (or 0 to disable)"
                )
        if 0 < soft_max < hard_max:
            yield (
                "'max_gc_interval_when_soft_limited' should be larger than or equal to"
                " 'max_gc_interval_when_hard_limited' (when both are set)"
            )

    @rule
    def _check_limits(self) -> Iterator[str]:
        if self.limit_mib == 0 and self.limit_percentage == 0:
            yield ("'limit_mib' or 'limit_percentage' must be greater than zero")
        if self.limit_percentage > 100 or self.spike_limit_percentage > 100:
            yield (
                "'limit_percentage' and 'spike_limit_percentage' must be greater than"
                " zero and less than or equal to hundred"
            )
        if 0 < self.limit_mib <= self.spike_limit_mib:
            yield ("'spike_limit_mib' must be smaller than 'limit_mib'")
        if 0 < self.limit_percentage <= self.spike_limit_percentage:
            yield ("'spike_limit_percentage' must be smaller than 'limit_percentage'")
