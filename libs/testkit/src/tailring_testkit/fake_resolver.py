"""A resolver whose list is set by code."""

from __future__ import annotations

from collections.abc import Iterable

from tailring_resolvers import Endpoint, OnChange, ResolutionError

__all__ = ["FakeResolver"]


class FakeResolver:
    """Keeps the contract of `tailring_resolvers.Resolver` without a source.

    `set` and `fail` say what the source answers from now on; once started, a change
    is told before they return.
    """

    kind = "fake"

    def __init__(self, *names: str | Endpoint) -> None:
        self._source: tuple[Endpoint, ...] | None = _endpoints(names)
        self._kept: tuple[Endpoint, ...] = ()
        self._on_change: OnChange | None = None

    def set(self, *names: str | Endpoint) -> None:
        """Answer these; ``host:port`` strings are ring name and address alike."""
        self._source = _endpoints(names)
        self._poll()

    def fail(self) -> None:
        """Answer nothing until the next `set`."""
        self._source = None
        self._poll()

    @property
    def following(self) -> bool:
        """True from `start` to `stop`."""
        return self._on_change is not None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The last good list."""
        return self._kept

    async def start(self, on_change: OnChange) -> None:
        """Tell the list at once, if there is one, and then every change."""
        self._on_change = on_change
        self._poll()

    async def resolve(self) -> tuple[Endpoint, ...]:
        """What `set` was last given. Raises `ResolutionError` if that is nothing."""
        if not self._source:
            raise ResolutionError(self.kind, "no such host")
        return self._source

    async def stop(self) -> None:
        """Tell nothing any more."""
        self._on_change = None

    def _poll(self) -> None:
        if self._on_change is None or not self._source or self._source == self._kept:
            return
        self._kept = self._source
        self._on_change(self._kept)


def _endpoints(names: Iterable[str | Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(
        sorted(
            name if isinstance(name, Endpoint) else Endpoint(name, name)
            for name in names
        )
    )
