"""Warns about a backend's name that stands for several addresses.

Such a name is one place on the ring, and the connection to it is balanced over its
addresses (``balancer_name``, round robin by default): the spans of one trace reach
several samplers, and none of them sees it whole. Upstream does the same without a word.

Each name is looked up once whenever a list is new, in the background. Two addresses of
different families are usually one machine and are not warned about. A name that cannot
be looked up is none of this module's business: dialling it will say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from tailring_resolvers.endpoint import Endpoint, dial_address
from tailring_resolvers.errors import PartialAnswer, ResolutionError
from tailring_resolvers.lookup import IpAddress, Lookup
from tailring_runtime.address import split_host_port
from tailring_runtime.logs import get_logger
from tailring_runtime.tasks import TaskSet

__all__ = ["NameCheck", "backend_names"]

TIMEOUT_S: Final = 5.0
_AT_ONCE_MAX: Final = 16
_NAMED_MAX: Final = 5


class NameCheck:
    """Looks names up in the background; lives on one event loop."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._tasks = TaskSet("names of backends")
        self._log = get_logger(resolver="static")

    def begin(self, endpoints: Iterable[Endpoint]) -> None:
        """Check the names of a list; returns at once."""
        names = backend_names(one.ring_name for one in endpoints)
        if names:
            self._tasks.spawn(self._check(names), name="check names")

    async def join(self) -> None:
        """Wait until all that was begun has ended."""
        await self._tasks.join()

    async def close(self) -> None:
        """Stop looking. Safe twice."""
        await self._tasks.close()

    async def _check(self, names: list[str]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE_MAX)

        async def look(name: str) -> None:
            """Look one name up and warn if it has several addresses."""
            async with gate:
                found = await self._addresses(name)
            versions = [one.version for one in found]
            if max(versions.count(4), versions.count(6)) > 1:
                self._warn(name, found)

        await asyncio.gather(*map(look, names))

    async def _addresses(self, name: str) -> tuple[IpAddress, ...]:
        try:
            return await self._lookup.addresses(name, timeout_s=TIMEOUT_S)
        except PartialAnswer as error:
            return error.addresses
        except ResolutionError as error:
            self._log.debug("a backend's name is not known", error=str(error))
            return ()

    def _warn(self, name: str, found: tuple[IpAddress, ...]) -> None:
        self._log.warning(
            "the name of a backend has several addresses: the spans of a trace are"
            " spread over them; list the addresses, or use the dns resolver",
            backend=name,
            addresses=sorted(str(one) for one in found)[:_NAMED_MAX],
            count=len(found),
        )


def backend_names(backends: Iterable[str]) -> list[str]:
    """The hosts of backends that are names, each once, in order; not localhost."""
    found = set()
    for backend in backends:
        try:
            host, _ = split_host_port(dial_address(backend))
        except ValueError:
            continue  # dialling it will say what is wrong with it
        try:
            ip_address(host)
        except ValueError:
            found.add(host)
    return sorted(found - {"", "localhost"})
