"""From the instances that Cloud Map answers to endpoints.

Rules:

* A configured port comes before the attribute AWS_INSTANCE_PORT. An instance with
  neither is left out and said to be; upstream would dial ``10.0.0.1:``.
* AWS_INSTANCE_IPV4 comes before AWS_INSTANCE_IPV6, as upstream knows no IPv6: an
  instance that has both is one endpoint, and has the name that upstream gives it.
* Two instances with one address are two endpoints, as upstream.

No I/O, no clock, no logging.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Literal

from tailring_resolvers.endpoint import Endpoint, named

__all__ = ["LEFT_OUT_REASONS", "Found", "Instance", "endpoints_of"]

LeftOutReason = Literal["no_address", "no_port"]
LEFT_OUT_REASONS: Final[tuple[LeftOutReason, ...]] = ("no_address", "no_port")


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance: its id and its attributes, of which any may be missing."""

    id: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """Endpoints in order, and the ids of the instances that could be none."""

    endpoints: tuple[Endpoint, ...]
    left_out: Mapping[LeftOutReason, tuple[str, ...]]

    def unusable(self) -> str:
        """Why instances were left out, in words; empty when none was."""
        words: dict[LeftOutReason, str] = {
            "no_address": "have neither AWS_INSTANCE_IPV4 nor AWS_INSTANCE_IPV6",
            "no_port": "have no AWS_INSTANCE_PORT and no port is configured;"
            " set resolver.aws_cloud_map.port",
        }
        return "; ".join(
            f"{len(ids)} instances {words[reason]}"
            for reason, ids in self.left_out.items()
            if ids
        )


def endpoints_of(instances: Iterable[Instance], *, port: int | None) -> Found:
    """The endpoints of an answer, sorted by ring name."""
    endpoints: list[Endpoint] = []
    no_address: list[str] = []
    no_port: list[str] = []
    for instance in instances:
        host = _host(instance.attributes)
        dialled = port or _port(instance.attributes)
        if host is None:
            no_address.append(instance.id)
        elif not dialled:
            no_port.append(instance.id)
        else:
            endpoints.append(named(f"{host}:{dialled}"))
    return Found(
        tuple(sorted(endpoints)),
        {"no_address": tuple(sorted(no_address)), "no_port": tuple(sorted(no_port))},
    )


def _host(attributes: Mapping[str, str]) -> str | None:
    try:
        return str(IPv4Address(attributes.get("AWS_INSTANCE_IPV4", "")))
    except AddressValueError:
        pass
    try:
        return f"[{IPv6Address(attributes.get('AWS_INSTANCE_IPV6', ''))}]"
    except AddressValueError:
        return None


def _port(attributes: Mapping[str, str]) -> int:
    """The port of the attribute; 0 when it is none."""
    text = attributes.get("AWS_INSTANCE_PORT", "")
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return 0
    return int(text) if int(text) < 65536 else 0
