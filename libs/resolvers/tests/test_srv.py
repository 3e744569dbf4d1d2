"""Names of SRV records: which backends they are, and what a failure among them is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tailring_resolvers import (
    DnsResolver,
    DnsResolverConfig,
    Endpoint,
    Lookup,
    ResolutionError,
)
from tailring_resolvers.srv import Srv, by_priority, is_service_name
from tailring_runtime.metrics import Metrics
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.resolver_contract import ring_names

NAME = "_otlp._tcp.sampler.test"


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """A server with four targets: two plain ones, a dual one, and one without any."""
    with DnsServer() as made:
        made.set("a.test", "10.0.0.1")
        made.set("b.test", "10.0.0.2")
        made.set("dual.test", "10.0.0.3", "fd00::3")
        made.set("none.test")
        yield made


def resolver_of(
    server: DnsServer, name: str = NAME, *, timeout_s: int = 2
) -> DnsResolver:
    """A resolver that asks the server for the name, as the block tells it."""
    config = DnsResolverConfig(
        hostname=name,
        timeout=timeout_s * 1_000_000_000,
        server=f"{server.host}:{server.port}",
    )
    return DnsResolver(config, metrics=Metrics())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_otlp._tcp.sampler.test", True),
        ("_OTLP._TCP.sampler", True),
        ("_otlp._udp.sampler", True),
        ("_otlp.sampler.test", False),
        ("otlp._tcp.sampler.test", False),
        ("_otlp._tcp", False),
        ("sampler._otlp._tcp.test", False),
    ],
)
def test_which_names_are_of_services(name: str, expected: bool) -> None:
    """A service, a protocol and a name make a name of SRV records."""
    assert is_service_name(name) is expected


def test_records_are_grouped_by_priority() -> None:
    """The lowest number comes first; a target of a dot is none."""
    records = [Srv(20, "c.", 1), Srv(10, "b.", 1), Srv(10, "a.", 2), Srv(1, ".", 0)]
    assert by_priority(records) == [
        (Srv(10, "a.", 2), Srv(10, "b.", 1)),
        (Srv(20, "c.", 1),),
    ]


async def test_each_target_has_the_port_of_its_record(server: DnsServer) -> None:
    """Endpoints are addresses of both families with the record's port."""
    server.set_services(NAME, "0 5 4317 a.test.", "0 1 5317 dual.test.")
    assert await resolver_of(server).resolve() == (
        Endpoint("10.0.0.1:4317", "10.0.0.1:4317"),
        Endpoint("10.0.0.3:5317", "10.0.0.3:5317"),
        Endpoint("[fd00::3]:5317", "[fd00::3]:5317"),
    )


async def test_a_backend_is_listed_once(server: DnsServer) -> None:
    """Two records of one target and port that differ in weight are one backend."""
    server.set_services(NAME, "0 5 4317 a.test.", "0 9 4317 a.test.")
    assert ring_names(await resolver_of(server).resolve()) == ("10.0.0.1:4317",)


async def test_higher_priorities_are_for_when_lower_ones_are_gone(
    server: DnsServer,
) -> None:
    """Only the targets of the lowest number count, unless none of them exists."""
    server.set_services(NAME, "10 0 1 a.test.", "20 0 2 b.test.", "5 0 3 gone.test.")
    assert ring_names(await resolver_of(server).resolve()) == ("10.0.0.1:1",)


async def test_a_target_without_an_address_is_left_out(server: DnsServer) -> None:
    """It is told by name, and the other targets are the list."""
    server.set_services(NAME, "0 0 1 a.test.", "0 0 1 none.test.", "0 0 1 gone.test.")
    with capture_logs() as logs:
        found = await resolver_of(server).resolve()
    assert ring_names(found) == ("10.0.0.1:1",)
    (told,) = [one for one in logs if one["log_level"] == "warning"]
    assert told["targets"] == ("gone.test.", "none.test.")


