"""When a dead worker is started again."""

from __future__ import annotations

from random import Random

from tailring_runtime.restarts import FAILURES_MAX, LONGEST_S, STEADY_S, Restarts


def test_the_first_restart_comes_at_once() -> None:
    """One death costs no wait."""
    restarts = Restarts(random=Random(1))
    assert restarts.died(ran_s=1, was_running=True) == 0.0


def test_waits_double_and_are_bounded() -> None:
    """Each further wait is at most twice the one before, and never above the bound."""
    restarts = Restarts(random=Random(2))
    waits = [restarts.died(ran_s=1, was_running=True) for _ in range(20)]
    for number, wait in enumerate(waits[1:]):
        assert wait is not None
        bound = min(LONGEST_S, 0.5 * 2**number)
        assert bound / 2 <= wait <= bound


def test_who_ran_long_enough_has_no_history() -> None:
    """A death after a long life is a first one again."""
    restarts = Restarts(random=Random(3))
    for _ in range(5):
        restarts.died(ran_s=1, was_running=True)
    assert restarts.died(ran_s=STEADY_S, was_running=True) == 0.0


def test_a_crash_loop_ends() -> None:
    """After so many starts in a row that came to nothing there is no further one."""
    restarts = Restarts(random=Random(4))
    answers = [restarts.died(ran_s=1, was_running=False) for _ in range(FAILURES_MAX)]
    assert None not in answers[:-1]
    assert answers[-1] is None
