"""All addresses of a host name, found as the operating system would find them.

Rules:

* An address literal is itself. A name in the hosts file has the addresses that stand
  there and DNS is not asked. Any other name is asked of DNS, A and AAAA at once.
* The search list and ndots of resolv.conf decide which full names are tried; the
  first that has an address wins. Neither NXDOMAIN nor an answer without addresses is
  the end while names are left. Once a name has won, no other one may win while a name
  before it fails to answer: a wildcard further down the list is not the backends.
* A truncated answer is never used: it is asked for again over TCP.
* All of it ends within ``timeout_s``. Where several servers are configured each gets
  its part of that, so that a dead first one does not eat it all.
* Half an answer is not the whole. When A answers and AAAA fails, the list would lack
  every backend of the other family, and traces would move off backends that are well:
  `PartialAnswer` is raised, and the caller decides.

* A server that is given is asked instead of all this: no hosts file, no search list.
  It may be a name, which is looked up as any other, each time.
* The records of a service (`srv`) come with the addresses of all their targets, or not
  at all: when one target fails to answer, the whole lookup does.

It does not know intervals or which addresses were found before, and it does not read
nsswitch.conf: the order is always that file's usual one, files then DNS.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

from tailring_resolvers.errors import PartialAnswer, ResolutionError
from tailring_resolvers.srv import Services, Srv, by_priority, joined
from tailring_resolvers.system_files import (
    HOSTS,
    RESOLV_CONF,
    WatchedFile,
    parse_hosts,
)

__all__ = ["IpAddress", "Lookup", "candidates"]

IpAddress = IPv4Address | IPv6Address

# As resolv.conf(5): without a server there, the one of this host is asked.
_LOCAL_SERVERS: Final = ("127.0.0.1", "::1")
# What fits an unfragmented UDP answer (DNS flag day 2020): 70 addresses, not 30.
_PAYLOAD_BYTES: Final = 1232
# Targets of a service that are looked up at once.
_TARGETS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one question brought: records, none, or a failure."""

    kind: str
    records: tuple[dns.rdata.Rdata, ...] = ()
    failure: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.failure}"

    @property
    def addresses(self) -> tuple[IpAddress, ...]:
        """Those of A and AAAA records."""
        return tuple(
            ip_address(one.address) for one in self.records if isinstance(one, A | AAAA)
        )

    @property
    def services(self) -> tuple[Srv, ...]:
        """The SRV records."""
        return tuple(
            Srv(one.priority, one.target.to_text(), one.port)
            for one in self.records
            if isinstance(one, SRV)
        )


@dataclass(frozen=True, slots=True)
class _Ask:
    """Puts questions to the servers until the deadline; never raises."""

    resolver: dns.asyncresolver.Resolver
    deadline_s: float

    async def one(self, name: dns.name.Name, kind: str) -> _Answer:
        """The records of a full name; NXDOMAIN is an answer without any."""
        left_s = self.deadline_s - asyncio.get_running_loop().time()
        try:
            answer = await self.resolver.resolve(
                name, kind, raise_on_no_answer=False, lifetime=max(0.0, left_s)
            )
        except dns.resolver.NXDOMAIN:
            return _Answer(kind)
        except (dns.exception.DNSException, OSError) as error:
            return _Answer(kind, failure=_sentence(error))
        records = answer.rrset if answer.rrset is not None else ()
        return _Answer(kind, tuple(records))

    async def both(self, name: dns.name.Name) -> tuple[_Answer, _Answer]:
        """The A and the AAAA records of a full name."""
        four, six = await asyncio.gather(self.one(name, "A"), self.one(name, "AAAA"))
        return four, six


