"""Lookups against a real DNS server on loopback that is made to misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import dns.asyncresolver
import dns.name
import pytest

from tailring_resolvers import Lookup, PartialAnswer, ResolutionError
from tailring_resolvers.lookup import candidates
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.ports import free_port

HOST = "sampler.zone.test."
TIMEOUT_S = 5.0


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """A DNS server without any name."""
    with DnsServer() as one:
        yield one


class Setup:
    """A lookup whose server and system files the test owns."""

    def __init__(self, folder: Path, nameservers: list[tuple[str, int]]) -> None:
        self.hosts = folder / "hosts"
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text("nameserver 192.0.2.1\n")
        self.lookup = Lookup(
            nameservers=nameservers,
            hosts_path=self.hosts,
            resolv_conf_path=self.resolv_conf,
        )

    async def find(self, name: str = HOST, *, timeout_s: float = TIMEOUT_S) -> set[str]:
        """The addresses of a name as texts."""
        found = await self.lookup.addresses(name, timeout_s=timeout_s)
        assert len(found) == len(set(found))
        return {str(one) for one in found}

    async def reason(self, name: str = HOST, *, timeout_s: float = TIMEOUT_S) -> str:
        """Why a name has no addresses."""
        with pytest.raises(ResolutionError) as raised:
            await self.lookup.addresses(name, timeout_s=timeout_s)
        assert raised.value.source == name
        return raised.value.reason


@pytest.fixture
def setup(server: DnsServer, tmp_path: Path) -> Setup:
    """A lookup that asks the server."""
    return Setup(tmp_path, server.nameservers)


async def test_both_families_are_found(server: DnsServer, setup: Setup) -> None:
    """A and AAAA records are one list."""
    server.set(HOST, "10.0.0.1", "10.0.0.2", "fd00::1")
    assert await setup.find() == {"10.0.0.1", "10.0.0.2", "fd00::1"}


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["fd00::1", "fd00::2"]])
async def test_one_family_is_enough(
    server: DnsServer, setup: Setup, addresses: list[str]
) -> None:
    """A name that has no record of the other family is whole."""
    server.set(HOST, *addresses)
    assert await setup.find() == set(addresses)


async def test_an_alias_is_followed(server: DnsServer, setup: Setup) -> None:
    """A CNAME leads to its target's addresses."""
    server.set("real.zone.test", "10.0.0.1")
    server.alias(HOST, "real.zone.test")
    assert await setup.find() == {"10.0.0.1"}


async def test_a_name_that_does_not_exist(setup: Setup) -> None:
    """NXDOMAIN is no such host."""
    assert await setup.reason() == "no such host"


async def test_a_name_without_addresses(server: DnsServer, setup: Setup) -> None:
    """A name that exists without addresses is no such host either."""
    server.set(HOST)
    assert await setup.reason() == "no such host"


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR"])
async def test_a_server_that_refuses(
    server: DnsServer, setup: Setup, rcode: str
) -> None:
    """The reason names both questions and what the server said."""
    server.spoil(HOST, rcode=rcode)
    assert await setup.reason() == f"{HOST} A: {rcode}; {HOST} AAAA: {rcode}"


async def test_a_server_that_does_not_answer(server: DnsServer, setup: Setup) -> None:
    """Without an answer the lookup ends at its timeout."""
    server.spoil(HOST, drop=True)
    began_s = time.monotonic()
    assert "timeout" in await setup.reason(timeout_s=0.2)
    assert time.monotonic() - began_s < 2


async def test_a_slow_server_within_the_timeout(
    server: DnsServer, setup: Setup
) -> None:
    """An only server has the whole timeout to answer."""
    server.set(HOST, "10.0.0.1")
    server.spoil(HOST, delay_s=0.3)
    assert await setup.find() == {"10.0.0.1"}


async def test_nobody_listens(tmp_path: Path) -> None:
    """A port where nobody listens is a failure within the timeout."""
    setup = Setup(tmp_path, [("127.0.0.1", free_port())])
    assert await setup.reason(timeout_s=0.2)


async def test_a_truncated_answer_is_asked_for_over_tcp(
    server: DnsServer, setup: Setup
) -> None:
    """What UDP cuts is fetched whole over TCP."""
    server.set(HOST, "10.0.0.1", "10.0.0.2")
    server.spoil(HOST, cut=True)
    assert await setup.find() == {"10.0.0.1", "10.0.0.2"}
    over_tcp = {one.kind for one in server.questions(HOST) if one.tcp}
    assert over_tcp == {"A", "AAAA"}


