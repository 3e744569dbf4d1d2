"""What a resolver emits.

An endpoint has two names that are never mixed up. The *ring name* is the string
that the upstream exporter hashes, byte for byte: without a port when the resolver
gives none. The *address* is what is dialled and always has a port.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

__all__ = ["PORT_DEFAULT", "Endpoint", "dial_address", "named"]

PORT_DEFAULT: Final = "4317"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A backend: its name on the ring and its dial address ``host:port``."""

    ring_name: str
    address: str


def named(ring_name: str) -> Endpoint:
    """The endpoint that a string of a resolver stands for."""
    return Endpoint(ring_name=ring_name, address=dial_address(ring_name))


def dial_address(name: str) -> str:
    """Where a ring name is dialled: the name, with port 4317 if it has none.

    As upstream, a name without a colon gets the port and any other is dialled as it
    stands. The exception is an IPv6 literal, ``::1`` or ``[::1]``: upstream takes its
    colons for a port and dials 443, where no sampler listens; here it gets brackets
    and 4317 as well. Its ring name stays what it was, so both still agree on owners.
    """
    if ":" not in name:
        return f"{name}:{PORT_DEFAULT}"
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if _is_ipv6(bare):
        return f"[{bare}]:{PORT_DEFAULT}"
    return name


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
