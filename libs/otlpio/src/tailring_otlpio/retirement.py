"""Parts that were replaced and still hold something.

They take no new requests and end along the flow of data, each when it is empty, however
long that takes: what they have acknowledged is delivered or lost by its own retries, as
if nothing had been replaced. When the process drains they are a stage like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tailring_otlpio.inlet import Way
from tailring_pipeline import Stage
from tailring_runtime.lifecycle import Hurrying
from tailring_runtime.logs import get_logger
from tailring_runtime.losses import Losing, Loss
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

__all__ = ["RETIREMENTS_MAX", "Retirement", "end"]

# Configurations that may still drain behind the one in force.
RETIREMENTS_MAX = 8
# A part without a deadline gets one that never comes.
NEVER_S = 10.0 * 365 * 86_400

Groups = Sequence[Sequence[Stage]]


class Retirement:
    """A stage that holds all that was replaced."""

    name = "replaced parts"

    def __init__(self, *, metrics: Metrics, calls_s: float) -> None:
        """``calls_s`` is how long the calls of a replaced receiver may take."""
        self._tasks = TaskSet("retirement", metrics=metrics)
        self._calls_s = calls_s
        self._parts: list[Stage] = []
        self._ended = Loss()
        self._log = get_logger()

    @property
    def full(self) -> bool:
        """Whether so many configurations drain that no other should join them."""
        return len(self._tasks) >= RETIREMENTS_MAX

    @property
    def loss(self) -> Loss:
        """What they had acknowledged and lost."""
        losing = [part.loss for part in self._parts if isinstance(part, Losing)]
        return sum(losing, start=self._ended)

    def retire(
        self,
        groups: Groups,
        ways: Sequence[Way],
        *,
        ended: Callable[[Stage], None],
    ) -> None:
        """Let parts end in the background; ``ways`` led to them, ``ended`` is told of
        each. ``groups`` are in data order, receivers first."""
        if any(groups):
            self._parts += [part for group in groups for part in group]
            self._tasks.spawn(self._end(groups, ways, ended), name="replaced parts")

    async def _end(
        self, groups: Groups, ways: Sequence[Way], ended: Callable[[Stage], None]
    ) -> None:
        receivers, *others = groups
        await end([receivers], timeout_s=self._calls_s)
        for way in ways:
            await way.wait_idle()
        await end(others, timeout_s=NEVER_S)
        for part in (part for group in groups for part in group):
            self._parts.remove(part)
            if isinstance(part, Losing):
                self._ended += part.loss
            ended(part)
        self._log.info("replaced parts have ended")

    def hurry(self) -> None:
        """The process drains."""
        for part in self._parts:
            if isinstance(part, Hurrying):
                part.hurry()

    async def start(self) -> None:
        """There is nothing yet."""

    def close(self) -> None:
        """They take nothing new anyway."""

    async def join(self, timeout_s: float) -> None:
        """Wait for them, at most ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._tasks.join()
        except TimeoutError:
            self._log.warning("replaced parts still hold data at the deadline")

    async def terminate(self) -> None:
        """Abandon them. Safe twice."""
        await self._tasks.close()
        for part in self._parts:
            await part.terminate()


async def end(groups: Groups, *, timeout_s: float) -> None:
    """Drain parts along the flow of data, at most so long each group, and end them."""
    for group in groups:
        for part in group:
            part.close()
        await asyncio.gather(*(part.join(timeout_s) for part in group))
    for part in (part for group in groups for part in group):
        await part.terminate()
