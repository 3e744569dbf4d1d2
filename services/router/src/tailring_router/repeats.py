"""Parts that arrived although their request failed as a whole.

A request that is refused, or whose sender stopped waiting, is sent again by its sender
with the same bytes, and is partitioned into the same parts while the ring is the same.
Those that were delivered need not be delivered twice. So they are remembered, by a
hash of their bytes, for as long as senders usually repeat. Those that are still in
flight when their sender leaves are *pending*: the same bytes wait for their fate.

No clock, no I/O. Bounded in entries and in time, and what is pending by what may be in
flight. It costs nothing while nothing fails: without an entry no hash is computed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from hashlib import blake2b
from typing import Final

from tailring_router.part import Part, Result

__all__ = ["KEEP_NS", "Repeats"]

# Longer than the 60 s that agents and SDKs wait at most between two tries.
KEEP_NS: Final = 120_000_000_000
ENTRIES_MAX: Final = 65_536


class Repeats:
    """Hashes of delivered parts, oldest first; one owner."""

    def __init__(
        self, *, entries_max: int = ENTRIES_MAX, keep_ns: int = KEEP_NS
    ) -> None:
        self._entries_max = entries_max
        self._keep_ns = keep_ns
        self._until_ns: OrderedDict[bytes, int] = OrderedDict()
        self._pending: dict[bytes, Part] = {}

    def __len__(self) -> int:
        return len(self._until_ns)

    def remember(self, payload: bytes, now_ns: int) -> None:
        """``payload`` was delivered, and its sender may send it again."""
        self._expire(now_ns)
        key = _hash(payload)
        self._until_ns.pop(key, None)
        self._until_ns[key] = now_ns + self._keep_ns
        if len(self._until_ns) > self._entries_max:
            self._until_ns.popitem(last=False)

    def known(self, payload: bytes, now_ns: int) -> bool:
        """Whether the same bytes were delivered before, as far as is remembered."""
        if not self._until_ns:
            return False
        self._expire(now_ns)
        return _hash(payload) in self._until_ns

    def await_fate(self, part: Part) -> None:
        """``part`` is in flight and its sender has left."""
        key = _hash(part.payload)
        self._pending[key] = part
        part.result.add_done_callback(partial(self._settled, key, part))

    def pending(self, payload: bytes) -> Part | None:
        """A part with the same bytes whose fate will be known."""
        return self._pending.get(_hash(payload)) if self._pending else None

    def _settled(self, key: bytes, part: Part, _result: asyncio.Future[Result]) -> None:
        if self._pending.get(key) is part:
            del self._pending[key]

    def _expire(self, now_ns: int) -> None:
        while self._until_ns:
            key, until_ns = next(iter(self._until_ns.items()))
            if until_ns > now_ns:
                return
            del self._until_ns[key]


def _hash(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=16).digest()
