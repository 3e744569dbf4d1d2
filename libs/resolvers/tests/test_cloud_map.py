"""The aws_cloud_map resolver beyond the contract: its call, its faults, its pauses."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from tailring_resolvers import (
    CloudMapResolver,
    CloudMapResolverConfig,
    Endpoint,
    ResolutionError,
)
from tailring_resolvers.cloud_map import pause_s
from tailring_runtime.metrics import Metrics
from tailring_testkit.cloud_map import FakeCloudMap, aws_environment, instance
from tailring_testkit.ports import free_port
from tailring_testkit.resolver_contract import Heard, ring_names
from tailring_testkit.ticks import Ticks

SECOND_NS = 1_000_000_000
LEFT_OUT = "tailring_resolver_left_out_instances"


class Followed:
    """A resolver of a service with everything around it that a test turns."""

    def __init__(self, cloud: FakeCloudMap, environment: pytest.MonkeyPatch) -> None:
        self.cloud = cloud
        self.environment = environment
        self.metrics = Metrics()
        self.ticks = Ticks()
        self.heard = Heard()
        self.resolver = self.make()

    def make(self, **block: object) -> CloudMapResolver:
        """The resolver anew, with another block."""
        config = CloudMapResolverConfig.model_validate(
            {
                "namespace": "ns",
                "service_name": "svc",
                "timeout": 20 * SECOND_NS,
                **block,
            }
        )
        self.resolver = CloudMapResolver(
            config, metrics=self.metrics, sleep=self.ticks.sleep, draw=lambda: 0.5
        )
        return self.resolver

    async def start(self) -> None:
        """Start the resolver with the listener."""
        await self.resolver.start(self.heard)

    async def ticked_until(self, lists: int) -> None:
        """Ask until so many lists were told; a busy machine may need a few calls."""
        async with asyncio.timeout(60):
            while len(self.heard.lists) < lists:
                await self.ticks.tick()

    def counted(self, name: str, **labels: str) -> float:
        """A metric of the resolver."""
        full = f"otelcol_loadbalancer_{name}"
        return self.metrics.value(full, resolver="aws", **labels)


@pytest.fixture
async def followed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followed]:
    """A resolver of a service with one instance."""
    async with FakeCloudMap() as cloud:
        for name, value in aws_environment(cloud.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        cloud.set(instance("10.0.0.1", port=4317))
        made = Followed(cloud, monkeypatch)
        yield made
        await made.resolver.stop()


# ---------------------------------------------------------------- the question


async def test_every_option_reaches_the_api(followed: Followed) -> None:
    """Names, health status and account are asked for, and all of 1000 instances."""
    resolver = followed.make(
        health_status="HEALTHY_OR_ELSE_ALL", owner_account="123456789012"
    )
    await resolver.resolve()
    assert followed.cloud.questions[0].parameters == {
        "NamespaceName": "ns",
        "ServiceName": "svc",
        "MaxResults": 1000,
        "HealthStatus": "HEALTHY_OR_ELSE_ALL",
        "OwnerAccount": "123456789012",
    }


async def test_what_is_not_configured_is_not_asked(followed: Followed) -> None:
    """Without a health status the API's own default counts, as upstream."""
    await followed.resolver.resolve()
    asked = followed.cloud.questions[0].parameters
    assert set(asked) == {"NamespaceName", "ServiceName", "MaxResults"}


async def test_an_overridden_endpoint_gets_no_host_prefix(followed: Followed) -> None:
    """A configured endpoint is asked as it stands, without ``data-`` before it."""
    await followed.resolver.resolve()
    assert followed.cloud.questions[0].host == f"127.0.0.1:{followed.cloud.port}"


async def test_the_endpoint_of_the_service_comes_first(followed: Followed) -> None:
    """AWS_ENDPOINT_URL_SERVICEDISCOVERY is honoured, and before AWS_ENDPOINT_URL."""
    set_ = followed.environment.setenv
    set_("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    set_("AWS_ENDPOINT_URL_SERVICEDISCOVERY", followed.cloud.url)
    assert ring_names(await followed.resolver.resolve()) == ("10.0.0.1:4317",)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "x-1"}, "eu-north-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "ap-south-1"}, "ap-south-1"),
        ({"AWS_REGION": ""}, "us-east-1"),
    ],
)
async def test_the_region(
    followed: Followed, variables: dict[str, str], expected: str
) -> None:
    """The region is found as upstream's SDK finds it, and is us-east-1 in the end."""
    for name, value in variables.items():
        followed.environment.setenv(name, value)
    await followed.make().resolve()
    signed_for = followed.cloud.questions[0].authorization
    assert f"/{expected}/servicediscovery/aws4_request" in signed_for


