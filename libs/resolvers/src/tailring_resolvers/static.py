"""The list that stands in the configuration.

Strings are used verbatim: nothing is trimmed, lower-cased or completed, because the
ring hashes them byte for byte. A string that is listed twice has twice the points on
the ring (generations 2 and 3) and is still one address.
"""

from __future__ import annotations

from tailring_resolvers.config import StaticResolverConfig
from tailring_resolvers.endpoint import Endpoint, named
from tailring_resolvers.kept import KeptList
from tailring_resolvers.lookup import Lookup
from tailring_resolvers.resolver import OnChange
from tailring_resolvers.several import NameCheck
from tailring_runtime.metrics import Metrics

__all__ = ["StaticResolver"]


class StaticResolver:
    """Resolves to what is configured; that changes when the file does (`update`)."""

    kind = "static"

    def __init__(
        self,
        config: StaticResolverConfig,
        *,
        metrics: Metrics,
        lookup: Lookup | None = None,
    ) -> None:
        """With a ``lookup`` names that have several addresses are warned about."""
        self._listed = tuple(sorted(named(text) for text in config.hostnames))
        self._kept = KeptList(self.kind, metrics=metrics)
        self._on_change: OnChange | None = None
        self._names = None if lookup is None else NameCheck(lookup)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The list; empty before `start`."""
        return self._kept.endpoints

    async def start(self, on_change: OnChange) -> None:
        """Call ``on_change`` once, before this returns."""
        self._on_change = on_change
        self._tell(on_change)

    def update(self, config: StaticResolverConfig) -> None:
        """The list has changed in the file; told at once if this was started."""
        self._listed = tuple(sorted(named(text) for text in config.hostnames))
        if self._on_change is not None:
            self._tell(self._on_change)

    async def resolve(self) -> tuple[Endpoint, ...]:
        """The configured list."""
        return self._listed

    async def stop(self) -> None:
        """No list is told any more."""
        self._on_change = None
        if self._names is not None:
            await self._names.close()

    async def names_checked(self) -> None:
        """Wait until the names of the last list were looked up, if they are."""
        if self._names is not None:
            await self._names.join()

    def _tell(self, on_change: OnChange) -> None:
        new = self._kept.accept(self._listed, on_change=on_change)
        if new and self._names is not None:
            self._names.begin(self._listed)
