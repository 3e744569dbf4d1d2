"""The dns resolver beyond the contract: names, failures, metrics, time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tailring_resolvers import (
    SPECS,
    DnsResolver,
    DnsResolverConfig,
    Endpoint,
    Lookup,
    ResolutionError,
)
from tailring_resolvers.halves import SILENCE_MAX
from tailring_resolvers.lookup import IpAddress
from tailring_runtime.metrics import Metrics
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.resolver_contract import Heard, ring_names
from tailring_testkit.ticks import Ticks

HOST = "sampler.test."
SECOND_NS = 1_000_000_000


class Followed:
    """A dns resolver with everything around it that a test turns."""

    def __init__(self, server: DnsServer, folder: Path) -> None:
        self.server = server
        self.metrics = Metrics()
        self.ticks = Ticks()
        self.heard = Heard()
        self._lookup = Lookup(
            nameservers=server.nameservers,
            hosts_path=folder / "hosts",
            resolv_conf_path=folder / "resolv.conf",
        )
        self.resolver = self.make()

    def make(self, *, port: str = "", timeout_ns: int = 0) -> DnsResolver:
        """The resolver anew, with another block."""
        self.resolver = DnsResolver(
            DnsResolverConfig(hostname=HOST, port=port, timeout=timeout_ns),
            metrics=self.metrics,
            lookup=self._lookup,
            sleep=self.ticks.sleep,
        )
        return self.resolver

    async def start(self) -> None:
        """Start the resolver with the listener."""
        await self.resolver.start(self.heard)

    def counted(self, name: str, **labels: str) -> float:
        """A metric of the resolver."""
        full = f"otelcol_loadbalancer_{name}"
        return self.metrics.value(full, resolver="dns", **labels)


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    """A resolver of a name without records."""
    with DnsServer() as server:
        yield Followed(server, tmp_path)


async def test_ring_names_without_a_port(followed: Followed) -> None:
    """Without a port the ring holds bare addresses, which are dialled on 4317."""
    followed.server.set(HOST, "10.0.0.2", "10.0.0.10", "fd00::1", "::ffff:10.0.0.3")
    assert await followed.resolver.resolve() == (
        Endpoint("10.0.0.10", "10.0.0.10:4317"),
        Endpoint("10.0.0.2", "10.0.0.2:4317"),
        Endpoint("10.0.0.3", "10.0.0.3:4317"),
        Endpoint("[fd00::1]", "[fd00::1]:4317"),
    )


async def test_ring_names_with_a_port(followed: Followed) -> None:
    """With a port, ring names and addresses are the same strings."""
    followed.server.set(HOST, "10.0.0.2", "fd00::1")
    found = await followed.make(port="5000").resolve()
    assert found == (
        Endpoint("10.0.0.2:5000", "10.0.0.2:5000"),
        Endpoint("[fd00::1]:5000", "[fd00::1]:5000"),
    )


async def test_one_address_in_both_families_is_kept_twice(followed: Followed) -> None:
    """An A record and the same address mapped into AAAA have two places."""
    followed.server.set(HOST, "10.0.0.1", "::ffff:10.0.0.1")
    found = await followed.resolver.resolve()
    assert ring_names(found) == ("10.0.0.1", "10.0.0.1")


async def test_it_sleeps_the_interval(followed: Followed) -> None:
    """Between two lookups there are 5 s unless the block says otherwise."""
    followed.server.set(HOST, "10.0.0.1")
    await followed.start()
    await followed.ticks.tick(2)
    assert followed.ticks.slept_s == [5.0, 5.0, 5.0]
    await followed.resolver.stop()


async def test_metrics(followed: Followed) -> None:
    """Lookups are counted by success, changes once, and the gauge holds the length."""
    followed.server.set(HOST, "10.0.0.1", "10.0.0.2")
    await followed.start()
    await followed.ticks.tick()
    followed.server.remove(HOST)
    await followed.ticks.tick(3)
    followed.server.set(HOST, "10.0.0.1")
    await followed.ticks.tick()
    assert followed.counted("num_resolutions", success="true") == 3
    assert followed.counted("num_resolutions", success="false") == 3
    assert followed.counted("num_backend_updates") == 2
    assert followed.counted("num_backends") == 1
    declared = {spec.name for spec in followed.metrics.specs()}
    assert {s.name for s in SPECS if s.name.startswith("otelcol_")} <= declared
    await followed.resolver.stop()


async def test_start_waits_no_longer_than_the_timeout(followed: Followed) -> None:
    """With a silent server start returns at the timeout, and follows."""
    followed.server.spoil(HOST, drop=True)
    followed.make(timeout_ns=SECOND_NS // 5)
    began_s = time.monotonic()
    await followed.start()
    assert time.monotonic() - began_s < 2
    assert followed.resolver.following
    await followed.resolver.stop()
    assert not followed.resolver.following


async def test_stop_abandons_a_lookup(followed: Followed) -> None:
    """Stopping does not wait for a server that is silent."""
    followed.server.set(HOST, "10.0.0.1")
    followed.make(timeout_ns=30 * SECOND_NS)
    await followed.start()
    followed.server.spoil(HOST, drop=True)
    began_s = time.monotonic()
    await followed.resolver.stop()
    assert time.monotonic() - began_s < 5
    assert ring_names(followed.resolver.endpoints()) == ("10.0.0.1",)


async def test_half_an_answer_changes_its_own_half(followed: Followed) -> None:
    """While AAAA fails, new IPv4 addresses come, old ones go, and IPv6 ones stay."""
    followed.server.set(HOST, "10.0.0.1", "10.0.0.2", "fd00::1")
    await followed.start()
    followed.server.set(HOST, "10.0.0.2", "10.0.0.3")
    followed.server.spoil(HOST, kind="AAAA", rcode="SERVFAIL")
    await followed.ticks.tick(SILENCE_MAX - 1)
    assert followed.heard.names()[1:] == [("10.0.0.2", "10.0.0.3", "[fd00::1]")]
    assert followed.counted("num_resolutions", success="true") == SILENCE_MAX
    await followed.resolver.stop()


async def test_a_rolling_restart_with_a_silent_family_is_followed(
    followed: Followed,
) -> None:
    """When every address changed and AAAA is silent, no old address is left in the
    end."""
    followed.server.set(HOST, "10.0.0.1", "fd00::1")
    await followed.start()
    followed.server.set(HOST, "10.0.0.2", "fd00::2")
    followed.server.spoil(HOST, kind="AAAA", rcode="SERVFAIL")
    await followed.ticks.tick(SILENCE_MAX)
    assert followed.heard.names()[-1] == ("10.0.0.2",)
    followed.server.mend(HOST)
    await followed.ticks.tick()
    assert followed.heard.names()[-1] == ("10.0.0.2", "[fd00::2]")
    await followed.resolver.stop()


@pytest.mark.parametrize(("kind", "found"), [("AAAA", "10.0.0.1"), ("A", "[fd00::1]")])
async def test_a_family_that_never_answers_is_done_without(
    followed: Followed, kind: str, found: str
) -> None:
    """At the start the half that answers is the list."""
    followed.server.set(HOST, "10.0.0.1", "fd00::1")
    followed.server.spoil(HOST, kind=kind, rcode="SERVFAIL")
    await followed.start()
    assert followed.heard.names() == [(found,)]
    await followed.resolver.stop()


async def test_a_silence_is_told_until_it_is_settled(followed: Followed) -> None:
    """Each half answer is a warning with what it leaves, until nothing old is left."""
    followed.server.set(HOST, "10.0.0.1", "fd00::1")
    await followed.start()
    followed.server.spoil(HOST, kind="AAAA", rcode="SERVFAIL")
    with capture_logs() as logs:
        await followed.ticks.tick(SILENCE_MAX + 3)
    told = [one for one in logs if one["event"] == "half an answer"]
    assert [one["kept"] for one in told] == [1] * (SILENCE_MAX - 1) + [0]
    assert [one["lookups_left"] for one in told] == [*reversed(range(SILENCE_MAX))]
    await followed.resolver.stop()


async def test_resolve_names_the_missing_family(followed: Followed) -> None:
    """Asked by hand, half an answer is an error that says which half failed."""
    followed.server.set(HOST, "10.0.0.1")
    followed.server.spoil(HOST, kind="AAAA", rcode="SERVFAIL")
    with pytest.raises(ResolutionError, match="AAAA: SERVFAIL; 1 addresses"):
        await followed.resolver.resolve()


async def test_a_listener_that_failed_is_told_again(followed: Followed) -> None:
    """When the listener raises, the lookup counts as failed and the next one tells."""
    heard: list[tuple[Endpoint, ...]] = []

    def listen(endpoints: tuple[Endpoint, ...]) -> None:
        heard.append(endpoints)
        if len(heard) == 1:
            raise ArithmeticError("the listener has a mistake")

    followed.server.set(HOST, "10.0.0.1")
    await followed.resolver.start(listen)
    assert followed.resolver.endpoints() == ()
    assert followed.counted("num_resolutions", success="false") == 1
    await followed.ticks.tick(2)
    assert [ring_names(one) for one in heard] == [("10.0.0.1",)] * 2
    assert followed.counted("num_backend_updates") == 1
    assert followed.counted("num_resolutions", success="true") == 2
    await followed.resolver.stop()


class BrokenLookup(Lookup):
    """A lookup with a mistake in it."""

    async def addresses(
        self, hostname: str, *, timeout_s: float
    ) -> tuple[IpAddress, ...]:
        """Raise what no caller expects."""
        raise KeyError(hostname)


async def test_a_mistake_does_not_end_the_following() -> None:
    """An error that nobody foresaw is counted and the next lookup is made."""
    metrics, ticks = Metrics(), Ticks()
    config = DnsResolverConfig(hostname=HOST)
    resolver = DnsResolver(
        config, metrics=metrics, lookup=BrokenLookup(), sleep=ticks.sleep
    )
    await resolver.start(Heard())
    await ticks.tick(2)
    name = "otelcol_loadbalancer_num_resolutions"
    assert metrics.value(name, resolver="dns", success="false") == 3
    await resolver.stop()


async def test_a_stop_during_the_start_wins(followed: Followed) -> None:
    """A resolver that was stopped while it started tells and follows nothing."""
    followed.server.set(HOST, "10.0.0.1")
    await followed.resolver.stop()
    await followed.start()
    assert followed.heard.lists == []
    assert not followed.resolver.following