# ---------------------------------------------------------------- the answer


async def test_instances_that_cannot_be_dialled_are_left_out(
    followed: Followed,
) -> None:
    """They are counted and named once, and the other instances are the list."""
    followed.cloud.set(
        instance("10.0.0.1", port=4317), instance("10.0.0.2"), instance(port=1, id="x")
    )
    with capture_logs() as logs:
        await followed.start()
        await followed.ticks.tick(2)
    assert followed.heard.names() == [("10.0.0.1:4317",)]
    for reason in ("no_port", "no_address"):
        assert followed.metrics.value(LEFT_OUT, resolver="aws", reason=reason) == 1
    told = [one for one in logs if one["log_level"] == "error"]
    assert [one["instances"] for one in told] == [["x", "i-10.0.0.2-"]]
    assert told[0]["resolver"] == "aws_cloud_map"


async def test_a_configured_port_needs_no_attribute(followed: Followed) -> None:
    """With a port in the block, instances without one are endpoints."""
    followed.cloud.set(instance("10.0.0.1"), instance(ipv6="fd00::1"))
    found = await followed.make(port=4317).resolve()
    assert found == (
        Endpoint("10.0.0.1:4317", "10.0.0.1:4317"),
        Endpoint("[fd00::1]:4317", "[fd00::1]:4317"),
    )


async def test_no_port_at_all_is_an_error_that_says_the_key(followed: Followed) -> None:
    """When no instance can be dialled the last list stays, and the cure is named."""
    await followed.start()
    followed.cloud.set(instance("10.0.0.1"))
    with pytest.raises(ResolutionError, match=r"set resolver\.aws_cloud_map\.port"):
        await followed.resolver.resolve()
    await followed.ticks.tick()
    assert followed.heard.names() == [("10.0.0.1:4317",)]
    assert followed.counted("num_resolutions", success="false") == 1


async def test_a_full_answer_is_a_warning(followed: Followed) -> None:
    """1000 instances are all that the API answers, which is told once."""
    many = [instance(f"10.1.{n // 250}.{n % 250}", port=1) for n in range(1001)]
    followed.cloud.set(*many[:999])
    with capture_logs() as logs:
        await followed.start()
        followed.cloud.set(*many)
        await followed.ticks.tick(2)
    assert [len(one) for one in followed.heard.lists] == [999, 1000, 1000]
    warnings = [one for one in logs if one["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "no more than 1000 instances" in warnings[0]["event"]


async def test_metrics(followed: Followed) -> None:
    """Calls are counted by success under the label aws, and changes once."""
    await followed.start()
    await followed.ticks.tick()
    followed.cloud.refuse("ServiceNotFound")
    await followed.ticks.tick(2)
    followed.cloud.set(instance("10.0.0.1", port=1), instance("10.0.0.2", port=1))
    await followed.ticks.tick()
    assert followed.counted("num_resolutions", success="true") == 3
    assert followed.counted("num_resolutions", success="false") == 2
    assert followed.counted("num_backend_updates") == 2
    assert followed.counted("num_backends") == 2


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("RequestLimitExceeded", "slow down", "RequestLimitExceeded: slow down"),
        ("NamespaceNotFound", "", "NamespaceNotFound (asked in eu-west-1)"),
        ("AccessDeniedException", "no", "needs servicediscovery:DiscoverInstances"),
        ("ExpiredTokenException", "old", "ExpiredTokenException: old"),
    ],
)
async def test_a_refusal_names_what_is_wrong(
    followed: Followed, code: str, message: str, expected: str
) -> None:
    """The API's code and words are in the error, with what to do where we know it."""
    followed.cloud.refuse(code, message)
    with pytest.raises(ResolutionError) as raised:
        await followed.resolver.resolve()
    assert expected in raised.value.reason
    assert raised.value.source == "svc.ns"


async def test_upstreams_words_are_logged(followed: Followed) -> None:
    """What operators search for in upstream's log is found in ours."""
    followed.cloud.refuse("RequestLimitExceeded")
    with capture_logs() as logs:
        await followed.start()
        await followed.ticks.tick()
        followed.cloud.set(instance("10.0.0.1", port=1))
        await followed.ticks.tick()
    said = [one["event"] for one in logs if one.get("resolver") == "aws_cloud_map"]
    assert said == [
        "failed initial resolve",
        "AWS CloudMap resolver started",
        "failed to resolve",
        "resolved successfully",
    ]


