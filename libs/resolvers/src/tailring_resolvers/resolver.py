"""The interface of every resolver.

Rules: the list is sorted by ring name, bytewise; ``on_change`` is called only when
the list differs from the last one; a failed or empty resolution keeps the last good
list; nothing is raised after ``start`` returned (failures are counted and logged).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tailring_resolvers.endpoint import Endpoint

__all__ = ["OnChange", "Resolver"]

# Called on the event loop with the new list; must not block, must not raise.
OnChange = Callable[[tuple[Endpoint, ...]], None]


class Resolver(Protocol):
    """Who the samplers are, now and whenever that changes."""

    @property
    def kind(self) -> str:
        """The ``resolver`` label of metrics and logs: static, dns, ..."""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The last good list; empty before the first resolution that succeeded."""

    async def start(self, on_change: OnChange) -> None:
        """Resolve once (a failure is logged, not raised), then follow changes."""

    async def resolve(self) -> tuple[Endpoint, ...]:
        """Ask the source now; the kept list stays. Raises `ResolutionError`."""

    async def stop(self) -> None:
        """Follow no more changes. Safe twice and on a resolver that never started."""
