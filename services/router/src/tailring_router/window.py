"""How much one backend is entrusted with at once, by how it answered lately.

What was not answered in time may have arrived, and comes twice when it is sent again.
A backend that has become slow would so be sent copy after copy of everything. So the
window is the whole of what the settings allow until a request is *late*, or nearly so;
then it is one small request, and it opens again while answers come in time: twofold
with each that took less than half of the time it had, by one with the others.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SMALL_BYTES", "Window"]

# Shares of the time that a request has.
_QUICK: Final = 0.5
_NEARLY_LATE: Final = 0.9
# What one request may hold while the window is at its smallest; some hundred items.
SMALL_BYTES: Final = 32 << 10


class Window:
    """Owned by one line. ``silent``: nothing has come in time since a request was
    late."""

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self.requests = requests_max
        self.silent = False

    @property
    def open(self) -> bool:
        """True when the settings alone are the limit."""
        return self.requests >= self._requests_max

    def bytes_max(self, most: int) -> int:
        """What one request may hold, ``most`` when the window is open."""
        return most if self.open else min(most, SMALL_BYTES * self.requests)

    def late(self) -> None:
        """A request was not answered in time."""
        self.requests = 1
        self.silent = True

    def answered(self, took: float) -> None:
        """A request was answered in time; ``took`` is the share of the time it had."""
        self.silent = False
        if took >= _NEARLY_LATE:
            self.requests = 1
            return
        grown = self.requests * 2 if took < _QUICK else self.requests + 1
        self.requests = min(self._requests_max, grown)

    def reset(self) -> None:
        """There is nobody at the address: the next connection begins anew."""
        self.requests = self._requests_max
        self.silent = False
