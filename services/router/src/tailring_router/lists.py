"""Lists of backends as they come from a resolver: taken one after another.

A short list is taken at once. A list of hundreds would hold up the event loop: its ring
is built in a thread and its members are opened in steps, between which others have
their turn. A list that comes meanwhile is taken next; those between are skipped.

The resolver is told at once that such a list is in force. So it is not forgotten before
it is: what fails is logged, and tried again until it succeeds or another list comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from typing import Final

from tailring_resolvers import Endpoint
from tailring_router.topology import Topology, build_topology
from tailring_runtime.logs import get_logger
from tailring_runtime.tasks import TaskSet

__all__ = ["Lists"]

log = get_logger()

# Up to so many endpoints a new list takes about a millisecond.
AT_ONCE_MAX = 40
# Members opened between two turns of the event loop.
STEP_MEMBERS = 20
# Between two attempts to take a list; twice as long each time.
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 30.0


class Lists:
    """Owned by a fleet; lives on one event loop."""

    def __init__(
        self,
        *,
        generation: int,
        tasks: TaskSet,
        members: Container[str],
        open_member: Callable[[str], None],
        take: Callable[[Topology], None],
    ) -> None:
        """``take`` makes a topology the present one; of a large one each address that
        is not in ``members`` was given to ``open_member`` before."""
        self._generation = generation
        self._tasks = tasks
        self._members = members
        self._open_member = open_member
        self._take = take
        # The list that is not taken yet, while one is being taken in steps.
        self._wanted: tuple[Endpoint, ...] | None = None
        self._taking: asyncio.Task[None] | None = None
        self._comes = asyncio.Event()

    def update(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Take this list, now or soon."""
        busy = self._taking is not None and not self._taking.done()
        if len(endpoints) <= AT_ONCE_MAX and not busy:
            self._take(build_topology(endpoints, generation=self._generation))
            return
        self._wanted = endpoints
        self._comes.set()
        if not busy:
            self._taking = self._tasks.spawn(self._take_wanted(), name="new backends")

    async def _take_wanted(self) -> None:
        delay_s = RETRY_FIRST_S
        while (wanted := self._wanted) is not None:
            self._comes.clear()
            try:
                await self._take_in_steps(wanted)
            except Exception:
                log.exception(
                    f"a list of {len(wanted)} backends could not be taken and is "
                    f"tried again in {delay_s:g} s"
                )
                await self._wait(delay_s)
                delay_s = min(delay_s * 2, RETRY_MAX_S)
            else:
                delay_s = RETRY_FIRST_S

    async def _take_in_steps(self, wanted: tuple[Endpoint, ...]) -> None:
        topology = await asyncio.to_thread(
            build_topology, wanted, generation=self._generation
        )
        new = [one for one in topology.addresses if one not in self._members]
        for step in range(0, len(new), STEP_MEMBERS):
            for address in new[step : step + STEP_MEMBERS]:
                self._open_member(address)
            await asyncio.sleep(0)
        if self._wanted is wanted:
            self._take(topology)
            self._wanted = None

    async def _wait(self, delay_s: float) -> None:
        """Wait that long, or until another list comes."""
        try:
            async with asyncio.timeout(delay_s):
                await self._comes.wait()
        except TimeoutError:
            return