@pytest.mark.parametrize(("count", "over_tcp"), [(60, False), (400, True)])
async def test_many_addresses(
    server: DnsServer, setup: Setup, count: int, *, over_tcp: bool
) -> None:
    """60 addresses come in one datagram, 400 over TCP, and all of them are found."""
    addresses = {f"10.3.{n // 250}.{n % 250}" for n in range(count)}
    server.set(HOST, *addresses)
    assert await setup.find() == addresses
    assert any(one.tcp for one in server.questions(HOST)) is over_tcp


async def test_tcp_that_does_not_answer(server: DnsServer, setup: Setup) -> None:
    """A truncated answer whose whole never comes ends at the timeout."""
    server.set(HOST, "10.0.0.1")
    server.spoil(HOST, cut=True, delay_s=0.6)
    began_s = time.monotonic()
    assert await setup.reason(timeout_s=0.9)
    assert time.monotonic() - began_s < 3


@pytest.mark.parametrize(("kind", "answered"), [("A", "fd00::1"), ("AAAA", "10.0.0.1")])
@pytest.mark.parametrize("fault", [{"rcode": "SERVFAIL"}, {"drop": True}])
async def test_half_an_answer_is_none(
    server: DnsServer,
    setup: Setup,
    kind: str,
    answered: str,
    fault: dict[str, str | bool],
) -> None:
    """When one family fails, the other one's addresses are not the list."""
    server.set(HOST, "10.0.0.1", "fd00::1")
    server.spoil(HOST, kind=kind, **fault)
    with pytest.raises(PartialAnswer) as raised:
        await setup.lookup.addresses(HOST, timeout_s=1.0)
    assert raised.value.missing_kind == kind
    assert [str(one) for one in raised.value.addresses] == [answered]
    assert raised.value.reason.startswith(f"{kind}: ")


async def test_a_family_that_does_not_exist_is_no_failure(
    server: DnsServer, setup: Setup
) -> None:
    """NXDOMAIN for AAAA alone, as some old servers say it, does not spoil A."""
    server.set(HOST, "10.0.0.1")
    server.spoil(HOST, kind="AAAA", rcode="NXDOMAIN")
    assert await setup.find() == {"10.0.0.1"}


async def test_a_dead_first_server_does_not_eat_the_timeout(
    server: DnsServer, tmp_path: Path
) -> None:
    """The second of two servers is asked while there is time left."""
    server.set(HOST, "10.0.0.1")
    with DnsServer() as dead:
        dead.spoil(HOST, drop=True)
        setup = Setup(tmp_path, [*dead.nameservers, *server.nameservers])
        assert await setup.find(timeout_s=2.0) == {"10.0.0.1"}
        assert dead.questions(HOST)


async def test_a_failing_first_server_is_passed(
    server: DnsServer, tmp_path: Path
) -> None:
    """SERVFAIL of one server is not the end while another one is left."""
    server.set(HOST, "10.0.0.1")
    with DnsServer() as failing:
        failing.spoil(HOST, rcode="SERVFAIL")
        setup = Setup(tmp_path, [*failing.nameservers, *server.nameservers])
        assert await setup.find() == {"10.0.0.1"}


@pytest.mark.parametrize("literal", ["10.0.0.1", "fd00::1", "fe80::1%lo"])
async def test_a_literal_is_itself(
    server: DnsServer, setup: Setup, literal: str
) -> None:
    """An address in the place of a name is not looked up."""
    assert await setup.find(literal) == {literal}
    assert server.questions() == []


async def test_the_hosts_file_comes_first(server: DnsServer, setup: Setup) -> None:
    """A name in the hosts file has the addresses that stand there, and only those."""
    server.set(HOST, "10.0.0.1")
    setup.hosts.write_text("10.9.9.1 sampler.zone.test\nfd00::9 SAMPLER.zone.test\n")
    assert await setup.find("Sampler.Zone.Test") == {"10.9.9.1", "fd00::9"}
    assert await setup.find(HOST) == {"10.9.9.1", "fd00::9"}
    assert server.questions() == []


async def test_the_hosts_file_may_change(server: DnsServer, setup: Setup) -> None:
    """Once a name leaves the hosts file, DNS is asked."""
    server.set(HOST, "10.0.0.1")
    setup.hosts.write_text("10.9.9.1 sampler.zone.test\n")
    assert await setup.find() == {"10.9.9.1"}
    setup.hosts.write_text("")
    assert await setup.find() == {"10.0.0.1"}


async def test_the_search_list_is_walked(server: DnsServer, setup: Setup) -> None:
    """A short name is the first full name of the search list that has addresses."""
    setup.resolv_conf.write_text("search one.test two.test three.test\n")
    server.set("sampler.one.test")
    server.set("sampler.two.test", "10.0.0.2")
    server.set("sampler.three.test", "10.0.0.3")
    assert await setup.find("sampler") == {"10.0.0.2"}
    asked = {one.name for one in server.questions()}
    assert asked == {"sampler.one.test", "sampler.two.test"}


