"""Parts that were replaced and still hold something.

They take no new requests and end along the flow of data, each when it is empty, however
long that takes: what they have acknowledged is delivered or lost by its own retries, as
if nothing had been replaced. When the process drains they are a stage like any other.

A queue on disk whose folder nothing new reads is delivered too before it is closed.
What is left of it when the process stops stays in the folder, and the log says where:
it is delivered by whoever is configured with that folder again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence

from tailring_otlpio.extensions import Stored
from tailring_otlpio.inlet import Way
from tailring_pipeline import Stage
from tailring_runtime.errors import StartError
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

# How often a queue on disk is asked whether it is empty.
LOOK_S = 0.2

Groups = Sequence[Sequence[Stage]]


class Retirement:
    """A stage that holds all that was replaced."""

    name = "replaced parts"

    def __init__(self, *, metrics: Metrics, calls_s: float) -> None:
        """``calls_s`` is how long the calls of a replaced receiver may take."""
        self._tasks = TaskSet("retirement", metrics=metrics)
        self._calls_s = calls_s
        self._parts: list[Stage] = []
        self._stored: dict[int, Stored] = {}
        self._draining = asyncio.Event()
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

    def check_free(self, wanted: Collection[Stored]) -> None:
        """Raise `StartError` when a replaced part still has the folder of a queue."""
        for queue in self._stored.values():
            if any(map(queue.shares_with, wanted)):
                raise StartError(
                    f"a replaced exporter still delivers from {queue.folder}"
                    f" ({queue.items} items): try again later, or restart"
                )

    def retire(
        self,
        groups: Groups,
        ways: Sequence[Way],
        *,
        ended: Callable[[Stage], None],
        stored: Callable[[Stage], Stored | None],
    ) -> None:
        """Let parts end in the background; ``ways`` led to them, ``ended`` is told of
        each. ``groups`` are in data order, receivers first. ``stored`` knows what they
        keep on disk."""
        if any(groups):
            parts = [part for group in groups for part in group]
            self._parts += parts
            for part in parts:
                if (queue := stored(part)) is not None:
                    self._stored[id(part)] = queue
                    self._log.warning(
                        "nothing new reads this folder; what it holds is delivered now",
                        folder=str(queue.folder),
                        items=queue.items,
                    )
            self._tasks.spawn(self._end(groups, ways, ended), name="replaced parts")

    async def _end(
        self, groups: Groups, ways: Sequence[Way], ended: Callable[[Stage], None]
    ) -> None:
        receivers, *others = groups
        await end([receivers], timeout_s=self._calls_s)
        for way in ways:
            await way.wait_idle()
        await end(others, timeout_s=NEVER_S, first=self._empty)
        for part in (part for group in groups for part in group):
            self._parts.remove(part)
            self._tell_of_rest(part)
            if isinstance(part, Losing):
                self._ended += part.loss
            ended(part)
        self._log.info("replaced parts have ended")

    async def _empty(self, group: Sequence[Stage]) -> None:
        """Let queues on disk be delivered, until the process drains: once closed, they
        leave the rest where it is."""
        queues = [self._stored[id(one)] for one in group if id(one) in self._stored]
        while any(queue.items for queue in queues) and not self._draining.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._draining.wait()

    def _tell_of_rest(self, part: Stage) -> None:
        queue = self._stored.pop(id(part), None)
        if queue is not None and queue.items:
            self._log.warning(
                "acknowledged data stays in a folder that is not configured any more;"
                " configure it again to have it delivered",
                folder=str(queue.folder),
                items=queue.items,
            )

    def hurry(self) -> None:
        """The process drains."""
        self._draining.set()
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
            self._tell_of_rest(part)


async def end(
    groups: Groups,
    *,
    timeout_s: float,
    first: Callable[[Sequence[Stage]], Awaitable[None]] | None = None,
) -> None:
    """Drain parts along the flow of data, at most so long each group, and end them;
    ``first`` is waited for before a group is closed."""
    for group in groups:
        if first is not None:
            await first(group)
        for part in group:
            part.close()
        await asyncio.gather(*(part.join(timeout_s) for part in group))
    for part in (part for group in groups for part in group):
        await part.terminate()
