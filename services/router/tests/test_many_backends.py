"""Hundreds of backends, from the source that names them to the ring that is used.

How long the event loop is held up says a heartbeat that counts what the loop's thread
computed. The median of several rounds counts: a part of ours that takes too long does
so in each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from statistics import median

import pytest

from tailring_hashring import moved
from tailring_pipeline import RetryConfig
from tailring_resolvers import (
    CloudMapResolver,
    CloudMapResolverConfig,
    DnsResolver,
    DnsResolverConfig,
    Lookup,
    Resolver,
)
from tailring_router.client import ForwarderSettings
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.metrics import RouterMetrics
from tailring_router.topology import Topology
from tailring_runtime.metrics import Metrics
from tailring_testkit.client import ScriptedClient
from tailring_testkit.cloud_map import FakeCloudMap, aws_environment, instance
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.heartbeat import Heartbeat
from tailring_testkit.ticks import Ticks

pytestmark = pytest.mark.usefixtures("collector")
BACKENDS = 300
ROUNDS = 7
HELD_UP_MAX_MS = 20.0
HOST = "samplers.test."


def hosts(*, first: int = 0, count: int = BACKENDS) -> list[str]:
    """So many addresses."""
    return [
        f"10.{n // 62_500}.{n // 250 % 250}.{n % 250}"
        for n in range(first, first + count)
    ]


@asynccontextmanager
async def following(resolver: Resolver) -> AsyncIterator[Fleet]:
    """A fleet that follows a resolver, with backends that take everything."""
    fleet = Fleet(
        FleetSettings(forwarder=ForwarderSettings(retry=RetryConfig(enabled=False))),
        connect=lambda _: ScriptedClient(),
        metrics=RouterMetrics(Metrics(), "lb"),
    )
    await resolver.start(fleet.update)
    try:
        yield fleet
    finally:
        await resolver.stop()
        await fleet.close()


async def taken(fleet: Fleet, names: set[str]) -> None:
    """Return once the fleet has a ring of these names."""
    async with asyncio.timeout(30):
        while set(fleet.topology.ring.members) != names:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.001)


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """A server whose name has 300 addresses."""
    with DnsServer() as server:
        server.set(HOST, *hosts())
        yield server


def dns_resolver(server: DnsServer, ticks: Ticks) -> DnsResolver:
    """A resolver that asks that server and waits for the test."""
    return DnsResolver(
        DnsResolverConfig(hostname=HOST, port="4317", timeout=10_000_000_000),
        metrics=Metrics(),
        lookup=Lookup(nameservers=server.nameservers),
        sleep=ticks.sleep,
    )


def named(found: list[str]) -> set[str]:
    """The ring names of these hosts."""
    return {f"{host}:4317" for host in found}


async def test_a_change_in_dns_does_not_hold_up_the_loop(dns: DnsServer) -> None:
    """From the answer with 300 addresses, all of them new, to the ring in use, nobody
    waits longer than 20 ms for a turn."""
    ticks, held_up_ms = Ticks(), []
    async with following(dns_resolver(dns, ticks)) as fleet:
        await taken(fleet, named(hosts()))
        for number in range(1, ROUNDS + 1):
            found = hosts(first=number * BACKENDS)
            dns.set(HOST, *found)
            async with Heartbeat() as heart:
                await ticks.tick()
                await taken(fleet, named(found))
            held_up_ms.append(heart.longest_ms)
    assert median(held_up_ms) < HELD_UP_MAX_MS, held_up_ms


async def test_a_change_in_cloud_map_does_not_hold_up_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """boto3 works in a thread, so that 300 instances cost the loop no more."""
    ticks, held_up_ms = Ticks(), []
    async with FakeCloudMap() as cloud:
        for name, value in aws_environment(cloud.url).items():
            monkeypatch.setenv(name, value)
        cloud.set(*(instance(host) for host in hosts()))
        config = CloudMapResolverConfig(
            namespace="ns", service_name="svc", port=4317, timeout=30_000_000_000
        )
        resolver = CloudMapResolver(config, metrics=Metrics(), sleep=ticks.sleep)
        async with following(resolver) as fleet:
            await taken(fleet, named(hosts()))
            for number in range(1, ROUNDS + 1):
                found = hosts(first=number * BACKENDS)
                cloud.set(*(instance(host) for host in found))
                async with Heartbeat() as heart:
                    await ticks.tick()
                    await taken(fleet, named(found))
                held_up_ms.append(heart.longest_ms)
    assert median(held_up_ms) < HELD_UP_MAX_MS, held_up_ms


def moved_positions(before: Topology, after: Topology) -> float:
    """The share of the table whose backend is another one."""
    pairs = zip(before.table, after.table, strict=True)
    others = sum(before.addresses[old] != after.addresses[new] for old, new in pairs)
    return others / len(before.table)


@pytest.mark.parametrize(
    ("gone", "new"), [(1, 0), (0, 1), (1, 1), (30, 0), (0, 30), (30, 30)]
)
async def test_a_change_moves_no_more_than_the_ring_says(
    dns: DnsServer, gone: int, new: int
) -> None:
    """What the router sends elsewhere is what the two rings differ in: the share of
    those who left and of those who came, and less than half as much again."""
    ticks = Ticks()
    async with following(dns_resolver(dns, ticks)) as fleet:
        await taken(fleet, named(hosts()))
        before = fleet.topology
        found = [*hosts()[gone:], *hosts(first=1000, count=new)]
        dns.set(HOST, *found)
        await ticks.tick()
        await taken(fleet, named(found))
        after = fleet.topology
    share = moved_positions(before, after)
    assert share == pytest.approx(moved(before.ring, after.ring).share)
    left = set(before.ring.members) - set(after.ring.members)
    came = set(after.ring.members) - set(before.ring.members)
    theory = sum(before.ring.shares()[name] for name in left)
    theory += sum(after.ring.shares()[name] for name in came)
    # The half: where a point of upstream's ring finds its position taken it steps
    # aside, and back when the other one leaves; some keys move between those who stay.
    assert 0 < share <= theory * 1.5