@pytest.mark.parametrize(
    ("records", "spoilt", "reason"),
    [
        (("0 0 1 a.test.", "0 0 1 b.test."), "b.test", "b.test. A: SERVFAIL"),
        (("0 0 1 a.test.", "9 0 1 b.test."), NAME, "SRV: SERVFAIL"),
        (("0 0 1 b.test.", "9 0 1 a.test."), "b.test", "b.test. A: SERVFAIL"),
        (("0 0 1 none.test.",), "", "no target of its SRV records has an address"),
        (("0 0 0 .",), "", "no target of its SRV records has an address"),
        ((), "", "no such service"),
    ],
)
async def test_half_a_service_is_none(
    server: DnsServer, records: tuple[str, ...], spoilt: str, reason: str
) -> None:
    """Where a record or a target cannot be looked up the last list must stay."""
    server.set_services(NAME, *records)
    if spoilt:
        server.spoil(spoilt, rcode="SERVFAIL")
    with pytest.raises(ResolutionError) as raised:
        await resolver_of(server).resolve()
    assert reason in raised.value.reason


async def test_a_target_that_is_silent_is_waited_for_no_longer_than_the_timeout(
    server: DnsServer,
) -> None:
    """The timeout bounds records and targets together."""
    server.set_services(NAME, "0 0 1 a.test.", "0 0 1 b.test.")
    server.spoil("b.test", drop=True)
    config = DnsResolverConfig(
        hostname=NAME,
        timeout=300_000_000,
        server=f"{server.host}:{server.port}",
    )
    with pytest.raises(ResolutionError, match="timeout"):
        await DnsResolver(config, metrics=Metrics()).resolve()


async def test_the_search_list_completes_a_service(
    server: DnsServer, tmp_path: Path
) -> None:
    """Without a server of its own, the name is tried as the system would try it."""
    (tmp_path / "resolv.conf").write_text("search sampler.test\noptions ndots:5\n")
    server.set_services("_otlp._tcp.headless.sampler.test", "0 0 1 a.test.")
    lookup = Lookup(
        nameservers=server.nameservers, resolv_conf_path=tmp_path / "resolv.conf"
    )
    services = await lookup.services("_otlp._tcp.headless", timeout_s=2)
    assert [(str(one.address), one.port) for one in services.found] == [("10.0.0.1", 1)]


async def test_hundreds_of_targets(server: DnsServer) -> None:
    """300 targets, whose records need TCP, are all found."""
    for n in range(300):
        server.set(f"t{n}.test", f"10.1.{n // 250}.{n % 250}")
    server.set_services(NAME, *(f"0 0 4317 t{n}.test." for n in range(300)))
    found = await resolver_of(server, timeout_s=30).resolve()
    assert len(found) == 300


# ---------------------------------------------------------------- the server


async def test_the_server_is_asked_instead_of_the_system(
    server: DnsServer, tmp_path: Path
) -> None:
    """With a server in the block neither hosts file nor search list are used."""
    (tmp_path / "hosts").write_text("192.0.2.1 a.test\n")
    lookup = Lookup(
        server=(server.host, server.port),
        hosts_path=tmp_path / "hosts",
        resolv_conf_path=tmp_path / "resolv.conf",
    )
    (found,) = await lookup.addresses("a.test", timeout_s=2)
    assert str(found) == "10.0.0.1"
    with pytest.raises(ResolutionError, match="no such host"):
        await lookup.addresses("a", timeout_s=2)
    assert {one.name for one in server.questions()} == {"a.test", "a"}


async def test_the_server_may_be_a_name(server: DnsServer, tmp_path: Path) -> None:
    """A server that is given by name is found as the system finds it."""
    (tmp_path / "hosts").write_text(f"{server.host} dns.test\n")
    lookup = Lookup(server=("dns.test", server.port), hosts_path=tmp_path / "hosts")
    (found,) = await lookup.addresses("a.test", timeout_s=2)
    assert str(found) == "10.0.0.1"
