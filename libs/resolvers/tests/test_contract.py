"""Every resolver, and the fake one, keeps the contract of resolvers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tailring_resolvers import (
    CloudMapResolver,
    CloudMapResolverConfig,
    DnsResolver,
    DnsResolverConfig,
    K8sResolver,
    K8sResolverConfig,
    Lookup,
    StaticResolver,
    StaticResolverConfig,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.cloud_map import FakeCloudMap, aws_environment, instance_at
from tailring_testkit.dns_server import DnsServer
from tailring_testkit.fake_kube import FakeKube
from tailring_testkit.fake_resolver import FakeResolver
from tailring_testkit.process import eventually
from tailring_testkit.resolver_contract import (
    FollowingContract,
    ResolverContract,
    Subject,
)
from tailring_testkit.ticks import Ticks

NAMES = ("10.0.0.10:4317", "10.0.0.1:4317", "10.0.0.2:4317", "[fd00::2]:4317")
OTHERS = ("10.0.0.9:4317", "10.0.0.1:4317")
HOST = "sampler.test."


def hosts_of(names: tuple[str, ...]) -> list[str]:
    """The addresses in names that all have a port."""
    return [name.rpartition(":")[0].strip("[]") for name in names]


class TestStatic(ResolverContract):
    """The static resolver."""

    @pytest.fixture
    def subject(self) -> Subject:
        """A list that is configured out of order."""
        config = StaticResolverConfig(hostnames=NAMES[::-1])
        return Subject(StaticResolver(config, metrics=Metrics()), names=NAMES)


class TestDns(FollowingContract):
    """The dns resolver with a real server."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        """A name whose records, and the interval between lookups, the test owns."""
        ticks = Ticks()
        with DnsServer() as server:
            server.set(HOST, *hosts_of(NAMES))
            resolver = DnsResolver(
                DnsResolverConfig(hostname=HOST, port="4317", timeout=5_000_000_000),
                metrics=Metrics(),
                lookup=Lookup(
                    nameservers=server.nameservers, hosts_path=tmp_path / "hosts"
                ),
                sleep=ticks.sleep,
            )

            async def asked() -> None:
                if resolver.following:
                    await ticks.tick()

            async def change(*names: str) -> None:
                server.mend(HOST)
                server.set(HOST, *hosts_of(names))
                await asked()

            async def fail() -> None:
                server.spoil(HOST, rcode="SERVFAIL")
                await asked()

            async def empty() -> None:
                server.set(HOST)
                await asked()

            yield Subject(
                resolver, NAMES, change=change, fail=fail, empty=empty, others=OTHERS
            )


class TestServices(FollowingContract):
    """The dns resolver with a name of SRV records, and a server that it is told."""

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        """Records of targets with one address each."""
        name, ticks = "_otlp._tcp.sampler.test", Ticks()
        with DnsServer() as server:
            resolver = DnsResolver(
                DnsResolverConfig(
                    hostname=name,
                    timeout=5_000_000_000,
                    server=f"{server.host}:{server.port}",
                ),
                metrics=Metrics(),
                sleep=ticks.sleep,
            )

            def serve(*names: str) -> None:
                """One target an endpoint, named by its place."""
                for at, host in enumerate(hosts_of(names)):
                    server.set(f"t{at}.sampler.test", host)
                records = (
                    f"10 {at} {one.rpartition(':')[2]} t{at}.sampler.test."
                    for at, one in enumerate(names)
                )
                server.set_services(name, *records)

            async def asked() -> None:
                if resolver.following:
                    await ticks.tick()

            async def change(*names: str) -> None:
                server.mend(name)
                serve(*names)
                await asked()

            async def fail() -> None:
                server.spoil(name, rcode="SERVFAIL")
                await asked()

            async def empty() -> None:
                serve()
                await asked()

            serve(*NAMES)
            yield Subject(
                resolver, NAMES, change=change, fail=fail, empty=empty, others=OTHERS
            )


class TestCloudMap(FollowingContract):
    """The aws_cloud_map resolver with boto3 and a server that speaks its protocol."""

    @pytest.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        """A service whose instances, and the pause between calls, the test owns."""
        ticks = Ticks()
        async with FakeCloudMap() as cloud:
            for name, value in aws_environment(cloud.url).items():
                monkeypatch.setenv(name, value)
            cloud.set(*map(instance_at, NAMES))
            resolver = CloudMapResolver(
                CloudMapResolverConfig(
                    namespace="ns", service_name="svc", timeout=30_000_000_000
                ),
                metrics=Metrics(),
                sleep=ticks.sleep,
            )

            async def asked() -> None:
                if resolver.following:
                    await ticks.tick()

            async def change(*names: str) -> None:
                cloud.set(*map(instance_at, names))
                await asked()

            async def fail() -> None:
                cloud.refuse("InternalFailure", status=500)
                await asked()

            async def empty() -> None:
                cloud.set()
                await asked()

            yield Subject(
                resolver, NAMES, change=change, fail=fail, empty=empty, others=OTHERS
            )
            await resolver.stop()


class TestK8s(FollowingContract):
    """The k8s resolver, here against a small server; a real one is in tests/interop."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        """A Service of two slices, in another order every time they are written."""
        async with FakeKube(tmp_path) as server:
            resolver = K8sResolver(
                K8sResolverConfig(service="sampler.shop", ports=(4317,)),
                metrics=Metrics(),
                place=server.place(),
                sleep=lambda _seconds: asyncio.sleep(0.005),
            )

            async def seen() -> None:
                await eventually(
                    lambda: (
                        not resolver.following
                        or resolver.version == str(server.version)
                    ),
                    "the resolver has seen it",
                )

            async def change(*names: str) -> None:
                server.refuse = {}
                hosts = hosts_of(names)
                await server.put("a", hosts[::2])
                await server.put("b", hosts[1::2])
                await seen()

            async def fail() -> None:
                server.refuse = {"list": 503, "watch": 503}
                asked = len(server.tokens)
                server.cut()
                await eventually(
                    lambda: not resolver.following or len(server.tokens) > asked,
                    "the resolver has asked",
                )

            async def empty() -> None:
                await server.drop("a")
                await server.drop("b")
                await seen()

            await change(*NAMES)
            yield Subject(
                resolver, NAMES, change=change, fail=fail, empty=empty, others=OTHERS
            )


class TestFake(FollowingContract):
    """The resolver that other packages' tests use."""

    @pytest.fixture
    def subject(self) -> Subject:
        """A fake whose levers are its own methods."""
        resolver = FakeResolver(*NAMES)

        async def change(*names: str) -> None:
            resolver.set(*names)

        async def fail() -> None:
            resolver.fail()

        async def empty() -> None:
            resolver.set()

        return Subject(
            resolver, NAMES, change=change, fail=fail, empty=empty, others=OTHERS
        )
