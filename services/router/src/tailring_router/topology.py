"""Who the backends are and which of them owns a trace.

What it is: an endpoint set turned into the ring of that moment, expanded into one
table from ring position to backend, so that routing a span is one CRC-32 and one
look-up. The set is what a resolver answered; an endpoint has a *ring name* (what
upstream hashes) and an *address* (what is dialled).

Rules:

* A topology is immutable. A change makes a new one, published by one assignment;
  a request that is being partitioned finishes with the one it began with.
* Two ring names with one address are one backend that holds the points of both.

It does not know connections, queues, time or where the endpoints came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tailring_hashring import Ring, build
from tailring_resolvers import Endpoint

__all__ = ["EMPTY", "Topology", "build_topology"]


@dataclass(frozen=True, slots=True)
class Topology:
    """One ring and its backends.

    ``table[position]`` is an index into ``addresses``; both are empty without
    endpoints, and then nothing can be routed. ``address_of`` maps ring names.
    """

    ring: Ring
    addresses: tuple[str, ...]
    table: list[int] = field(repr=False)
    address_of: Mapping[str, str] = field(repr=False)

    @property
    def digest(self) -> str:
        """16 hex digits that two routers share when they route every key alike.

        Of the ring's names and generation, from which all points follow: those of
        300 backends would take longer than the event loop may be held up.
        """
        ring = self.ring
        # A name that is listed twice has twice the points, but in generation 1.
        names = ring.members if ring.generation == 1 else ring.endpoints
        text = "\n".join((str(ring.generation), *names))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def empty(self) -> bool:
        """True while no backend is known."""
        return not self.addresses

    def shares(self) -> dict[str, float]:
        """The part of all keys that each address owns."""
        shares = dict.fromkeys(self.addresses, 0.0)
        for name, share in self.ring.shares().items():
            shares[self.address_of[name]] += share
        return shares


def build_topology(endpoints: Iterable[Endpoint], *, generation: int = 3) -> Topology:
    """The topology of these endpoints; their order does not matter."""
    listed = sorted(endpoints)
    ring = build((e.ring_name for e in listed), generation=generation)
    addresses = tuple(sorted({e.address for e in listed}))
    index_of = {address: index for index, address in enumerate(addresses)}
    by_name = {e.ring_name: index_of[e.address] for e in listed}
    owners = [by_name[name] for name in ring.members]
    table = ring.table()
    if owners != list(range(len(owners))):
        table = [owners[member] for member in table]
    address_of = {e.ring_name: e.address for e in listed}
    return Topology(ring, addresses, table, address_of)


EMPTY = build_topology(())