class Lookup:
    """Finds addresses with the system's configuration, read anew when it changes.

    ``nameservers``, pairs of address and port, stand in for the servers (alone) of
    resolv.conf. ``server``, host and port, is asked instead of all the system knows.
    """

    def __init__(
        self,
        *,
        nameservers: Sequence[tuple[str, int]] = (),
        server: tuple[str, int] | None = None,
        hosts_path: Path = HOSTS,
        resolv_conf_path: Path = RESOLV_CONF,
    ) -> None:
        self._server = server
        # Finds the server, where it is given by name.
        self._system = self if server is None else Lookup(hosts_path=hosts_path)
        self._servers = [dns.nameserver.Do53Nameserver(*one) for one in nameservers]
        self._hosts = WatchedFile(hosts_path, parse_hosts)
        self._resolver = WatchedFile(resolv_conf_path, self._read_resolv_conf)
        # Host name -> the full name that had addresses last; one entry a host name.
        self._won: dict[str, dns.name.Name] = {}

    async def addresses(
        self, hostname: str, *, timeout_s: float
    ) -> tuple[IpAddress, ...]:
        """Every address, at least one, in no order. Takes ``timeout_s`` at most.

        Raises `ResolutionError` when there is none, `PartialAnswer` when only one
        family answered.
        """
        known = _literal(hostname)
        if not known and self._server is None:
            known = self._hosts.read().get(_plain(hostname), ())
        if known:
            return known
        names, ask = await self._prepared(hostname, timeout_s)
        return await self._first(hostname, names, ask)

    async def services(self, name: str, *, timeout_s: float) -> Services:
        """Where the targets of the SRV records of a name are, at least one of them.

        Takes ``timeout_s`` at most. Raises `ResolutionError` when there is none, or
        when one of those that may count could not be looked up.
        """
        names, ask = await self._prepared(name, timeout_s)
        for group in by_priority(await self._records(name, names, ask)):
            services = joined(group, await self._targets(name, group, ask))
            if services.found:
                return services
        raise ResolutionError(name, "no target of its SRV records has an address")

    async def _records(
        self, hostname: str, names: list[dns.name.Name], ask: _Ask
    ) -> tuple[Srv, ...]:
        for name in names:
            answer = await ask.one(name, "SRV")
            if answer.failure:
                # No name after it may win while this one fails to answer.
                raise ResolutionError(hostname, f"{name} {answer}")
            if answer.services:
                return answer.services
        raise ResolutionError(hostname, "no such service")

    async def _targets(
        self, hostname: str, group: Sequence[Srv], ask: _Ask
    ) -> dict[str, tuple[IpAddress, ...]]:
        gate = asyncio.Semaphore(_TARGETS_MAX)

        async def both(target: str) -> tuple[_Answer, _Answer]:
            """What is known of one target."""
            async with gate:
                return await ask.both(dns.name.from_text(target))

        targets = sorted({one.target for one in group})
        answers = await asyncio.gather(*map(both, targets))
        addresses = {}
        for target, (four, six) in zip(targets, answers, strict=True):
            for answer in (four, six):
                if answer.failure:
                    raise ResolutionError(hostname, f"{target} {answer}")
            addresses[target] = four.addresses + six.addresses
        return addresses

    async def _prepared(
        self, hostname: str, timeout_s: float
    ) -> tuple[list[dns.name.Name], _Ask]:
        """The full names to try, and who is asked for them."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        try:
            if self._server is not None:
                resolver = await self._own_resolver(self._server, timeout_s)
            else:
                resolver = self._resolver.read()
            resolver.timeout = timeout_s / max(1, len(resolver.nameservers))
            return candidates(hostname, resolver), _Ask(resolver, deadline_s)
        except (ValueError, dns.exception.DNSException) as error:
            raise ResolutionError(hostname, _sentence(error)) from error

    async def _own_resolver(
        self, server: tuple[str, int], timeout_s: float
    ) -> dns.asyncresolver.Resolver:
        host, port = server
        try:
            found = await self._system.addresses(host, timeout_s=timeout_s)
        except PartialAnswer as error:
            found = error.addresses
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(str(address), port) for address in found
        ]
        resolver.domain = dns.name.root
        resolver.use_edns(0, 0, _PAYLOAD_BYTES)
        return resolver

    async def _first(
        self, hostname: str, names: list[dns.name.Name], ask: _Ask
    ) -> tuple[IpAddress, ...]:
        failed: list[str] = []
        for name in names:
            four, six = await ask.both(name)
            found = four.addresses + six.addresses
            if failed and found and self._won.get(hostname, name) != name:
                break
            failed += [f"{name} {one}" for one in (four, six) if one.failure]
            if not found:
                continue
            self._won[hostname] = name
            if four.failure or six.failure:
                raise PartialAnswer(
                    hostname,
                    four.failure or six.failure,
                    addresses=found,
                    missing_kind="A" if four.failure else "AAAA",
                )
            return found
        raise ResolutionError(hostname, "; ".join(failed) or "no such host")

    def _read_resolv_conf(self, text: str) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=False)
        try:
            resolver.read_resolv_conf(io.StringIO(text))
        except dns.resolver.NoResolverConfiguration:
            resolver.nameservers = list(_LOCAL_SERVERS)
        if self._servers:
            resolver.nameservers = self._servers
        resolver.use_edns(0, 0, _PAYLOAD_BYTES)
        return resolver


def candidates(
    hostname: str, resolver: dns.resolver.BaseResolver
) -> list[dns.name.Name]:
    """The full names to try, in order: resolv.conf(5), ``search`` and ``ndots``."""
    name = dns.name.from_text(hostname, origin=None)
    if name.is_absolute():
        return [name]
    itself = name.concatenate(dns.name.root)
    suffixes = resolver.search or [resolver.domain]
    tried = [name.concatenate(one) for one in suffixes if one != dns.name.root]
    dots = len(name.labels) - 1
    ndots = 1 if resolver.ndots is None else resolver.ndots
    return [itself, *tried] if dots >= ndots else [*tried, itself]


def _literal(hostname: str) -> tuple[IpAddress, ...]:
    try:
        return (ip_address(hostname),)
    except ValueError:
        return ()


def _plain(hostname: str) -> str:
    return hostname.lower().removesuffix(".")


def _sentence(error: Exception) -> str:
    if isinstance(error, dns.resolver.LifetimeTimeout):
        return "timeout"
    if isinstance(error, dns.resolver.NoNameservers):
        # (server, was it TCP, port, what it answered or how it failed, response)
        said = (one[3] for one in error.kwargs.get("errors", ()))
        texts = {str(one) or type(one).__name__ for one in said}
        return ", ".join(sorted(texts)) or "no server answered"
    return str(error) or type(error).__name__
