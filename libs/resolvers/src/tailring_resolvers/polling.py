"""A resolver that asks its source again and again.

Rules:

* `PollingResolver.start` asks once and returns, whatever came of it; then the source is
  asked after each pause, which may depend on the last failure.
* A failure keeps the list, is logged and counted. A mistake in our own code is one as
  well: one bad poll must not end them all.
* With a hold between two changes, a list that came too soon is told with the first
  answer after its time.
* After `stop` nothing is told, and nothing is kept of an answer that comes late.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.errors import ResolutionError
from tailring_resolvers.kept import KeptList
from tailring_resolvers.resolver import OnChange
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["PollingResolver", "Sleep"]

Sleep = Callable[[float], Awaitable[None]]


class PollingResolver(ABC):
    """Keeps the contract of `Resolver`; says nothing about what is asked."""

    kind = ""

    def __init__(
        self,
        *,
        metrics: Metrics,
        log: FilteringBoundLogger,
        sleep: Sleep = asyncio.sleep,
        hold_down_ns: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._log = log
        self._sleep = sleep
        self._clock_ns = clock_ns
        self._kept = KeptList(self.kind, metrics=metrics, hold_down_ns=hold_down_ns)
        self._tasks = TaskSet("resolver", metrics=metrics)
        self._stopped = False

    @property
    def following(self) -> bool:
        """True while the source is asked, from the end of `start` to `stop`."""
        return len(self._tasks) > 0

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The last good list; empty before the first answer that could be used."""
        return self._kept.endpoints

    async def start(self, on_change: OnChange) -> None:
        """Ask once, at most for the configured timeout, then follow."""
        failure = await self._poll(on_change, complaint=self.first_complaint)
        if self._stopped:
            return
        self._tasks.spawn(self._follow(on_change, failure), name=f"{self.kind} poll")
        self._log_started()

    async def stop(self) -> None:
        """Follow no more; a question under way is abandoned. Safe twice, unstarted."""
        self._stopped = True
        await self._tasks.close()

    first_complaint = "failed to resolve"
    """The log line when the question at the start failed."""

    @abstractmethod
    async def _answer(self) -> tuple[Endpoint, ...]:
        """Ask the source. Raises `ResolutionError`."""

    @abstractmethod
    def _pause_s(self, failure: Exception | None) -> float:
        """How long to wait before the next question. Called once after each."""

    @abstractmethod
    def _log_started(self) -> None:
        """Log that the resolver follows its source."""

    async def _follow(self, on_change: OnChange, failure: Exception | None) -> None:
        while True:
            await self._sleep(self._pause_s(failure))
            failure = await self._poll(on_change, complaint="failed to resolve")

    async def _poll(self, on_change: OnChange, *, complaint: str) -> Exception | None:
        """Ask once; what was raised is returned, counted and logged."""
        try:
            found = await self._answer()
            if self._stopped:
                return None
            now_ns = self._clock_ns()
            self._kept.accept(found, on_change=on_change, now_ns=now_ns)
        except ResolutionError as error:
            self._kept.fail()
            self._log.warning(complaint, error=error.reason)
            return error
        except Exception as error:  # noqa: BLE001 - one bad poll must not end them all
            self._kept.fail()
            self._log.error(complaint, exc_info=error)
            return error
        self._log.debug("resolved successfully", backends=len(found))
        return None