async def test_missing_credentials_are_named_and_found_later(
    followed: Followed,
) -> None:
    """Without credentials the start succeeds; once there are some, there is a list."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        followed.environment.delenv(name)
    with capture_logs() as logs:
        await followed.start()
    failed, started = [one for one in logs if one["log_level"] != "debug"]
    assert failed["event"] == "failed initial resolve"
    assert started["region"] == "eu-west-1"
    assert "no AWS credentials were found" in failed["error"]
    followed.environment.setenv("AWS_ACCESS_KEY_ID", "later")
    followed.environment.setenv("AWS_SECRET_ACCESS_KEY", "later")
    await followed.ticks.tick()
    assert followed.heard.names() == [("10.0.0.1:4317",)]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense"])
async def test_an_endpoint_that_cannot_be_asked_is_an_error(
    followed: Followed, url: str
) -> None:
    """A wrong or dead endpoint is a failed resolution, named, and no crash."""
    followed.environment.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(ResolutionError) as raised:
        await followed.resolver.resolve()
    assert url in raised.value.reason


async def test_a_slow_answer_ends_at_the_timeout(followed: Followed) -> None:
    """The block's timeout bounds the call, and one answer that is late spoils none
    after it."""
    followed.make(timeout=SECOND_NS // 2)
    await followed.start()
    await followed.ticked_until(1)
    followed.cloud.delay_s = 30.0
    began_s = time.monotonic()
    await followed.ticks.tick()
    assert time.monotonic() - began_s < 15
    followed.cloud.delay_s = 0.0
    followed.cloud.set(instance("10.0.0.2", port=1))
    await followed.ticked_until(2)
    assert followed.heard.names() == [("10.0.0.1:4317",), ("10.0.0.2:1",)]
    assert followed.counted("num_resolutions", success="false") >= 1


async def test_stop_does_not_wait_for_an_answer(followed: Followed) -> None:
    """A call under way is abandoned, and its answer is not told."""
    followed.make(timeout=20 * SECOND_NS)
    await followed.start()
    followed.cloud.delay_s = 5.0
    followed.cloud.set(instance("10.0.0.2", port=1))
    await followed.ticks.end_sleep()
    await followed.cloud.wait_asked(2)
    began_s = time.monotonic()
    await followed.resolver.stop()
    assert time.monotonic() - began_s < 0.9 * followed.cloud.delay_s
    assert followed.heard.names() == [("10.0.0.1:4317",)]


# ---------------------------------------------------------------- pauses


async def test_the_interval_is_slept(followed: Followed) -> None:
    """Between two calls there are 30 s unless the block says otherwise."""
    await followed.start()
    await followed.ticks.tick(2)
    assert followed.ticks.slept_s == [30.0] * 3


async def test_after_an_outage_it_is_asked_again_soon(followed: Followed) -> None:
    """Failures are followed by short pauses that grow up to the interval, and a
    success by the interval."""
    followed.cloud.refuse("InternalFailure", status=500)
    await followed.start()
    await followed.ticks.tick(6)
    followed.cloud.set(instance("10.0.0.1", port=1))
    await followed.ticks.tick()
    assert followed.ticks.slept_s == [
        *(0.75 * one for one in (1, 2, 4, 8, 16, 30, 30)),
        30.0,
    ]


async def test_when_throttled_it_is_asked_less_often(followed: Followed) -> None:
    """Pauses after RequestLimitExceeded are longer than the interval."""
    followed.cloud.refuse("RequestLimitExceeded")
    await followed.start()
    await followed.ticks.tick(3)
    assert followed.ticks.slept_s == [0.75 * 30 * one for one in (2, 4, 8, 8)]


@pytest.mark.parametrize("throttled", [True, False])
def test_pauses_are_drawn(throttled: bool) -> None:
    """Two routers that failed together do not ask again together, at any time."""
    for failures in (1, 5, 10_000):
        lowest, highest = (
            pause_s(failures, interval_s=30, throttled=throttled, drawn=drawn)
            for drawn in (0.0, 0.999)
        )
        assert 0.45 < lowest < highest / 1.9 < 240


# ---------------------------------------------------------------- boto3


def test_boto3_is_imported_by_the_first_call_only() -> None:
    """Importing the package and building other resolvers does without boto3."""
    code = (
        "import sys, tailring_router.app\n"
        "from tailring_resolvers import ResolverConfig, build_resolver\n"
        "from tailring_runtime.metrics import Metrics\n"
        "for block in ({'static': {'hostnames': ['a']}}, {'dns': {'hostname': 'a'}},\n"
        "              {'aws_cloud_map': {'namespace': 'n', 'service_name': 's'}}):\n"
        "    config = ResolverConfig.model_validate(block)\n"
        "    build_resolver(config, metrics=Metrics())\n"
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
