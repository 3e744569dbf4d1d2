"""Pauses between tries that fail: each about twice as long as the last, with jitter.

Pure: the caller sleeps, and brings its own source of randomness.
"""

from __future__ import annotations

import random
from typing import Final

__all__ = ["PAUSE_MAX_S", "Backoff"]

_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0


class Backoff:
    """How long to wait before the next try."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tries = 0

    def next_s(self) -> float:
        """Seconds until the next try, of which the last half is drawn by lot."""
        whole_s = min(PAUSE_MAX_S, _FIRST_S * 2.0**self._tries)
        self._tries = min(self._tries + 1, 30)
        return whole_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """A try went well."""
        self._tries = 0
