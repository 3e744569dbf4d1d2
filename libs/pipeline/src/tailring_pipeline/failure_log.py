"""One log line for many failures: a constant sentence, rate-limited, with counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tailring_pipeline.consumer import Refused, Rejected

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["FailureLog"]

INTERVAL_S = 10.0


class FailureLog:
    """Logs the first failure at once, then at most one line each ten seconds.

    A line counts what it stands for (``failures``, ``items``): itself and those since
    the line before. `flush` writes the rest, so that the sum over all lines is exact.
    Runs on the event loop, whose clock it uses.
    """

    def __init__(
        self,
        message: str,
        *,
        log: FilteringBoundLogger,
        level: str = "error",
        interval_s: float = INTERVAL_S,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """``facts`` are fields of every line."""
        self._message = message
        self._log = log
        self._level = level
        self._interval_s = interval_s
        self._facts = dict(facts or {})
        self._next_s: float | None = None
        self._failures = 0
        self._items = 0
        self._last: Refused | Rejected | None = None

    def failed(self, error: Refused | Rejected, items: int) -> None:
        """Note one failure of ``items`` items: log it, or count it for a later line."""
        self._failures += 1
        self._items += items
        self._last = error
        now_s = asyncio.get_running_loop().time()
        if self._next_s is not None and now_s < self._next_s:
            return
        self._next_s = now_s + self._interval_s
        self.flush()

    def flush(self) -> None:
        """Write what is counted and not logged yet; called when the owner stops."""
        error = self._last
        if error is None:
            return
        fields: dict[str, object] = {
            **self._facts,
            "reason": error.reason,
            "error": error.detail,
            "failures": self._failures,
            "items": self._items,
        }
        getattr(self._log, self._level)(self._message, **fields)
        self._failures = 0
        self._items = 0
        self._last = None
