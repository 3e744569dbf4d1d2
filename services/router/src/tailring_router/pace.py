"""How long a fleet gathers parts before it sends them.

A request to a backend costs far more than the items in it. With few backends the parts
of several requests meet by themselves; with many, each would leave alone: 50 backends
make 50 small requests of one. So the more requests a second leave the router, the
longer parts wait for company:

* While few leave (``CALM_PER_S``), or while only one sender waits for its answer and
  nobody could join it, a part waits at most the time that the settings name.
* Otherwise it waits so long that about ``WANTED_PER_S`` leave, but never longer than
  ``LINGER_MAX_S``.

Pure: no clock, no I/O. Seconds are those of the event loop.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["CALM_PER_S", "LINGER_MAX_S", "WANTED_PER_S", "Pace"]

# At some 100 us of CPU time each, a tenth and a quarter of a core.
CALM_PER_S: Final = 1000.0
WANTED_PER_S: Final = 2500.0
LINGER_MAX_S: Final = 0.025
# The rate is that of about this time, older requests counting less and less.
_MEMORY_S: Final = 0.25


class Pace:
    """Shared by the forwarders of a fleet; ``backends`` and ``open`` are kept by it.

    ``open`` is the number of requests whose parts have not all left.
    """

    def __init__(self) -> None:
        self.backends = 0
        self.open = 0
        self._sent = 0.0
        self._at_s = 0.0

    def sent(self, now_s: float) -> None:
        """A request leaves for a backend."""
        self._sent = self._decayed(now_s) + 1.0
        self._at_s = now_s

    def per_s(self, now_s: float) -> float:
        """Requests a second to all backends together, lately."""
        return self._decayed(now_s) / _MEMORY_S

    def calm(self, now_s: float) -> bool:
        """Whether a part that finds its forwarder idle may leave at once."""
        return self.open <= 1 or self.per_s(now_s) < CALM_PER_S

    def linger_s(self, least_s: float, now_s: float) -> float:
        """How long a part waits for others; ``least_s`` is what the settings name."""
        if self.calm(now_s):
            return least_s
        return max(least_s, min(LINGER_MAX_S, self.backends / WANTED_PER_S))

    def _decayed(self, now_s: float) -> float:
        return self._sent * math.exp(min(0.0, self._at_s - now_s) / _MEMORY_S)
