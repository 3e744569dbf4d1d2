"""The last good list, which every resolver keeps alike.

Rules: sorted by ring name, bytewise, duplicates kept; told only when it differs; a
failed resolution changes nothing but a counter. A list is kept once it has been told: a
listener that failed hears of it again with the next one. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.metrics import (
    NUM_BACKEND_UPDATES,
    NUM_BACKENDS,
    NUM_RESOLUTIONS,
)
from tailring_resolvers.resolver import OnChange
from tailring_runtime.metrics import Metrics

__all__ = ["KeptList"]


class KeptList:
    """Holds the last good list of one resolver and tells one listener of changes."""

    def __init__(self, kind: str, *, metrics: Metrics) -> None:
        self._endpoints: tuple[Endpoint, ...] = ()
        self._good = metrics.counter(NUM_RESOLUTIONS, resolver=kind, success="true")
        self._bad = metrics.counter(NUM_RESOLUTIONS, resolver=kind, success="false")
        self._backends = metrics.gauge(NUM_BACKENDS, resolver=kind)
        self._updates = metrics.counter(NUM_BACKEND_UPDATES, resolver=kind)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The last good list."""
        return self._endpoints

    def accept(self, found: Iterable[Endpoint], *, on_change: OnChange) -> bool:
        """Count a success, tell of the list if it is new, keep it; True if it was.

        Raises what ``on_change`` raises; then nothing is kept or counted.
        """
        # Text sorts by code point, which is the order of UTF-8 bytes.
        endpoints = tuple(sorted(found))
        new = endpoints != self._endpoints
        if new:
            on_change(endpoints)
            self._endpoints = endpoints
            self._backends.set(len(endpoints))
            self._updates.add()
        self._good.add()
        return new

    def fail(self) -> None:
        """Count a resolution that gave nothing to keep."""
        self._bad.add()
