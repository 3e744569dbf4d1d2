"""The static resolver beyond the contract: verbatim strings, duplicates, metrics."""

from __future__ import annotations

from structlog.testing import capture_logs

from tailring_resolvers import (
    SPECS,
    Endpoint,
    Lookup,
    StaticResolver,
    StaticResolverConfig,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.resolver_contract import Heard, ring_names


def static(*hostnames: str, metrics: Metrics | None = None) -> StaticResolver:
    """A resolver of these strings."""
    config = StaticResolverConfig(hostnames=hostnames)
    return StaticResolver(config, metrics=metrics if metrics else Metrics())


async def test_strings_are_used_verbatim() -> None:
    """Nothing is trimmed, lower-cased or completed on the ring."""
    found = await static("Host", " a", "::1", "10.0.0.2", "10.0.0.10").resolve()
    assert ring_names(found) == (" a", "10.0.0.10", "10.0.0.2", "::1", "Host")


async def test_duplicates_are_kept() -> None:
    """A string that is listed twice is on the ring twice, with one address."""
    heard = Heard()
    await static("b:1", "a:1", "b:1").start(heard)
    twice = Endpoint("b:1", "b:1")
    assert heard.lists == [(Endpoint("a:1", "a:1"), twice, twice)]


async def test_one_address_may_have_two_ring_names() -> None:
    """With and without the default port are two names of one address."""
    found = await static("a", "a:4317").resolve()
    assert ring_names(found) == ("a", "a:4317")
    assert {one.address for one in found} == {"a:4317"}


async def test_it_counts_once() -> None:
    """One resolution, one update, and the length of the list with duplicates."""
    metrics = Metrics()
    await static("a", "b", "b", metrics=metrics).start(Heard())
    names = [spec.name for spec in SPECS if spec.name.startswith("otelcol_")]
    counted = {name: metrics.value(name, resolver="static") for name in names}
    assert counted == {
        "otelcol_loadbalancer_num_resolutions": 1,
        "otelcol_loadbalancer_num_backends": 3,
        "otelcol_loadbalancer_num_backend_updates": 1,
    }


async def test_a_new_list_is_told_at_once() -> None:
    """A list that was changed in the file is told, and counted as an update."""
    heard, metrics = Heard(), Metrics()
    resolver = static("a:1", "b:1", metrics=metrics)
    await resolver.start(heard)
    resolver.update(StaticResolverConfig(hostnames=("c:1", "a:1")))
    assert heard.names() == [("a:1", "b:1"), ("a:1", "c:1")]
    assert ring_names(resolver.endpoints()) == ("a:1", "c:1")
    name = "otelcol_loadbalancer_num_backend_updates"
    assert metrics.value(name, resolver="static") == 2


async def test_the_same_list_is_no_change() -> None:
    """A file that was read again and lists the same, in any order, moves no ring."""
    heard = Heard()
    resolver = static("a:1", "b:1", "b:1")
    await resolver.start(heard)
    resolver.update(StaticResolverConfig(hostnames=("b:1", "a:1", "b:1")))
    assert len(heard.lists) == 1


async def test_a_list_that_changed_before_the_start_is_told_by_it() -> None:
    """An update tells nobody who does not listen yet, or any more."""
    heard = Heard()
    resolver = static("a:1")
    resolver.update(StaticResolverConfig(hostnames=("b:1",)))
    await resolver.start(heard)
    await resolver.stop()
    resolver.update(StaticResolverConfig(hostnames=("c:1",)))
    assert heard.names() == [("b:1",)]


async def test_a_name_with_several_addresses_is_warned_about() -> None:
    """A name with two addresses of one family spreads traces; one of each does not."""
    names = ("many.test.:4317", "dual.test.:4317", "gone.test.", "10.0.0.9", "fd00::9")
    with DnsServer() as server:
        server.set("many.test", "10.0.0.1", "10.0.0.2")
        server.set("dual.test", "10.0.0.3", "fd00::3")
        lookup = Lookup(nameservers=server.nameservers)
        config = StaticResolverConfig(hostnames=names)
        resolver = StaticResolver(config, metrics=Metrics(), lookup=lookup)
        with capture_logs() as logs:
            await resolver.start(Heard())
            await resolver.names_checked()
        asked = {one.name for one in server.questions()}
        await resolver.stop()
    warned = [one for one in logs if one["log_level"] == "warning"]
    assert [one["backend"] for one in warned] == ["many.test."]
    assert warned[0]["addresses"] == ["10.0.0.1", "10.0.0.2"]
    assert asked == {"many.test", "dual.test", "gone.test"}
