"""Which traces were kept and which were not, for spans that come late.

Two bounded memories, least recently used out first, keyed by the whole trace id (the
collector keys by its right half, so that two traces may share a decision). A look-up
counts as a use. A size of 0 switches a memory off; then the live map of the trace
buffer answers alone, until it pushes the trace out.

Pure: no clock, no I/O. It does not know what is done with late spans.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cachetools import Cache, LRUCache

from tailring_sampler.doors import Decision

__all__ = ["DecisionMemory"]


# What a remembered decision costs: its id, and its place in the cache, its order and
# the set beside it. As measured.
ENTRY_BYTES: Final = 320


class DecisionMemory:
    """The decision caches; the kept ones are asked first, as upstream does."""

    def __init__(self, *, sampled_max: int, not_sampled_max: int) -> None:
        self._sampled = _cache(sampled_max)
        self._not_sampled = _cache(not_sampled_max)
        self.enabled = self._sampled is not None or self._not_sampled is not None

    @property
    def memory_bytes(self) -> int:
        """The memory that all of it takes, in about."""
        caches = (self._sampled, self._not_sampled)
        return ENTRY_BYTES * sum(len(c.ids) for c in caches if c is not None)

    def lookup(self, trace_id: bytes) -> Decision | None:
        """The decision on a trace, if it is remembered here."""
        for cache in (self._sampled, self._not_sampled):
            if cache is not None and trace_id in cache.ids:
                return cache[trace_id]
        return None

    def policy_of(self, trace_id: bytes) -> str:
        """The policy that kept a remembered trace; "" when it was not told."""
        return "" if self._sampled is None else self._sampled.policies.get(trace_id, "")

    def tell_policy(self, trace_id: bytes, policy: str) -> None:
        """Remember which policy kept a trace, as long as its decision is remembered."""
        if self._sampled is not None and policy and trace_id in self._sampled.ids:
            self._sampled.policies[trace_id] = policy

    def peek(self, trace_id: bytes) -> Decision | None:
        """As `lookup`, but it does not count as a use."""
        for cache in (self._sampled, self._not_sampled):
            if cache is not None and trace_id in cache.ids:
                return cache.unused(trace_id)
        return None

    def put(self, trace_id: bytes, decision: Decision) -> bool:
        """Remember a decision; False when no memory of this kind is switched on."""
        sampled = decision is Decision.SAMPLED
        cache = self._sampled if sampled else self._not_sampled
        if cache is None:
            return False
        cache[trace_id] = decision
        return True

    def forget_one(self) -> bool:
        """Forget what was not used for longest, kept ones last; False without any."""
        for cache in (self._not_sampled, self._sampled):
            if cache is not None and len(cache.ids) > 0:
                cache.popitem()
                return True
        return False

    def items(self) -> Iterator[tuple[bytes, Decision]]:
        """Everything remembered; does not count as a use."""
        for cache in (self._sampled, self._not_sampled):
            if cache is not None:
                yield from cache.unused_items()


class _Cache(LRUCache[bytes, Decision]):
    """Keeps its ids in a set as well, for the look-ups that miss are nearly all."""

    def __init__(self, size_max: int) -> None:
        super().__init__(size_max)
        self.ids: set[bytes] = set()
        # Of traces whose policy was told; the names are shared.
        self.policies: dict[bytes, str] = {}

    def __setitem__(self, trace_id: bytes, decision: Decision) -> None:
        super().__setitem__(trace_id, decision)
        self.ids.add(trace_id)

    def unused(self, trace_id: bytes) -> Decision:
        """What is under an id; other than by `[]` it does not count as a use."""
        return Cache.__getitem__(self, trace_id)

    def unused_items(self) -> Iterator[tuple[bytes, Decision]]:
        """All items; other than `items` it does not count as a use of them."""
        for trace_id in self:
            yield trace_id, Cache.__getitem__(self, trace_id)

    def popitem(self) -> tuple[bytes, Decision]:
        """Forget the least recently used; called by the cache itself as well."""
        item = super().popitem()
        self.ids.remove(item[0])
        self.policies.pop(item[0], None)
        return item


def _cache(size_max: int) -> _Cache | None:
    return _Cache(size_max) if size_max > 0 else None
