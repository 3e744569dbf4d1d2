"""Keeps the slices of a Service as the API server has them: one list, then a watch.

Rules:

* What is known stays while the API fails. A watch is taken up where it ended; only when
  the server has forgotten that version, or refuses, everything is listed anew, as it is
  every ten minutes in any case. So a token that may list and not watch still works, as
  polling.
* A try that fails is followed by a pause, each longer than the last, until a watch has
  lasted. A watch that the server ended in time is opened again at once.
* Nothing ends it but being cancelled. What a listener raises is a failure too: the list
  that follows tells it everything again.

It does not know HTTP, ring names, or how long an empty answer is doubted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Final, Protocol

from tailring_resolvers.backoff import Backoff
from tailring_resolvers.errors import ApiRefusal, ResolutionError, VersionGone
from tailring_resolvers.k8s_api import Api
from tailring_resolvers.k8s_slices import (
    Slice,
    Slices,
    UnexpectedObject,
    read_slice,
)
from tailring_resolvers.polling import Sleep

__all__ = ["Follower", "Listener", "read_slices"]

RELIST_NS: Final = 600_000_000_000
# A watch that ends sooner without an event is no success.
SHORT_NS: Final = 1_000_000_000
# The server has too much to do; what it said before still holds.
_BUSY: Final = (429, 502, 503, 504)


class Listener(Protocol):
    """Who is told. Called on the event loop; must not block."""

    def known(self, slices: Slices) -> None:
        """A list was taken, or events after which the hosts differ."""

    def unchanged(self) -> None:
        """Events were taken and the hosts are the same."""

    def odd(self, what: Slice | UnexpectedObject) -> None:
        """A slice with endpoints that have no host name, or something else."""

    def failed(self, error: Exception) -> None:
        """A list or a watch failed; it will be tried again."""

    def forgotten(self) -> None:
        """The server no longer knows the version; everything is listed anew."""

    def follows(self) -> None:
        """The server has taken a watch."""


class Follower:
    """The slices of one Service, as one task sees them."""

    def __init__(
        self,
        api: Api,
        listener: Listener,
        *,
        hostnames: bool,
        sleep: Sleep,
        clock_ns: Callable[[], int],
    ) -> None:
        self._api = api
        self._listener = listener
        self._hostnames = hostnames
        self._sleep = sleep
        self._clock_ns = clock_ns
        self._rng = random.Random()
        self._backoff = Backoff(self._rng)
        self._slices = Slices()
        self._relist_ns = 0
        self.version = ""
        """After which a watch begins; empty when everything has to be listed."""

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                pause_s = await self._round()
            except VersionGone:
                self.version = ""
                self._listener.forgotten()
                pause_s = self._backoff.next_s()
            except Exception as error:  # noqa: BLE001 - one bad event must not end it
                pause_s = self._failed(error)
            if pause_s:
                await self._sleep(pause_s)

    async def _round(self) -> float:
        """List if it is time to, and watch once; the pause before the next round."""
        began_ns = self._clock_ns()
        if not self.version or began_ns >= self._relist_ns:
            await self._list(began_ns)
        began_ns = self._clock_ns()
        if await self._watch() or self._clock_ns() - began_ns >= SHORT_NS:
            self._backoff.reset()
            return 0.0
        return self._backoff.next_s()

    async def _list(self, now_ns: int) -> None:
        # Put off first: while a list fails, what is watched is still of use.
        self._relist_ns = now_ns + int(RELIST_NS * self._rng.uniform(0.8, 1.2))
        listing = await self._api.listing()
        self._slices.replace(
            read_slices(listing.items, self._hostnames, self._listener.odd)
        )
        self._listener.known(self._slices)
        self.version = listing.version

    async def _watch(self) -> int:
        """Take events until the server ends the watch; how many there were."""
        count = 0
        async with aclosing(self._api.watch(self.version)) as batches:
            await anext(batches)
            self._listener.follows()
            async for events in batches:
                count += len(events)
                self._take(events)
        return count

    def _take(self, events: list[dict[str, Any]]) -> None:
        changed = False
        told = 0
        for event in events:
            if event.get("type") != "BOOKMARK":
                told += 1
                changed |= self._apply(event)
            self.version = _version(event) or self.version
        if changed:
            self._listener.known(self._slices)
        elif told:
            self._listener.unchanged()

    def _apply(self, event: dict[str, Any]) -> bool:
        for one in read_slices(
            [event.get("object")], self._hostnames, self._listener.odd
        ):
            if event.get("type") == "DELETED":
                return self._slices.drop(one.name)
            return self._slices.put(one)
        return False

    def _failed(self, error: Exception) -> float:
        least_s = 0.0
        if isinstance(error, ApiRefusal):
            least_s = error.retry_after_s
            lists = error.code not in _BUSY
        else:
            # The listener's error: it may not have heard what is taken as told.
            lists = not isinstance(error, ResolutionError)
        if lists:
            self.version = ""
        self._listener.failed(error)
        return max(self._backoff.next_s(), least_s)


def read_slices(
    documents: Iterable[object],
    hostnames: bool,
    odd: Callable[[Slice | UnexpectedObject], None],
) -> Iterator[Slice]:
    """The slices among decoded objects; what is odd about them is told."""
    for document in documents:
        try:
            one = read_slice(document, hostnames=hostnames)
        except UnexpectedObject as error:
            odd(error)
            continue
        if one.nameless:
            odd(one)
        yield one


def _version(event: dict[str, Any]) -> str:
    found = event.get("object")
    meta = found.get("metadata") if isinstance(found, dict) else None
    return str(meta.get("resourceVersion", "")) if isinstance(meta, dict) else ""
