"""The aws_cloud_map resolver against moto's server, over HTTP and through boto3."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tailring_resolvers import (
    CloudMapResolver,
    CloudMapResolverConfig,
    ResolutionError,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp, ports, services
from tailring_testkit.backend import Backend
from tailring_testkit.cloud_map import aws_environment
from tailring_testkit.moto import CloudMapService, Moto, instance_id, moto
from tailring_testkit.process import Child, port_open, running, wait_until
from tailring_testkit.resolver_contract import (
    FollowingContract,
    Heard,
    Subject,
    ring_names,
)
from tailring_testkit.ticks import Ticks
from tailring_testkit.web import get

NAMES = ("10.0.0.10:4317", "10.0.0.1:4317", "10.0.0.2:4317", "[fd00::2]:4317")
OTHERS = ("10.0.0.9:4317", "10.0.0.1:4317")
TIMEOUT_NS = 10_000_000_000
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class CloudMap:
    """A moto that can go away and come back, without what it held."""

    def __init__(self, folder: Path) -> None:
        self.port = ports.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._stack = ExitStack()
        self._service: CloudMapService | None = None

    def start(self) -> Moto:
        """Run it, if it does not."""
        return self._stack.enter_context(moto(self._folder, port=self.port))

    def stop(self) -> None:
        """End it, if it runs."""
        self._service = None
        self._stack.close()

    @property
    def service(self) -> CloudMapService:
        """The service that resolvers ask for; made, like moto, when there is none."""
        if self._service is None:
            self._service = self.start().service("ns", "svc")
        return self._service


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudMap]:
    """A moto that this process and its children ask."""
    made = CloudMap(tmp_path)
    for name, value in aws_environment(made.url).items():
        monkeypatch.setenv(name, value)
    yield made
    made.stop()


def resolver_of(*, ticks: Ticks | None = None, **block: Any) -> CloudMapResolver:
    """A resolver of the service."""
    config = CloudMapResolverConfig.model_validate(
        {"namespace": "ns", "service_name": "svc", "timeout": TIMEOUT_NS, **block}
    )
    sleep = (ticks or Ticks()).sleep
    return CloudMapResolver(config, metrics=Metrics(), sleep=sleep)


class TestCloudMap(FollowingContract):
    """The contract of resolvers."""

    @pytest.fixture
    def subject(self, cloud: CloudMap) -> Subject:
        """A service whose instances are registered, taken out, or gone with moto."""
        ticks = Ticks()
        resolver = resolver_of(ticks=ticks)
        cloud.service.replace(*NAMES)

        async def asked() -> None:
            if resolver.following:
                await ticks.tick()

        async def change(*names: str) -> None:
            cloud.service.replace(*names)
            await asked()

        async def fail() -> None:
            cloud.stop()
            await asked()

        async def empty() -> None:
            cloud.service.replace()
            await asked()

        return Subject(
            resolver, NAMES, change=change, fail=fail, empty=empty, others=OTHERS
        )


@pytest.mark.parametrize(
    ("status", "sick", "expected"),
    [
        ("HEALTHY", {"b"}, {"a", "c"}),
        ("UNHEALTHY", {"b"}, {"b"}),
        ("ALL", {"b"}, {"a", "b", "c"}),
        ("HEALTHY_OR_ELSE_ALL", {"b"}, {"a", "c"}),
        ("HEALTHY_OR_ELSE_ALL", {"a", "b", "c"}, {"a", "b", "c"}),
        ("HEALTHY", {"a", "b", "c"}, set()),
    ],
)
async def test_health_statuses(
    cloud: CloudMap, status: str, sick: set[str], expected: set[str]
) -> None:
    """Each health status takes the instances that the API says it takes."""
    at = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}
    for name, address in at.items():
        cloud.service.register(name, AWS_INSTANCE_IPV4=address)
        cloud.service.set_health(name, "UNHEALTHY" if name in sick else "HEALTHY")
    resolver = resolver_of(health_status=status, port=4317)
    if expected:
        found = ring_names(await resolver.resolve())
        assert found == tuple(sorted(f"{at[name]}:4317" for name in expected))
    else:
        with pytest.raises(ResolutionError, match="no instances to discover"):
            await resolver.resolve()
    await resolver.stop()


async def test_health_is_followed(cloud: CloudMap) -> None:
    """An instance that becomes unhealthy leaves the list and comes back with it."""
    ticks, heard = Ticks(), Heard()
    resolver = resolver_of(ticks=ticks, health_status="HEALTHY")
    cloud.service.replace(*OTHERS)
    await resolver.start(heard)
    for status in ("UNHEALTHY", "HEALTHY"):
        cloud.service.set_health(instance_id(OTHERS[0]), status)
        await ticks.tick()
    both = tuple(sorted(OTHERS))
    assert heard.names() == [both, (OTHERS[1],), both]
    await resolver.stop()


async def test_more_than_a_hundred_instances(cloud: CloudMap) -> None:
    """All of 150 instances are found, where the API's own default would be 100."""
    names = [f"10.1.{n // 50}.{n % 50}:4317" for n in range(150)]
    for name in names:
        cloud.service.register_at(name)
    resolver = resolver_of()
    assert ring_names(await resolver.resolve()) == tuple(sorted(names))
    await resolver.stop()


