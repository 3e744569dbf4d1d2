"""When a worker that died is started again, and when it is not worth trying.

* Before all workers have run once, a death is the end: whatever it is (a taken port, a
  wrong file) would meet every worker, and the operator is still looking.
* Later the first restart comes at once, the next ones after waits that double, each
  shortened by chance so that workers which died together do not come back together.
* A worker that ran for `STEADY_S` has no history.
* `FAILURES_MAX` deaths in a row before it ran are a crash loop: the end.

No I/O and no clock.
"""

from __future__ import annotations

from random import Random

__all__ = ["Restarts"]

FIRST_S = 0.5
LONGEST_S = 30.0
STEADY_S = 60.0
FAILURES_MAX = 10


class Restarts:
    """The history of one worker's place."""

    def __init__(self, *, random: Random) -> None:
        self._random = random
        self._deaths = 0
        self._failures = 0

    def died(self, *, ran_s: float, was_running: bool) -> float | None:
        """How long to wait before the next start; None to give up.

        ``ran_s`` is how long it lived, ``was_running`` whether it ever took data.
        """
        if ran_s >= STEADY_S:
            self._deaths = 0
        self._failures = 0 if was_running else self._failures + 1
        if self._failures >= FAILURES_MAX:
            return None
        return self.not_made()

    def not_made(self) -> float:
        """The same when no process could be made: the host's trouble, no crash loop."""
        self._deaths += 1
        if self._deaths == 1:
            return 0.0
        wait_s = min(LONGEST_S, FIRST_S * 2.0 ** (self._deaths - 2))
        return wait_s * self._random.uniform(0.5, 1.0)