async def test_a_later_name_may_win_while_an_earlier_one_fails(
    server: DnsServer, setup: Setup
) -> None:
    """A search domain whose servers are down does not hide the name itself."""
    setup.resolv_conf.write_text("search corp.test\noptions ndots:5\n")
    server.spoil("sampler.zone.test.corp.test", rcode="SERVFAIL")
    server.set("sampler.zone.test", "10.0.0.1")
    assert await setup.find("sampler.zone.test") == {"10.0.0.1"}


async def test_another_name_does_not_win_by_a_failure(
    server: DnsServer, setup: Setup
) -> None:
    """While the name that won before fails, a wildcard after it does not win."""
    setup.resolv_conf.write_text("search one.test two.test\n")
    server.set("sampler.one.test", "10.0.0.1")
    server.set("sampler.two.test", "192.0.2.99")
    assert await setup.find("sampler") == {"10.0.0.1"}
    server.spoil("sampler.one.test", rcode="SERVFAIL")
    assert "SERVFAIL" in await setup.reason("sampler")
    server.mend("sampler.one.test")
    server.remove("sampler.one.test")
    assert await setup.find("sampler") == {"192.0.2.99"}


@pytest.mark.parametrize(
    ("conf", "name", "expected"),
    [
        ("search a.test b.test", "x", "x.a.test. x.b.test. x."),
        ("search a.test b.test", "x.y", "x.y. x.y.a.test. x.y.b.test."),
        ("search a.test\noptions ndots:2", "x.y", "x.y.a.test. x.y."),
        ("search a.test\noptions ndots:2", "x.y.z", "x.y.z. x.y.z.a.test."),
        ("search a.test\noptions ndots:0", "x", "x. x.a.test."),
        ("domain d.test", "x", "x.d.test. x."),
        ("search a.test", "x.", "x."),
        ("search .", "x", "x."),
    ],
)
def test_candidates(tmp_path: Path, conf: str, name: str, expected: str) -> None:
    """Search list and ndots order the full names as resolv.conf(5) says."""
    path = tmp_path / "resolv.conf"
    path.write_text(f"nameserver 192.0.2.1\n{conf}\n")
    resolver = dns.asyncresolver.Resolver(str(path))
    assert [str(one) for one in candidates(name, resolver)] == expected.split()


async def test_resolv_conf_is_read_again(server: DnsServer, setup: Setup) -> None:
    """A search list that is changed while we run holds for the next lookup."""
    server.set("sampler.new.test", "10.0.0.7")
    setup.resolv_conf.write_text("search old.test\n")
    assert await setup.reason("sampler") == "no such host"
    setup.resolv_conf.write_text("search new.test\n")
    assert await setup.find("sampler") == {"10.0.0.7"}


async def test_servers_come_from_resolv_conf(tmp_path: Path) -> None:
    """Without an override the servers of the file are asked, on port 53."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.53.7.1\noptions timeout:1\n")
    lookup = Lookup(hosts_path=tmp_path / "hosts", resolv_conf_path=path)
    with pytest.raises(ResolutionError) as raised:
        await lookup.addresses(HOST, timeout_s=0.2)
    assert raised.value.reason


async def test_without_a_resolv_conf_this_host_is_asked(tmp_path: Path) -> None:
    """A system without the file fails cleanly when nothing listens on loopback."""
    missing = tmp_path / "none"
    lookup = Lookup(hosts_path=missing, resolv_conf_path=missing)
    with pytest.raises(ResolutionError):
        await lookup.addresses("nobody.invalid.", timeout_s=0.2)


@pytest.mark.parametrize(
    ("conf", "name"),
    [
        ("nameserver not-an-address", HOST),
        ("nameserver 192.0.2.1", "a..b"),
        ("nameserver 192.0.2.1", "x" * 64),
        ("nameserver 192.0.2.1\nsearch a..b", "x"),
    ],
)
async def test_nonsense_is_a_resolution_error(
    tmp_path: Path, conf: str, name: str
) -> None:
    """A broken resolv.conf or a name that cannot be one fails the lookup, no more."""
    path = tmp_path / "resolv.conf"
    path.write_text(conf + "\n")
    lookup = Lookup(hosts_path=tmp_path / "hosts", resolv_conf_path=path)
    with pytest.raises(ResolutionError):
        await lookup.addresses(name, timeout_s=0.2)


async def test_a_lookup_can_be_abandoned(server: DnsServer, setup: Setup) -> None:
    """Cancelling a lookup leaves no socket behind, or this test warns."""
    server.spoil(HOST, drop=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await setup.find()
