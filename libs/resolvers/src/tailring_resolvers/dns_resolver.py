"""Backends are the addresses of a host name.

The name is looked up at start and then every ``interval``. Each address becomes one
endpoint: IPv4 (and IPv4 mapped into IPv6) dotted, IPv6 in brackets, ``:port`` appended
if one is configured. Records' TTLs are not used and no answer is cached.

Rules:

* A lookup that fails, or finds no address, keeps the last good list: DNS servers fail
  more often than all samplers vanish at once. So scaling to zero keeps the last list.
* Half an answer (A answers, AAAA fails, or the reverse) changes the half that it is;
  the addresses of the silent family stay for a while (`halves`).
* A name of SRV records (`_otlp._tcp.sampler`) is one of backends with ports of their
  own (`srv`). There half an answer is none.
* The first lookup has the same timeout as any other; `DnsResolver.start` waits for it
  and never longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from tailring_resolvers.config import DnsResolverConfig
from tailring_resolvers.endpoint import Endpoint, named
from tailring_resolvers.errors import PartialAnswer
from tailring_resolvers.halves import SILENCE_MAX, Families
from tailring_resolvers.lookup import Lookup
from tailring_resolvers.polling import PollingResolver, Sleep
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics

__all__ = ["DnsResolver", "endpoint_of"]

# Targets that one log line names.
_NAMED_MAX: Final = 10


class DnsResolver(PollingResolver):
    """Follows the A and AAAA records of one name."""

    kind = "dns"

    def __init__(
        self,
        config: DnsResolverConfig,
        *,
        metrics: Metrics,
        lookup: Lookup | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        log = get_logger(resolver=self.kind, hostname=config.hostname)
        super().__init__(
            metrics=metrics, log=log, sleep=sleep, hold_down_ns=config.hold_down
        )
        self._config = config
        self._lookup = lookup or Lookup(server=config.server_address)
        self._families = Families()
        self._missing: tuple[str, ...] = ()

    async def resolve(self) -> tuple[Endpoint, ...]:
        """Look up now, without touching the kept list.

        Raises `ResolutionError`, also for half an answer: whoever asks by hand is told.
        """
        if self._config.of_services:
            return await self._services()
        return self._endpoints_of(await self._addresses())

    def _pause_s(self, _failure: Exception | None) -> float:
        return self._config.interval_s

    def _log_started(self) -> None:
        self._log.debug("DNS resolver started")

    async def _answer(self) -> tuple[Endpoint, ...]:
        if self._config.of_services:
            return await self._services()
        try:
            found = self._families.whole(await self._addresses())
        except PartialAnswer as error:
            missing = error.missing_kind
            found = self._families.half(error.addresses, missing=missing)
            silence = self._families.silence(missing)
            # Where a family never answers this is told when it is settled, no longer.
            if silence <= SILENCE_MAX:
                self._log.warning(
                    "half an answer",
                    error=error.reason,
                    kept=self._families.held(missing),
                    lookups_left=SILENCE_MAX - silence,
                )
        return self._endpoints_of(found)

    async def _services(self) -> tuple[Endpoint, ...]:
        services = await self._lookup.services(
            self._config.hostname, timeout_s=self._config.timeout_s
        )
        missing = services.without_address
        if missing and missing != self._missing:
            self._log.warning(
                "SRV targets without an address are left out",
                targets=missing[:_NAMED_MAX],
                count=len(missing),
            )
        self._missing = missing
        found = [endpoint_of(one.address, port=str(one.port)) for one in services.found]
        return tuple(sorted(found))

    async def _addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return await self._lookup.addresses(
            self._config.hostname, timeout_s=self._config.timeout_s
        )

    def _endpoints_of(
        self, addresses: Iterable[IPv4Address | IPv6Address]
    ) -> tuple[Endpoint, ...]:
        port = self._config.port
        return tuple(sorted(endpoint_of(one, port=port) for one in addresses))


def endpoint_of(address: IPv4Address | IPv6Address, *, port: str) -> Endpoint:
    """The endpoint of one address; ``port`` may be empty."""
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        host = f"[{address}]" if mapped is None else str(mapped)
    else:
        host = str(address)
    return named(f"{host}:{port}" if port else host)
