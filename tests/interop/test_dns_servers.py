"""The dns resolver against the DNS servers that clusters and hosts really run.

dnsmasq answers from a hosts folder, CoreDNS from zones and with faults; both change
while the resolver follows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tailring_resolvers import DnsResolver, DnsResolverConfig, Lookup, ResolutionError
from tailring_runtime.metrics import Metrics
from tailring_testkit import ports, servers
from tailring_testkit.process import Child, wait_until
from tailring_testkit.resolver_contract import Heard, ring_names
from tailring_testkit.ticks import Ticks

MANY = tuple(f"10.3.0.{n}" for n in range(1, 61))

COREFILE = """
(local) {
    bind 127.0.0.1
    errors
}
zone.test:PORT {
    import local
    file ZONE {
        reload 100ms
    }
}
drop.test:PORT {
    import local
    erratic {
        drop 1
    }
}
slow.test:PORT {
    import local
    erratic {
        drop 0
        delay 1 700ms
    }
}
cut.test:PORT {
    import local
    erratic {
        drop 0
        truncate 1
    }
}
fail.test:PORT {
    import local
    template ANY ANY {
        rcode SERVFAIL
    }
}
half.test:PORT {
    import local
    template IN A {
        answer "{{ .Name }} 1 IN A 10.4.0.1"
    }
    template IN AAAA {
        rcode SERVFAIL
    }
}
.:PORT {
    import local
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
v4 IN A 10.2.0.9
v6 IN AAAA fd00::9
empty IN TXT "no addresses"
alias IN CNAME sampler
"""


def resolver_of(name: str, port: int, folder: Path, *, ticks: Ticks) -> DnsResolver:
    """A resolver of one name that asks a server on loopback."""
    lookup = Lookup(
        nameservers=[("127.0.0.1", port)],
        hosts_path=folder / "no-hosts",
        resolv_conf_path=folder / "no-resolv.conf",
    )
    return DnsResolver(
        DnsResolverConfig(hostname=name, timeout=2_000_000_000),
        metrics=Metrics(),
        lookup=lookup,
        sleep=ticks.sleep,
    )


@dataclass(slots=True)
class Coredns:
    """A running CoreDNS with a zone that can be written anew."""

    child: Child
    port: int
    zone: Path
    serial: int = 1

    def set(self, name: str, *addresses: str) -> None:
        """Write the zone with these records for one name and a higher serial."""
        self.serial += 1
        records = [
            f"{name} IN {'AAAA' if ':' in address else 'A'} {address}\n"
            for address in addresses
        ]
        text = ZONE.replace("SERIAL", str(self.serial)) + "".join(records)
        self.zone.write_text(text)

    def has_read(self) -> bool:
        """True once the log says that the last zone was loaded."""
        return f"with {self.serial} SOA serial" in self.child.log()


@pytest.fixture
def coredns(tmp_path: Path) -> Iterator[Coredns]:
    """CoreDNS with zones that answer, fail, delay and cut."""
    port, zone = ports.free_port(), tmp_path / "zone.test"
    addresses = "".join(f"big IN A {address}\n" for address in MANY)
    first = ZONE.replace("SERIAL", "1") + addresses
    zone.write_text(first + "sampler IN A 10.2.0.1\nsampler IN AAAA fd00::2\n")
    corefile = COREFILE.replace("PORT", str(port)).replace("ZONE", str(zone))
    with servers.coredns(corefile, tmp_path / "coredns") as child:
        yield Coredns(child, port, zone)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sampler.zone.test", ("10.2.0.1", "[fd00::2]")),
        ("alias.zone.test", ("10.2.0.1", "[fd00::2]")),
        ("v4.zone.test", ("10.2.0.9",)),
        ("v6.zone.test", ("[fd00::9]",)),
        ("big.zone.test", tuple(sorted(MANY))),
        ("any.slow.test", ("192.0.2.53", "[2001:db8::53]")),
        ("any.cut.test", ("192.0.2.53", "[2001:db8::53]")),
    ],
)
async def test_coredns_answers(
    coredns: Coredns, tmp_path: Path, name: str, expected: tuple[str, ...]
) -> None:
    """Both families, one, an alias, 60 addresses, slow and cut answers are found."""
    resolver = resolver_of(name, coredns.port, tmp_path, ticks=Ticks())
    assert ring_names(await resolver.resolve()) == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nope.zone.test", "no such host"),
        ("empty.zone.test", "no such host"),
        ("any.drop.test", "timeout"),
        ("any.fail.test", "SERVFAIL"),
        ("any.half.test", "AAAA: SERVFAIL; 1 addresses"),
        ("else.where", "REFUSED"),
    ],
)
async def test_coredns_fails(
    coredns: Coredns, tmp_path: Path, name: str, reason: str
) -> None:
    """Each way in which a real server fails is an error that names it."""
    resolver = resolver_of(name, coredns.port, tmp_path, ticks=Ticks())
    with pytest.raises(ResolutionError) as raised:
        await resolver.resolve()
    assert reason in raised.value.reason


async def test_coredns_changes(coredns: Coredns, tmp_path: Path) -> None:
    """A zone that is loaded anew is told; one without the name keeps the list."""
    ticks, heard = Ticks(), Heard()
    resolver = resolver_of("sampler.zone.test", coredns.port, tmp_path, ticks=ticks)
    await resolver.start(heard)
    coredns.set("sampler", "10.2.0.77", "10.2.0.1")
    wait_until(coredns.has_read, "CoreDNS loads the zone")
    await ticks.tick()
    coredns.set("other", "10.2.0.1")
    wait_until(coredns.has_read, "CoreDNS loads the zone")
    await ticks.tick(2)
    assert heard.names() == [("10.2.0.1", "[fd00::2]"), ("10.2.0.1", "10.2.0.77")]
    assert resolver.endpoints() == heard.lists[-1]
    await resolver.stop()


async def test_dnsmasq_changes_and_goes_away(tmp_path: Path) -> None:
    """dnsmasq's answers are followed, and the last list outlives dnsmasq."""
    ticks, heard = Ticks(), Heard()
    name = "sampler.tail.test"
    with servers.dnsmasq(tmp_path / "dnsmasq", {name: ["10.1.0.2", "10.1.0.1"]}) as dns:
        resolver = resolver_of(name, dns.port, tmp_path, ticks=ticks)
        await resolver.start(heard)
        dns.set_hosts({name: MANY})
        await ticks.tick()
        dns.set_hosts({"another.test": ["10.1.0.1"]})
        await ticks.tick()
        assert ring_names(resolver.endpoints()) == tuple(sorted(MANY))
        dns.set_hosts({name: ["10.1.0.1", "fd00::1"]})
        await ticks.tick()
    await ticks.tick()
    assert heard.names() == [
        ("10.1.0.1", "10.1.0.2"),
        tuple(sorted(MANY)),
        ("10.1.0.1", "[fd00::1]"),
    ]
    assert resolver.endpoints() == heard.lists[-1]
    await resolver.stop()
