"""The last good list, which every resolver keeps alike.

Rules: sorted by ring name, bytewise, duplicates kept; told only when it differs; a
failed resolution changes nothing but a counter. A list is kept once it has been told: a
listener that failed hears of it again with the next one.

Two holds put a change off, and both are off unless they are asked for:

* ``hold_empty``: a list becomes empty only when the source has said so for that long.
* ``hold_down``: two changes are at least that far apart. What comes sooner waits, the
  newest only; a source that flaps back meanwhile has changed nothing.

The first list, and one after an empty one, are told at once: nobody is routed to yet.
No I/O and no clock: who asks for holds passes ``now_ns`` and calls `KeptList.settle`
when it is `KeptList.due_ns`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.metrics import (
    NUM_BACKEND_UPDATES,
    NUM_BACKENDS,
    NUM_RESOLUTIONS,
)
from tailring_resolvers.resolver import OnChange
from tailring_runtime.metrics import Metrics

__all__ = ["KeptList"]

_by_name = attrgetter("ring_name", "address")


class KeptList:
    """Holds the last good list of one resolver and tells one listener of changes."""

    def __init__(
        self,
        kind: str,
        *,
        metrics: Metrics,
        hold_empty_ns: int = 0,
        hold_down_ns: int = 0,
    ) -> None:
        self._endpoints: tuple[Endpoint, ...] = ()
        self._hold_empty_ns = hold_empty_ns
        self._hold_down_ns = hold_down_ns
        # What the source said last; it differs from the list while a hold puts it off.
        self._said: tuple[Endpoint, ...] = ()
        self._emptied_ns = 0
        self._told_ns = 0
        self._good = metrics.counter(NUM_RESOLUTIONS, resolver=kind, success="true")
        self._bad = metrics.counter(NUM_RESOLUTIONS, resolver=kind, success="false")
        self._backends = metrics.gauge(NUM_BACKENDS, resolver=kind)
        self._updates = metrics.counter(NUM_BACKEND_UPDATES, resolver=kind)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The last good list."""
        return self._endpoints

    @property
    def due_ns(self) -> int | None:
        """When a list that is held may be told; None when none is."""
        if self._said == self._endpoints:
            return None
        if not self._endpoints:
            return 0
        due_ns = self._told_ns + self._hold_down_ns
        if not self._said:
            due_ns = max(due_ns, self._emptied_ns + self._hold_empty_ns)
        return due_ns

    def accept(
        self, found: Iterable[Endpoint], *, on_change: OnChange, now_ns: int = 0
    ) -> bool:
        """Count a success; tell of the list if it is new and not held; True if it was.

        Raises what ``on_change`` raises; then nothing is kept or counted.
        """
        # Text sorts by code point, which is the order of UTF-8 bytes.
        said = tuple(sorted(found, key=_by_name))
        if self._said and not said:
            self._emptied_ns = now_ns
        self._said = said
        told = self.settle(on_change=on_change, now_ns=now_ns)
        self._good.add()
        return told

    def settle(self, *, on_change: OnChange, now_ns: int) -> bool:
        """Tell of a list that was held and is due; True if there was one.

        Raises what ``on_change`` raises; then the list is due as before.
        """
        due_ns = self.due_ns
        if due_ns is None or due_ns > now_ns:
            return False
        on_change(self._said)
        self._endpoints = self._said
        self._told_ns = now_ns
        self._backends.set(len(self._endpoints))
        self._updates.add()
        return True

    def fail(self) -> None:
        """Count a resolution that gave nothing to keep."""
        self._bad.add()
