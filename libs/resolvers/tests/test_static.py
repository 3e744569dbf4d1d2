"""The static resolver beyond the contract: verbatim strings, duplicates, metrics."""

from __future__ import annotations

from tailring_resolvers import SPECS, Endpoint, StaticResolver, StaticResolverConfig
from tailring_runtime.metrics import Metrics
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
