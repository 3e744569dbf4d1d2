"""Which backends a router was told of, and when: so who may be sent what.

Kept by the world, not asked of the router: an oracle shares no state with what it
judges. Owners are looked up one by one on a ring of its own, never in the table that
the router routes by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from tailring_hashring import Ring, build

__all__ = ["RingHistory"]

# A timer may run a moment late.
_SLACK_S = 0.01


@dataclass(slots=True)
class RingHistory:
    """The lists of one process of a router, oldest first; all times in seconds."""

    generation: int
    retire_timeout_s: float
    _told: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)

    @property
    def changed_s(self) -> float:
        """When the newest list came."""
        return self._told[-1][0]

    def tell(self, addresses: tuple[str, ...], *, at_s: float) -> None:
        """The router hears of this list; none before the first one."""
        if not self._told or set(self._told[-1][1]) != set(addresses):
            self._told.append((at_s, tuple(sorted(addresses))))

    def owners(self, trace_id: bytes, *, since_s: float) -> set[str]:
        """Everybody who owned the trace at some moment from ``since_s`` to now."""
        owners: set[str] = set()
        for at_s, addresses in reversed(self._told):
            owner = _ring(addresses, self.generation).owner(trace_id)
            if owner is not None:
                owners.add(owner)
            if at_s < since_s:
                break
        return owners

    def may_send(self, address: str, *, at_s: float) -> bool:
        """Whether a backend is listed, or has left so shortly that it is drained."""
        until_s = float("inf")
        for told_s, addresses in reversed(self._told):
            if address in addresses:
                return at_s <= until_s + self.retire_timeout_s + _SLACK_S
            until_s = told_s
        return False


@lru_cache(maxsize=256)
def _ring(addresses: tuple[str, ...], generation: int) -> Ring:
    return build(addresses, generation=generation)
