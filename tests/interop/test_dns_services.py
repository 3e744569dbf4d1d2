"""``resolver.dns.server`` and SRV names with CoreDNS, ``dns:///`` in exporters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import grpc.aio
import pytest

from tailring_resolvers import DnsResolver, DnsResolverConfig
from tailring_runtime.metrics import Metrics
from tailring_testkit import ports, servers, services
from tailring_testkit.backend import EXPORT_TRACES, Backend
from tailring_testkit.cluster import cluster
from tailring_testkit.otlp import realistic_request
from tailring_testkit.process import Child, wait_until
from tailring_testkit.resolver_contract import FollowingContract, Subject, ring_names
from tailring_testkit.ticks import Ticks

SERVICE = "_otlp._tcp.sampler.zone.test"
HOST = "sampler.zone.test"
NAMES = ("10.0.0.10:4317", "10.0.0.1:4317", "10.0.0.2:5317", "[fd00::2]:4317")
OTHERS = ("10.0.0.9:4317", "10.0.0.1:4317")

COREFILE = """
zone.test:PORT {
    bind 127.0.0.1
    errors
    file ZONE {
        reload 50ms
    }
}
.:PORT {
    bind 127.0.0.1
    ready {ready}
    template ANY ANY {
        rcode REFUSED
    }
}
"""

ZONE = """
$ORIGIN zone.test.
$TTL 1
@ IN SOA ns root SERIAL 60 60 60 1
@ IN NS ns
"""


class Zone:
    """A CoreDNS that can go away and come back, and the zone that it serves."""

    def __init__(self, folder: Path) -> None:
        self.port = ports.free_port()
        self._folder = folder
        self._path = folder / "zone.test"
        self._stack = ExitStack()
        self._child: Child | None = None
        self._serial = 0

    def serve(self, *records: str) -> None:
        """Serve these records and no others, running if it did not."""
        self._serial += 1
        text = ZONE.replace("SERIAL", str(self._serial))
        self._path.write_text(text + "".join(f"{one}\n" for one in records))
        if self._child is None:
            corefile = COREFILE.replace("PORT", str(self.port))
            corefile = corefile.replace("ZONE", str(self._path))
            self._child = self._stack.enter_context(
                servers.coredns(corefile, self._folder / "coredns")
            )
            return
        child, loaded = self._child, f"with {self._serial} SOA serial"
        wait_until(lambda: loaded in child.log(), "CoreDNS loads the zone")

    def stop(self) -> None:
        """End it, if it runs."""
        self._child = None
        self._stack.close()


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    """A zone without records that nobody serves yet."""
    made = Zone(tmp_path)
    yield made
    made.stop()


def addresses(*names: str) -> list[str]:
    """The A and AAAA records of one name."""
    hosts = [name.rpartition(":")[0].strip("[]") for name in names]
    return [f"sampler IN {'AAAA' if ':' in one else 'A'} {one}" for one in hosts]


def services_at(*names: str) -> list[str]:
    """SRV records of targets with one address each."""
    records = []
    for at, name in enumerate(names):
        host, _, port = name.rpartition(":")
        kind = "AAAA" if ":" in host else "A"
        records.append(f"_otlp._tcp.sampler IN SRV 10 {at} {port} t{at}")
        records.append(f"t{at} IN {kind} {host.strip('[]')}")
    return records


def subject_of(zone: Zone, *, service: bool) -> Subject:
    """A resolver that asks CoreDNS, as its block says, and the levers of the zone."""
    names = NAMES if service else tuple(one.replace("5317", "4317") for one in NAMES)
    records_of = services_at if service else addresses
    ticks = Ticks()
    config = DnsResolverConfig(
        hostname=SERVICE if service else HOST,
        port="" if service else "4317",
        timeout=5_000_000_000,
        server=f"127.0.0.1:{zone.port}",
    )
    resolver = DnsResolver(config, metrics=Metrics(), sleep=ticks.sleep)

    async def asked() -> None:
        if resolver.following:
            await ticks.tick()

    async def change(*names: str) -> None:
        zone.serve(*records_of(*names))
        await asked()

    async def fail() -> None:
        zone.stop()
        await asked()

    async def empty() -> None:
        zone.serve()
        await asked()

    zone.serve(*records_of(*names))
    return Subject(
        resolver, names, change=change, fail=fail, empty=empty, others=OTHERS
    )


class TestServer(FollowingContract):
    """The contract, with addresses of a server that the block names."""

    @pytest.fixture
    def subject(self, zone: Zone) -> Subject:
        """The A and AAAA records of a name."""
        return subject_of(zone, service=False)


class TestServices(FollowingContract):
    """The contract, with SRV records."""

    @pytest.fixture
    def subject(self, zone: Zone) -> Subject:
        """The SRV records of a service."""
        return subject_of(zone, service=True)


async def test_priorities_of_a_real_zone(zone: Zone) -> None:
    """The records of the lowest priority are the backends; when their targets have no
    address any more, those of the next one are."""
    records = [
        "_otlp._tcp.sampler IN SRV 10 0 4317 first",
        "_otlp._tcp.sampler IN SRV 20 0 4317 second",
        "second IN A 10.0.0.2",
    ]
    config = DnsResolverConfig(
        hostname=SERVICE, server=f"127.0.0.1:{zone.port}", timeout=5_000_000_000
    )
    resolver = DnsResolver(config, metrics=Metrics())
    zone.serve(*records, "first IN A 10.0.0.1")
    assert ring_names(await resolver.resolve()) == ("10.0.0.1:4317",)
    zone.serve(*records)
    assert ring_names(await resolver.resolve()) == ("10.0.0.2:4317",)


async def test_three_hundred_services_of_a_real_zone(zone: Zone) -> None:
    """300 SRV records, more than one UDP answer holds, are all found with all of their
    targets."""
    names = [f"10.1.{n // 100}.{n % 100}:4317" for n in range(300)]
    zone.serve(*services_at(*names))
    config = DnsResolverConfig(
        hostname=SERVICE, server=f"127.0.0.1:{zone.port}", timeout=5_000_000_000
    )
    resolver = DnsResolver(config, metrics=Metrics())
    assert ring_names(await resolver.resolve()) == tuple(sorted(names))


# ---------------------------------------------------------------- dns:/// targets

SAMPLERS = [f"127.9.0.{n}" for n in range(1, 5)]
DNS_SERVER = "127.53.0.1"
REQUESTS = 200


@pytest.fixture
async def listeners() -> AsyncIterator[list[Backend]]:
    """Four listeners on one port, each at an address of its own."""
    async with AsyncExitStack() as stack:
        port = ports.free_port()
        yield [
            await stack.enter_async_context(Backend(host=host, port=port))
            for host in SAMPLERS
        ]


@pytest.mark.namespaces
@pytest.mark.parametrize("scheme", ["dns:///", ""])
async def test_an_exporter_balances_over_all_addresses(
    listeners: list[Backend], tmp_path: Path, scheme: str
) -> None:
    """The ``otlp`` exporter, given a name with four addresses with and without
    ``dns:///`` before it, sends each of them its share of the requests."""
    port = int(listeners[0].address.rpartition(":")[2])
    config = {
        "exporters": {
            "otlp": {
                "endpoint": f"{scheme}samplers.zone.test:{port}",
                "tls": {"insecure": True},
            }
        },
        "pipeline": {"exporters": ["otlp"]},
    }
    with ExitStack() as stack:
        made = stack.enter_context(cluster())
        place = servers.Place(DNS_SERVER)
        records = {"samplers.zone.test": SAMPLERS}
        stack.enter_context(
            servers.dnsmasq(tmp_path / "dns", records, port=53, place=place)
        )
        made.use_resolver(DNS_SERVER, search="zone.test", folder=tmp_path)
        router = stack.enter_context(services.service("router", config, tmp_path))
        await _send(router.target)
    counts = [len(one.received) for one in listeners]
    assert sum(counts) == REQUESTS
    # In turn; before all four were connected some got more.
    assert min(counts) > REQUESTS // 8, counts


async def _send(target: str) -> None:
    payload = realistic_request(4, seed=1)
    async with grpc.aio.insecure_channel(target) as channel:
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            EXPORT_TRACES
        )
        for _ in range(REQUESTS):
            async with asyncio.timeout(30):
                await export(payload, wait_for_ready=True)
