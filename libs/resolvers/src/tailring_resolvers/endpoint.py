"""What a resolver emits.

An endpoint has two names that are never mixed up. The *ring name* is the string
that the upstream exporter hashes, byte for byte: without a port when the resolver
gives none. The *address* is what is dialled and always has a port.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Endpoint"]


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A backend: its name on the ring and its dial address ``host:port``."""

    ring_name: str
    address: str
