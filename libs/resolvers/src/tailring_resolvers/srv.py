"""What SRV records say (RFC 2782), as far as a ring can follow it.

Rules:

* The backends are the targets of the lowest priority of which any target has an
  address; those of higher numbers are for when none of these exists at all.
* Weights are not used: every backend has an equal share of the ring.
* A target of ``.`` says that there is no such service.

No I/O and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

__all__ = ["Service", "Services", "Srv", "by_priority", "is_service_name", "joined"]

_SERVICE: Final = re.compile(r"_[^.]+\._(tcp|udp)\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Srv:
    """One record, without its weight."""

    priority: int
    target: str
    port: int


@dataclass(frozen=True, slots=True)
class Service:
    """Where one target is."""

    address: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True, slots=True)
class Services:
    """The backends of a service, each once, and the targets that have no address."""

    found: tuple[Service, ...]
    without_address: tuple[str, ...] = ()


def is_service_name(hostname: str) -> bool:
    """Whether a name is that of SRV records: ``_otlp._tcp.sampler.example``."""
    return _SERVICE.match(hostname) is not None


def by_priority(records: Iterable[Srv]) -> list[tuple[Srv, ...]]:
    """The records in groups of equal priority, the first one to be tried first."""
    groups: dict[int, list[Srv]] = {}
    for record in sorted(set(records)):
        if record.target != ".":
            groups.setdefault(record.priority, []).append(record)
    return [tuple(group) for group in groups.values()]


def joined(
    group: Iterable[Srv],
    addresses: Mapping[str, tuple[IPv4Address | IPv6Address, ...]],
) -> Services:
    """The backends of one priority, given the addresses of its targets."""
    records = tuple(group)
    found = {
        Service(address, record.port): None
        for record in records
        for address in addresses[record.target]
    }
    missing = sorted({one.target for one in records if not addresses[one.target]})
    return Services(tuple(found), tuple(missing))
