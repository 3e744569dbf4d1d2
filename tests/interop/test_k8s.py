"""The k8s resolver and a real API server: endpoints, slices and Pods."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tailring_resolvers import (
    K8sResolver,
    K8sResolverConfig,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.heartbeat import Heartbeat
from tailring_testkit.kube import Kube, Tenant, endpoint, kube
from tailring_testkit.kube_pods import Pods, controllers
from tailring_testkit.kube_rig import Following, addresses, named, put_all
from tailring_testkit.process import eventually
from tailring_testkit.resolver_contract import FollowingContract, Subject
from tailring_testkit.tcp_proxy import TcpProxy

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """The API server of this module."""
    with kube(tmp_path_factory.mktemp("kube")) as made:
        yield made


@pytest.fixture
def tenant(api: Kube) -> Tenant:
    """A namespace whose ServiceAccount may read EndpointSlices."""
    return api.tenant()


NAMES = ("10.0.0.10:4317", "10.0.0.1:4317", "10.0.0.2:4317")
OTHERS = ("10.0.0.9:4317", "10.0.0.1:4317")


class Levers:
    """The contract's levers: slices, and a proxy in front of the server."""

    def __init__(self, tenant: Tenant, resolver: K8sResolver, proxy: TcpProxy) -> None:
        self._tenant = tenant
        self._resolver = resolver
        self._proxy = proxy

    async def change(self, *names: str) -> None:
        """The Service has these endpoints, in one slice: two are two changes."""
        self._proxy.refusing = False
        await self._put(name.rpartition(":")[0] for name in names)

    async def fail(self) -> None:
        """The server cannot be reached any more."""
        tries = self._proxy.connections
        self._proxy.refusing = True
        self._proxy.cut()
        await eventually(
            lambda: not self._resolver.following or self._proxy.connections > tries,
            "the resolver has tried",
        )

    async def empty(self) -> None:
        """The Service has no endpoints any more."""
        await self._put(())

    async def _put(self, hosts: Iterable[str]) -> None:
        found = map(endpoint, hosts)
        version = await asyncio.to_thread(self._tenant.put_slice, "one", found)
        await eventually(
            lambda: (
                not self._resolver.following
                or int(self._resolver.version or 0) >= int(version)
            ),
            "the resolver has seen it",
        )


class TestK8s(FollowingContract):
    """The k8s resolver, a real server, and a proxy between them that can be cut."""

    @pytest.fixture
    async def subject(self, tenant: Tenant, tmp_path: Path) -> AsyncIterator[Subject]:
        """A Service with one slice."""
        async with TcpProxy(tenant.kube.port) as proxy:
            place = await asyncio.to_thread(
                tenant.pod, tmp_path / "account", port=proxy.port
            )
            resolver = K8sResolver(
                K8sResolverConfig(service="sampler", ports=(4317,)),
                metrics=Metrics(),
                place=place,
            )
            levers = Levers(tenant, resolver, proxy)
            await levers.change(*NAMES)
            yield Subject(
                resolver,
                NAMES,
                change=levers.change,
                fail=levers.fail,
                empty=levers.empty,
                others=OTHERS,
            )


@pytest.mark.parametrize("count", [1, 300, 1200])
async def test_endpoints_of_many_slices(
    tenant: Tenant, tmp_path: Path, count: int
) -> None:
    """1, 300 and 1,200 endpoints are one list; a new list of as many is followed, and
    the event loop is never held up for 20 ms."""
    first, second = addresses(count), addresses(count, block=30)
    await asyncio.to_thread(put_all, tenant, first)
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    async with Heartbeat() as heartbeat, Following(place) as following:
        assert set(following.names()) == named(first)
        assert len(following.heard.lists) == 1
        await asyncio.to_thread(put_all, tenant, second)
        await following.has(named(second))
    assert heartbeat.longest_ms < 20


async def test_churn_ends_where_the_slices_do(tenant: Tenant, tmp_path: Path) -> None:
    """While 300 endpoints move between slices and vanish, whoever is in a slice all the
    time is never out, and in the end the list is that of the slices."""
    rng = random.Random(20261125)
    steady = addresses(50, block=40)
    await asyncio.to_thread(tenant.put_slice, "steady", map(endpoint, steady))
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    last: dict[str, list[str]] = {}
    async with Following(place) as following:
        for step in range(60):
            name = f"s{rng.randrange(4)}"
            # Some of the steady ones are in two slices for a while.
            part = rng.sample(addresses(300), 80) + rng.sample(steady, 5)
            last[name] = [] if step % 10 == 9 else part
            await asyncio.to_thread(tenant.put_slice, name, map(endpoint, last[name]))
        await following.has(
            named(steady).union(*(named(part) for part in last.values()))
        )
        lists = [set(names) for names in following.heard.names()]
    assert all(named(steady) <= one for one in lists)
    assert len(lists) > 10
    assert following.failures() == 0


async def test_a_watch_that_times_out(tenant: Tenant, tmp_path: Path) -> None:
    """Watches that last a second are opened one after the other without a failure, and
    nothing that happens between two of them is missed."""
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    async with Following(place, timeout=SECOND_NS) as following:
        for number in range(1, 30):
            await asyncio.to_thread(put_all, tenant, [f"10.0.0.{number}"])
            await asyncio.sleep(0.1)
        await following.has({"10.0.0.29:4317"})
    assert following.failures() == 0
    assert len(following.heard.lists) == 29


async def test_a_service_that_scales_to_zero_and_back(
    tenant: Tenant, tmp_path: Path
) -> None:
    """The ring is emptied when the Service has been empty for ``hold_empty``, and
    filled at once when it is not any more."""
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    async with Following(place, hold_empty=SECOND_NS) as following:
        await asyncio.to_thread(tenant.drop_slice, "s0")
        await following.has(set())
        await asyncio.to_thread(put_all, tenant, ["10.0.0.2"])
        await following.has({"10.0.0.2:4317"})
    assert following.heard.names() == [("10.0.0.1:4317",), (), ("10.0.0.2:4317",)]


async def test_pods_that_start_stop_and_terminate(
    api: Kube, tenant: Tenant, tmp_path: Path
) -> None:
    """With slices of the real controller a Pod is in while it is ready: out when it is
    not, and out as soon as it terminates, by address and by name."""
    with controllers(api):
        pods = await asyncio.to_thread(Pods, tenant)
        for number in range(3):
            await asyncio.to_thread(pods.run, f"sampler-{number}", f"10.1.0.{number}")
        place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
        by_name = Following(place, return_hostnames=True, ports=())
        async with Following(place) as following, by_name:
            both = {f"10.1.0.{number}:4317" for number in range(3)}
            await following.has(both)
            await asyncio.to_thread(partial(pods.ready, "sampler-1", is_ready=False))
            await following.has(both - {"10.1.0.1:4317"})
            await asyncio.to_thread(partial(pods.ready, "sampler-1", is_ready=True))
            await following.has(both)
            await asyncio.to_thread(pods.terminate, "sampler-2")
            await following.has(both - {"10.1.0.2:4317"})
            await asyncio.to_thread(pods.gone, "sampler-2")
            suffix = f"sampler.{tenant.namespace}"
            await by_name.has({f"sampler-0.{suffix}", f"sampler-1.{suffix}"})
