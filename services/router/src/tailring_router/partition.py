"""Cuts an encoded request into one request per backend.

Every item goes to ``table[crc32(its key) % len(table)]``, the rule of the upstream
exporter (consistent_hashing.go of its v0.161.0); what its key is says the routing rule.
The bytes of an item are copied, never parsed into objects; headers are re-emitted as
they came. Traces by trace id, the usual case, have a way of their own.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from tailring_otlpwire import TRACES, Part, RoutingRule, WireError, split, split_by
from tailring_pipeline import Refused, Rejected
from tailring_router.topology import Topology

__all__ = ["BY_TRACE", "Partition", "Routed", "partition"]

BY_TRACE = RoutingRule(TRACES, "traceID")


class Routed(NamedTuple):
    """The part of a request that one backend owns."""

    address: str
    payload: bytes
    items: int


class Partition(NamedTuple):
    """The parts by backend, none for a request without items.

    ``unroutable_items`` have no key and no backend; ``unroutable`` says why.
    """

    routed: list[Routed]
    unroutable_items: int = 0
    unroutable: str = ""


def partition(
    payload: bytes, topology: Topology, rule: RoutingRule = BY_TRACE
) -> Partition:
    """Give every item of ``payload`` to its backend.

    Raises `Refused` while no backend is known and `Rejected` for bytes that are no
    request of the rule's kind.
    """
    if topology.empty:
        raise Refused(
            "no_backends",
            'couldn\'t find the exporter for the endpoint "": no backend is known yet',
        )
    table = topology.table
    try:
        if rule is BY_TRACE:
            return Partition(_routed(split(payload, table), topology))
        # What spreads log records without the trace id they are routed by. Upstream's
        # is random; this cuts a request that comes again as it was cut before.
        found = split_by(payload, table, rule, seed=crc32(payload))
    except WireError as error:
        raise Rejected("malformed", str(error)) from error
    routed = _routed(found.parts, topology)
    return Partition(routed, found.unroutable_items, found.unroutable)


def _routed(parts: list[Part], topology: Topology) -> list[Routed]:
    addresses = topology.addresses
    return [Routed(addresses[p.owner], p.payload, p.items) for p in parts]
