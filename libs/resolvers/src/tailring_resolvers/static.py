"""The list that stands in the configuration.

Strings are used verbatim: nothing is trimmed, lower-cased or completed, because the
ring hashes them byte for byte. A string that is listed twice has twice the points on
the ring (generations 2 and 3) and is still one address.
"""

from __future__ import annotations

from tailring_resolvers.config import StaticResolverConfig
from tailring_resolvers.endpoint import Endpoint, named
from tailring_resolvers.kept import KeptList
from tailring_resolvers.resolver import OnChange
from tailring_runtime.metrics import Metrics

__all__ = ["StaticResolver"]


class StaticResolver:
    """Resolves once, at start, to what is configured. Never fails, never changes."""

    kind = "static"

    def __init__(self, config: StaticResolverConfig, *, metrics: Metrics) -> None:
        self._listed = tuple(sorted(named(text) for text in config.hostnames))
        self._kept = KeptList(self.kind, metrics=metrics)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The list; empty before `start`."""
        return self._kept.endpoints

    async def start(self, on_change: OnChange) -> None:
        """Call ``on_change`` once, before this returns."""
        self._kept.accept(self._listed, on_change=on_change)

    async def resolve(self) -> tuple[Endpoint, ...]:
        """The configured list."""
        return self._listed

    async def stop(self) -> None:
        """Nothing follows anything here."""
