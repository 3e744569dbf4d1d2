"""Says that the ring has changed, so that two routers that disagree can be told apart.

The digest is the same in the log, on the page ``/debug/ringz`` and, shortened to what
a metric's value can hold exactly, in ``tailring_router_ring_hash``.
"""

from __future__ import annotations

from typing import Final

from tailring_router.metrics import RouterMetrics
from tailring_router.topology import Topology
from tailring_runtime.logs import get_logger

__all__ = ["ring_changed", "ring_hash"]

log = get_logger()

# Names that one field of a log line holds.
_NAMED_MAX: Final = 20
# 48 bits: a float holds 53.
_HASH_DIGITS: Final = 12


def ring_hash(topology: Topology) -> int:
    """The digest as a metric's value; 0 without backends."""
    return 0 if topology.empty else int(topology.digest[:_HASH_DIGITS], 16)


def ring_changed(before: Topology, after: Topology, *, metrics: RouterMetrics) -> None:
    """Log what is different now, and set the gauge."""
    metrics.ring_hash.set(ring_hash(after))
    old, new = set(before.ring.members), set(after.ring.members)
    log.info(
        "the ring of backends changed",
        exporter=metrics.exporter,
        digest=after.digest,
        generation=after.ring.generation,
        backends=len(new),
        members=_some(new),
        added=_some(new - old),
        removed=_some(old - new),
    )


def _some(names: set[str]) -> list[str]:
    """The first names in order; what is left out is only counted."""
    listed = sorted(names)
    more = len(listed) - _NAMED_MAX
    return [*listed[:_NAMED_MAX], f"and {more} more"] if more > 0 else listed
