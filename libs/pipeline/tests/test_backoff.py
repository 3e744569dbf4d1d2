"""The waits between attempts, and when they end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tailring_pipeline import Backoff, RetryConfig

S = 1_000_000_000


def _waits(config: RetryConfig, count: int, *, jitter: float = 0.5) -> list[float]:
    backoff = Backoff(config)
    delays = [backoff.next_delay_ns(0, jitter=jitter) for _ in range(count)]
    return [delay / S for delay in delays if delay is not None]


def test_the_default_waits_grow_by_half_up_to_thirty_seconds() -> None:
    """In the middle of the jitter the waits are 5, 7.5, 11.25, ... and at most 30."""
    waits = _waits(RetryConfig(max_elapsed_time=0), 7)
    assert waits == pytest.approx([5, 7.5, 11.25, 16.875, 25.3125, 30, 30])


@pytest.mark.parametrize(("jitter", "wait_s"), [(0.0, 2.5), (0.5, 5.0), (1.0, 7.5)])
def test_jitter_spreads_the_wait_to_both_sides(jitter: float, wait_s: float) -> None:
    """The first wait lies between half and one and a half of the initial interval."""
    assert _waits(RetryConfig(), 1, jitter=jitter) == pytest.approx([wait_s])


def test_a_multiplier_of_zero_keeps_the_interval() -> None:
    """With multiplier 0 and no jitter every wait is exactly the initial interval."""
    config = RetryConfig(multiplier=0, randomization_factor=0, max_elapsed_time=0)
    assert _waits(config, 4) == [5, 5, 5, 5]


def test_the_first_wait_may_exceed_the_maximum() -> None:
    """As upstream, an initial interval above max_interval is used once."""
    config = RetryConfig(
        initial_interval=9 * S, max_interval=2 * S, randomization_factor=0
    )
    assert _waits(config, 3) == [9, 2, 2]


def test_a_maximum_of_zero_does_not_bound() -> None:
    """With max_interval 0 the waits grow without a bound, and stay numbers."""
    config = RetryConfig(max_interval=0, max_elapsed_time=0, multiplier=10)
    waits = _waits(config, 500)
    assert waits[:3] == pytest.approx([5, 50, 500])
    assert waits[-1] <= 1.5 * 2**62 / S


def test_a_wait_that_was_asked_for_is_a_minimum() -> None:
    """The other side's wait replaces a shorter one of ours, never a longer one."""
    backoff = Backoff(RetryConfig(randomization_factor=0))
    assert backoff.next_delay_ns(0, jitter=0, retry_after_ns=20 * S) == 20 * S
    assert backoff.next_delay_ns(0, jitter=0, retry_after_ns=1) == int(7.5 * S)


def test_it_gives_up_before_a_wait_that_ends_too_late() -> None:
    """A wait that would end after max_elapsed_time is answered with None."""
    config = RetryConfig(
        max_elapsed_time=12 * S, max_interval=12 * S, randomization_factor=0
    )
    backoff = Backoff(config, started_ns=100 * S)
    assert backoff.next_delay_ns(101 * S, jitter=0) == 5 * S
    assert backoff.next_delay_ns(106 * S, jitter=0) is None


def test_a_wait_that_was_asked_for_can_exceed_the_time_left() -> None:
    """It gives up at once when the wait that is asked for is longer than the budget."""
    backoff = Backoff(RetryConfig())
    assert backoff.next_delay_ns(0, jitter=0, retry_after_ns=301 * S) is None


def test_no_elapsed_limit_never_gives_up() -> None:
    """With max_elapsed_time 0 there is always a next attempt."""
    backoff = Backoff(RetryConfig(max_elapsed_time=0), started_ns=0)
    assert backoff.next_delay_ns(10**18, jitter=0) is not None


@given(
    jitters=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40),
    factor=st.floats(0, 1),
    multiplier=st.floats(1, 4),
)
def test_waits_stay_within_their_bounds(
    jitters: list[float], factor: float, multiplier: float
) -> None:
    """Every wait lies within the jitter of an interval from 5 to 30 seconds."""
    config = RetryConfig(
        randomization_factor=factor, multiplier=multiplier, max_elapsed_time=0
    )
    backoff = Backoff(config)
    for jitter in jitters:
        delay_ns = backoff.next_delay_ns(0, jitter=jitter)
        assert delay_ns is not None
        assert (1 - factor) * 5 * S - 1 <= delay_ns <= (1 + factor) * 30 * S + 1


def test_a_wrong_key_does_not_hide_the_others() -> None:
    """Each key out of its range is told, and what does not fit together as well."""
    written = {
        "multiplier": "x",
        "randomization_factor": 2.0,
        "initial_interval": 60 * S,
        "max_elapsed_time": 30 * S,
    }
    with pytest.raises(ValidationError) as caught:
        RetryConfig.model_validate(written)
    said = str(caught.value)
    assert "expected a number, got the text 'x'" in said
    assert "'max_elapsed_time' must not be less than 'initial_interval'" in said
    with pytest.raises(ValidationError) as caught:
        RetryConfig.model_validate({**written, "multiplier": -1.0})
    assert "multiplier value must be greater" in str(caught.value)
    assert "randomization_factor value must be less" in str(caught.value)
