"""Backends are the addresses of a host name.

The name is looked up at start and then every ``interval``. Each address becomes one
endpoint: IPv4 (and IPv4 mapped into IPv6) dotted, IPv6 in brackets, ``:port`` appended
if one is configured. Records' TTLs are not used and no answer is cached.

Rules:

* A lookup that fails, or finds no address, keeps the last good list: DNS servers fail
  more often than all samplers vanish at once. So scaling to zero keeps the last list.
* Half an answer (A answers, AAAA fails, or the reverse) changes the half that it is;
  the addresses of the silent family stay for a while (`halves`).
* The first lookup has the same timeout as any other; `DnsResolver.start` waits for it
  and never longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address

from tailring_resolvers.config import DnsResolverConfig
from tailring_resolvers.endpoint import Endpoint, named
from tailring_resolvers.errors import PartialAnswer, ResolutionError
from tailring_resolvers.halves import SILENCE_MAX, Families
from tailring_resolvers.kept import KeptList
from tailring_resolvers.lookup import Lookup
from tailring_resolvers.resolver import OnChange
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

__all__ = ["DnsResolver", "endpoint_of"]


class DnsResolver:
    """Follows the A and AAAA records of one name."""

    kind = "dns"

    def __init__(
        self,
        config: DnsResolverConfig,
        *,
        metrics: Metrics,
        lookup: Lookup | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._lookup = lookup if lookup is not None else Lookup()
        self._sleep = sleep
        self._kept = KeptList(self.kind, metrics=metrics)
        self._tasks = TaskSet("resolver", metrics=metrics)
        self._log = get_logger(resolver=self.kind, hostname=config.hostname)
        self._families = Families()
        self._stopped = False

    @property
    def following(self) -> bool:
        """True while lookups go on, from the end of `start` to `stop`."""
        return len(self._tasks) > 0

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The last good list; empty before the first lookup that succeeded."""
        return self._kept.endpoints

    async def start(self, on_change: OnChange) -> None:
        """Look up once, at most for the configured timeout, then follow."""
        await self._poll(on_change)
        if self._stopped:
            return
        self._tasks.spawn(self._follow(on_change), name="dns resolver")
        self._log.debug("DNS resolver started")

    async def resolve(self) -> tuple[Endpoint, ...]:
        """Look up now, without touching the kept list.

        Raises `ResolutionError`, also for half an answer: whoever asks by hand is told.
        """
        return self._endpoints_of(await self._addresses())

    async def stop(self) -> None:
        """Follow no more; a lookup under way is abandoned. Safe twice, unstarted."""
        self._stopped = True
        await self._tasks.close()

    async def _follow(self, on_change: OnChange) -> None:
        while True:
            await self._sleep(self._config.interval_s)
            await self._poll(on_change)

    async def _poll(self, on_change: OnChange) -> None:
        try:
            found = await self._answer()
            if self._stopped:
                return
            self._kept.accept(found, on_change=on_change)
        except ResolutionError as error:
            self._kept.fail()
            self._log.warning("failed to resolve", error=error.reason)
        except Exception as error:  # noqa: BLE001 - one bad poll must not end them all
            self._kept.fail()
            self._log.error("failed to resolve", exc_info=error)
        else:
            self._log.debug("resolved successfully", backends=len(found))

    async def _answer(self) -> tuple[Endpoint, ...]:
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
