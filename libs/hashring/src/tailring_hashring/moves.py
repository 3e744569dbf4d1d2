"""What a new ring takes from whom.

The share of the key space whose owner differs between two rings: what a change of
the fleet costs, before it happens. Keys are taken to be spread evenly over positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tailring_hashring.placement import count_pairs
from tailring_hashring.ring import Ring

__all__ = ["NOBODY", "Moved", "moved"]

NOBODY: Final = ""  # the owner of every key on an empty ring


@dataclass(frozen=True, slots=True)
class Moved:
    """The share of all keys that change owner, whole and by (old, new) owner.

    ``pairs`` has no entry for a pair between which nothing moves; `NOBODY` ("") stands
    for the owner on an empty ring.
    """

    share: float
    pairs: dict[tuple[str, str], float] = field(default_factory=dict)


def moved(old: Ring, new: Ring) -> Moved:
    """What changes owner when ``new`` replaces ``old``.

    Exact for rings of one size. Rings of different sizes (a change of generation) are
    compared as if a key's two positions were independent, which CRC-32 modulo two
    coprime numbers is to within 1e-4.
    """
    if old.positions_max == new.positions_max:
        shares = _by_position(old, new)
    else:
        shares = _by_share(old, new)
    pairs = {
        pair: share for pair, share in shares.items() if share and pair[0] != pair[1]
    }
    return Moved(share=sum(pairs.values()), pairs=pairs)


def _by_position(old: Ring, new: Ring) -> dict[tuple[str, str], float]:
    size = old.positions_max
    before, after = old.members or (NOBODY,), new.members or (NOBODY,)
    counts = count_pairs(
        old.table() or [0] * size, new.table() or [0] * size, len(after)
    )
    return {
        (before[pair // len(after)], after[pair % len(after)]): count / size
        for pair, count in counts.items()
    }


def _by_share(old: Ring, new: Ring) -> dict[tuple[str, str], float]:
    before, after = old.shares() or {NOBODY: 1.0}, new.shares() or {NOBODY: 1.0}
    return {(o, n): a * b for o, a in before.items() for n, b in after.items()}
