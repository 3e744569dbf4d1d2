"""Parts that arrived although their request failed as a whole.

A request that is refused, or whose sender stopped waiting, is sent again by its sender
with the same bytes, and is partitioned into the same parts while the ring is the same.
Those that were delivered need not be delivered twice. So they are remembered, by a
hash of their bytes, for as long as senders usually repeat.

Pure: no clock, no I/O. Bounded in entries and in time. It costs nothing while nothing
fails: without an entry no hash is computed.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

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

    def _expire(self, now_ns: int) -> None:
        while self._until_ns:
            key, until_ns = next(iter(self._until_ns.items()))
            if until_ns > now_ns:
                return
            del self._until_ns[key]


def _hash(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=16).digest()
