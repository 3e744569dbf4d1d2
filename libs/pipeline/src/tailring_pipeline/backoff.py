"""When to try again: exponential backoff with jitter, and when to give up.

Rules:

* Pure: the caller brings the clock reading and the random number.
* The same arithmetic as the collector's: the first wait is ``initial_interval``, each
  next one ``multiplier`` times longer up to ``max_interval``, and every wait is spread
  by ``randomization_factor`` to both sides.
* A wait that the other side asked for is a minimum, never a maximum.
* A wait that would end after ``max_elapsed_time`` is not begun.

A multiplier of 0 keeps every wait at ``initial_interval``; a ``max_interval`` of 0 is
no upper bound. It does not know what is being retried.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from tailring_runtime.config import Bool, ConfigModel, Duration, Float, rule

__all__ = ["Backoff", "RetryConfig", "TopLevelRetryConfig"]

SECOND_NS = 1_000_000_000
# Keeps an unbounded interval a number that a clock can be compared with.
INTERVAL_NS_MAX = 2**62


class RetryConfig(ConfigModel):
    """``retry_on_failure`` of an exporter: on unless the file says otherwise."""

    enabled: Bool = Field(
        default=True, description="Off: a batch that failed is not sent again."
    )
    initial_interval: Duration = Field(
        default=5 * SECOND_NS, description="The first wait; 0 retries at once."
    )
    randomization_factor: Float = Field(
        default=0.5,
        description="Waits are drawn from interval * (1 - factor) to * (1 + factor).",
    )
    multiplier: Float = Field(
        default=1.5, description="How much longer each wait is; 0: all are equal."
    )
    max_interval: Duration = Field(
        default=30 * SECOND_NS,
        description="No wait of our own choice is longer; 0: no bound.",
    )
    max_elapsed_time: Duration = Field(
        default=300 * SECOND_NS,
        description="How long one batch is tried, waits included; 0: without end.",
    )

    @rule
    def _check_ranges(self) -> Iterator[str]:
        for name in (
            "initial_interval",
            "randomization_factor",
            "multiplier",
            "max_interval",
            "max_elapsed_time",
        ):
            if getattr(self, name) < 0:
                yield (f"{name} value must be greater than or equal to 0")
        if self.randomization_factor > 1:
            yield ("randomization_factor value must be less than or equal to 1")

    @rule
    def _check_elapsed(self) -> Iterator[str]:
        if self.max_elapsed_time == 0:
            return
        for name in self._compared():
            if self.max_elapsed_time < getattr(self, name):
                yield (f"'max_elapsed_time' must not be less than '{name}'")

    def _compared(self) -> tuple[str, ...]:
        return ("initial_interval", "max_interval")


class TopLevelRetryConfig(RetryConfig):
    """``retry_on_failure`` of ``loadbalancing`` itself: off until it is switched on.

    Upstream starts from zeros here, so a file may set ``max_elapsed_time`` below our
    defaults of the other keys: only what is written is compared.
    """

    enabled: Bool = Field(
        default=False, description="On: a request that failed is routed again."
    )

    def _compared(self) -> tuple[str, ...]:
        written = self.model_fields_set
        return tuple(name for name in super()._compared() if name in written)


class Backoff:
    """The waits of one batch. One object a batch, used up with it.

    Time counts from ``started_ns``, or from the first call when that is None.
    """

    def __init__(self, config: RetryConfig, *, started_ns: int | None = None) -> None:
        self._config = config
        self._started_ns = started_ns
        self._interval_ns: int = config.initial_interval

    def next_delay_ns(
        self, now_ns: int, *, jitter: float, retry_after_ns: int = 0
    ) -> int | None:
        """How long to wait before the next attempt, or None to give up.

        ``jitter`` is a random number in [0, 1); ``retry_after_ns`` is what the other
        side asked for. Each call lengthens the next wait.
        """
        started_ns = self._started_ns
        if started_ns is None:
            started_ns = self._started_ns = now_ns
        spread_ns = self._config.randomization_factor * self._interval_ns
        drawn_ns = self._interval_ns - spread_ns + jitter * 2 * spread_ns
        delay_ns = max(int(drawn_ns), retry_after_ns)
        self._grow()
        elapsed_max_ns = self._config.max_elapsed_time
        if elapsed_max_ns and now_ns + delay_ns - started_ns > elapsed_max_ns:
            return None
        return delay_ns

    def _grow(self) -> None:
        config = self._config
        if config.multiplier == 0:
            return
        grown_ns = self._interval_ns * config.multiplier
        capped_ns = min(grown_ns, config.max_interval or INTERVAL_NS_MAX)
        self._interval_ns = int(capped_ns)
