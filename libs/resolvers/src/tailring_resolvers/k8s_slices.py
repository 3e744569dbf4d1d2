"""EndpointSlices merged into one set of backends.

What it is: the state that a list and then a watch of slices leads to, and the strings
that upstream's resolver makes of it. Rules, upstream's (v0.161.0) unless it is said:

* A Service has many slices; the backends are those of all of them together.
* An endpoint is out only when its condition ``ready`` is explicitly false. ``serving``,
  ``terminating``, zones, the type of addresses and the ports of a slice do not matter.
* An address that is in two slices stays until the last of them drops it (upstream takes
  it out with the first), which happens while the control plane moves endpoints.
* By host name, an endpoint that has none is passed over and counted.

Pure: no I/O, no clock, no logging. An event costs as much as its slice, not as all of
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tailring_resolvers.endpoint import Endpoint, named
from tailring_resolvers.k8s_config import Service

__all__ = ["Slice", "Slices", "UnexpectedObject", "endpoints_of", "read_slice"]


class UnexpectedObject(ValueError):
    """Raised when an object of the API is not an EndpointSlice as it should be."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What counts of one EndpointSlice.

    ``hosts`` are addresses, or host names of pods; ``not_ready`` and ``nameless`` count
    the endpoints that were passed over.
    """

    name: str
    version: str
    hosts: frozenset[str]
    not_ready: int = 0
    nameless: int = 0


def read_slice(document: object, *, hostnames: bool) -> Slice:
    """The slice in a decoded JSON object. Raises `UnexpectedObject`."""
    try:
        return _read(_mapping(document), hostnames)
    except (AttributeError, KeyError, TypeError) as error:
        raise UnexpectedObject(f"not an EndpointSlice: {error!r}") from error


def _read(document: Mapping[str, Any], hostnames: bool) -> Slice:
    meta = _mapping(document["metadata"])
    hosts: set[str] = set()
    not_ready = nameless = 0
    for endpoint in document.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is False:
            not_ready += 1
        elif not hostnames:
            hosts.update(endpoint["addresses"])
        elif name := endpoint.get("hostname"):
            hosts.add(name)
        else:
            nameless += 1
    if not all(isinstance(host, str) for host in hosts):
        raise TypeError("an address is not text")
    return Slice(
        str(meta["name"]),
        str(meta.get("resourceVersion", "")),
        frozenset(hosts),
        not_ready,
        nameless,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__} where an object belongs")
    return value


class Slices:
    """The slices of one Service as they are now, and the hosts in any of them."""

    def __init__(self) -> None:
        self._slices: dict[str, Slice] = {}
        # Host -> how many slices hold it; never zero.
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._slices)

    @property
    def not_ready(self) -> int:
        """Endpoints that are passed over because they are not ready."""
        return sum(one.not_ready for one in self._slices.values())

    @property
    def nameless(self) -> int:
        """Endpoints that are passed over because they have no host name."""
        return sum(one.nameless for one in self._slices.values())

    def hosts(self) -> Iterable[str]:
        """Every host once, in no order."""
        return self._held.keys()

    def replace(self, slices: Iterable[Slice]) -> bool:
        """These are all there are, as a list says; True when the hosts differ."""
        before = set(self._held)
        self._slices = {one.name: one for one in slices}
        self._held = Counter(
            host for one in self._slices.values() for host in one.hosts
        )
        return before != self._held.keys()

    def put(self, one: Slice) -> bool:
        """A slice is new or has changed; True when the hosts differ."""
        return self._swap(one.name, one)

    def drop(self, name: str) -> bool:
        """A slice is gone; True when the hosts differ."""
        return self._swap(name, None)

    def check_invariants(self) -> None:
        """Assert the rules of the class. Slow: for tests."""
        whole = Counter(host for one in self._slices.values() for host in one.hosts)
        assert self._held == whole
        assert all(count > 0 for count in self._held.values())

    def _swap(self, name: str, new: Slice | None) -> bool:
        old = self._slices.pop(name, None)
        old_hosts = old.hosts if old is not None else frozenset()
        new_hosts = new.hosts if new is not None else frozenset()
        if new is not None:
            self._slices[name] = new
        changed = False
        for host in new_hosts - old_hosts:
            self._held[host] += 1
            changed |= self._held[host] == 1
        for host in old_hosts - new_hosts:
            self._held[host] -= 1
            if not self._held[host]:
                del self._held[host]
                changed = True
        return changed


def endpoints_of(
    hosts: Iterable[str],
    *,
    service: Service,
    ports: tuple[int, ...],
    hostnames: bool,
) -> tuple[Endpoint, ...]:
    """The endpoints of hosts, sorted: one for every port, or one without a port.

    With ``hostnames`` the hosts are those of pods, and get the name of the Service.
    """
    suffix = f".{service.name}.{service.namespace}" if hostnames else ""
    names = (f"{host}{suffix}" for host in hosts)
    return tuple(named(one) for one in sorted(_ring_names(names, ports)))


def _ring_names(names: Iterable[str], ports: tuple[int, ...]) -> Iterator[str]:
    for name in names:
        if not ports:
            yield name
        # As Go's JoinHostPort: whatever has a colon is an IPv6 literal.
        host = f"[{name}]" if ":" in name else name
        for port in ports:
            yield f"{host}:{port}"