async def test_an_owner_account_is_taken(cloud: CloudMap) -> None:
    """A call for another account's namespace is one that the API takes."""
    cloud.service.replace(*OTHERS)
    resolver = resolver_of(owner_account="123456789012")
    assert ring_names(await resolver.resolve()) == tuple(sorted(OTHERS))
    await resolver.stop()


@pytest.mark.parametrize("missing", ["namespace", "service_name"])
async def test_what_does_not_exist_is_named(cloud: CloudMap, missing: str) -> None:
    """A namespace or a service that is not there is an error with the API's code."""
    cloud.service.replace(*OTHERS)
    block: dict[str, Any] = {missing: "nope"}
    resolver = resolver_of(**block)
    code = "NamespaceNotFound" if missing == "namespace" else "ServiceNotFound"
    with pytest.raises(ResolutionError, match=code):
        await resolver.resolve()
    await resolver.stop()


# ---------------------------------------------------------------- the router


def _config(
    block: Mapping[str, Any], *, grpc_port: int, health_port: int
) -> dict[str, Any]:
    return {
        "receivers": {
            "otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{grpc_port}"}}}
        },
        "exporters": {
            "loadbalancing": {
                "protocol": {"otlp": {"tls": {"insecure": True}}},
                "resolver": {"aws_cloud_map": dict(block)},
            }
        },
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health_port}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["loadbalancing"]}
            },
        },
    }


BLOCK = {
    "namespace": "ns",
    "service_name": "svc",
    "interval": "300ms",
    "timeout": "5s",
}


class Router:
    """A running router that asks Cloud Map; ready or not."""

    def __init__(self, child: Child, target: str, health_port: int) -> None:
        self.child = child
        self.target = target
        self.url = f"http://127.0.0.1:{health_port}/readyz"

    def ready(self) -> bool:
        """What its health page says."""
        return get(self.url)[0] == 200

    def send(self, count: int, *, seed: int) -> None:
        """Deliver a request of so many traces, which must be answered with OK."""
        spans = [
            otlp.span(one, b"\x01" * 8) for one in otlp.trace_ids(count, seed=seed)
        ]
        with grpc.insecure_channel(self.target) as channel:
            export = channel.unary_unary(EXPORT, bytes, bytes)
            export(otlp.request(*spans), timeout=30)


@contextmanager
def router(folder: Path) -> Iterator[Router]:
    """Run the router as an operator would; it need not become ready."""
    grpc_port, health_port = ports.free_ports(2)
    path = folder / "router.yaml"
    config = _config(BLOCK, grpc_port=grpc_port, health_port=health_port)
    path.write_text(yaml.safe_dump(config))
    with running(
        [services.command("tailring-router"), "--config", path],
        log=folder / "router.log",
        ready=port_open(grpc_port),
    ) as child:
        yield Router(child, f"127.0.0.1:{grpc_port}", health_port)


def _without_credentials(environment: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.delenv(name)


async def test_a_router_without_credentials_says_so_and_waits(
    cloud: CloudMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts, is not ready, names what is missing, and stops in order."""
    cloud.service.replace(*OTHERS)
    _without_credentials(monkeypatch)
    with router(tmp_path) as started:
        started.child.wait_log("failed initial resolve")
        started.child.wait_log("no AWS credentials were found")
        wait_until(
            lambda: started.child.log().count("failed to resolve") > 1,
            "it keeps trying",
        )
        assert not started.ready()
        assert started.child.stop() == 0


async def test_a_router_follows_moto_through_its_absence(
    cloud: CloudMap, tmp_path: Path
) -> None:
    """Started before moto it becomes ready with it; an instance that is registered
    gets traces; while moto is away the backends stay, and afterwards are followed."""
    async with Backend() as one, Backend() as two:
        with router(tmp_path) as started:
            started.child.wait_log("failed initial resolve")
            assert not started.ready()
            cloud.service.register_at(one.address)
            wait_until(started.ready, "the router is ready")
            cloud.service.register_at(two.address)
            started.child.wait_log(f"backend {two.address} added")
            failures = started.child.log().count("failed to resolve")
            cloud.stop()
            wait_until(
                lambda: started.child.log().count("failed to resolve") > failures,
                "a call fails",
            )
            assert started.ready()
            await _sent(started, seed=1)
            assert (one.span_count > 0, two.span_count > 0) == (True, True)
            assert one.span_count + two.span_count == 200
            cloud.service.register_at(two.address)
            started.child.wait_log(f"backend {one.address} removed")
            before = two.span_count
            await _sent(started, seed=2)
            assert two.span_count - before == 200


async def _sent(started: Router, *, seed: int) -> None:
    # In a thread: the backends answer on this loop.
    await asyncio.to_thread(started.send, 200, seed=seed)


def test_the_resolve_command(cloud: CloudMap, tmp_path: Path) -> None:
    """``resolve`` prints the instances as the ring names and dials them, and says what
    is wrong when there are none."""
    config = _config(BLOCK, grpc_port=4317, health_port=13133)
    path = tmp_path / "router.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [str(services.command("tailring-router")), "resolve", "--config"]
    command.append(str(path))
    cloud.service.replace(*OTHERS)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"loadbalancing\t{name}\t{name}" for name in sorted(OTHERS)
    ]
    cloud.service.replace()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the service has no instances to discover" in done.stderr
