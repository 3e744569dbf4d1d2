"""Lists of backends as they come from a resolver: taken one after another.

A short list is taken at once. A list of hundreds would hold up the event loop: its ring
is built in a thread and its members are opened in steps, between which others have
their turn. A list that comes meanwhile is taken next; those between are skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container

from tailring_resolvers import Endpoint
from tailring_router.topology import Topology, build_topology
from tailring_runtime.tasks import TaskSet

__all__ = ["Lists"]

# Up to so many endpoints a new list takes about a millisecond.
AT_ONCE_MAX = 40
# Members opened between two turns of the event loop.
STEP_MEMBERS = 20


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

    def update(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Take this list, now or soon."""
        busy = self._taking is not None and not self._taking.done()
        if len(endpoints) <= AT_ONCE_MAX and not busy:
            self._take(build_topology(endpoints, generation=self._generation))
            return
        self._wanted = endpoints
        if not busy:
            self._taking = self._tasks.spawn(self._take_wanted(), name="new backends")

    async def _take_wanted(self) -> None:
        while (wanted := self._wanted) is not None:
            self._wanted = None
            topology = await asyncio.to_thread(
                build_topology, wanted, generation=self._generation
            )
            new = [one for one in topology.addresses if one not in self._members]
            for step in range(0, len(new), STEP_MEMBERS):
                for address in new[step : step + STEP_MEMBERS]:
                    self._open_member(address)
                await asyncio.sleep(0)
            if self._wanted is None:
                self._take(topology)
