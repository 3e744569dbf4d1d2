"""Cuts an encoded request into one request per backend.

Traces by trace id: every span goes to ``table[crc32(trace id) % len(table)]``, the
rule of the upstream exporter (consistent_hashing.go of its v0.161.0). The bytes of
a span are copied, never parsed into objects; headers are re-emitted as they came.
"""

from __future__ import annotations

from typing import NamedTuple

from tailring_otlpwire import WireError, split
from tailring_pipeline import Refused, Rejected
from tailring_router.topology import Topology

__all__ = ["Routed", "partition"]


class Routed(NamedTuple):
    """The part of a request that one backend owns."""

    address: str
    payload: bytes
    spans: int


def partition(payload: bytes, topology: Topology) -> list[Routed]:
    """The parts of ``payload`` by backend; none for a request without spans.

    Raises `Refused` while no backend is known and `Rejected` for bytes that are no
    trace request.
    """
    if topology.empty:
        raise Refused(
            "no_backends",
            'couldn\'t find the exporter for the endpoint "": no backend is known yet',
        )
    try:
        parts = split(payload, topology.table)
    except WireError as error:
        raise Rejected("malformed", str(error)) from error
    addresses = topology.addresses
    return [Routed(addresses[p.owner], p.payload, p.spans) for p in parts]
