"""A Cloud Map on loopback whose answers a test sets, and spoils.

It speaks the JSON protocol of DiscoverInstances, which is all that a resolver asks:
real HTTP, real errors of the API with their codes. What moto cannot show is shown
here: throttling, slow answers, missing attributes, no more than MaxResults instances.

    async with FakeCloudMap() as cloud:
        cloud.set(instance("10.0.0.1", port=4317))
        cloud.refuse("RequestLimitExceeded")

Put the variables of `aws_environment` into the environment of the test, so that boto3
asks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tailring_testkit.ports import free_port

__all__ = [
    "CloudMapQuestion",
    "FakeCloudMap",
    "aws_environment",
    "instance",
    "instance_at",
]

TARGET = "Route53AutoNaming_v20170314.DiscoverInstances"
_TYPE = "application/x-amz-json-1.1"
# What the API answers when MaxResults is not given.
_RESULTS_DEFAULT = 100


def aws_environment(url: str) -> dict[str, str]:
    """Variables with which boto3, and upstream's SDK, ask ``url`` and nobody else."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }


def instance(
    ipv4: str = "", *, ipv6: str = "", port: int | str = "", id: str = ""
) -> dict[str, Any]:
    """One instance of an answer; what is empty is not among its attributes."""
    attributes = {
        "AWS_INSTANCE_IPV4": ipv4,
        "AWS_INSTANCE_IPV6": ipv6,
        "AWS_INSTANCE_PORT": str(port),
    }
    return {
        "InstanceId": id or f"i-{ipv4 or ipv6}-{port}",
        "NamespaceName": "ns",
        "ServiceName": "svc",
        "HealthStatus": "HEALTHY",
        "Attributes": {name: value for name, value in attributes.items() if value},
    }


def instance_at(address: str) -> dict[str, Any]:
    """The instance of ``address:port``, with an IPv6 address in brackets."""
    host, _, port = address.rpartition(":")
    if host.startswith("["):
        return instance(ipv6=host.strip("[]"), port=port)
    return instance(host, port=port)


@dataclass(frozen=True, slots=True)
class CloudMapQuestion:
    """One call as it came in: its parameters, where it went and who signed it."""

    parameters: Mapping[str, Any]
    host: str
    authorization: str


class FakeCloudMap:
    """Use it as an asynchronous context manager, on the loop of the test."""

    def __init__(self) -> None:
        self.port = free_port()
        self.questions: list[CloudMapQuestion] = []
        self.delay_s = 0.0
        self._instances: list[dict[str, Any]] = []
        self._refusal: tuple[int, dict[str, str]] | None = None
        self._served = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, *instances: Mapping[str, Any]) -> None:
        """Answer these from now on, each time in another order."""
        self._refusal = None
        self._instances = [dict(one) for one in instances]

    def refuse(self, code: str, message: str = "", *, status: int = 400) -> None:
        """Answer every call with this error of the API, until `set`."""
        body = {"__type": code}
        self._refusal = (status, {**body, "message": message} if message else body)

    async def wait_asked(self, count: int) -> None:
        """Return once ``count`` calls came in."""
        while len(self.questions) < count:
            self._served.clear()
            await self._served.wait()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._discover)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _discover(self, request: web.Request) -> web.Response:
        assert request.headers["X-Amz-Target"] == TARGET
        parameters = json.loads(await request.read())
        self.questions.append(
            CloudMapQuestion(
                parameters, request.host, request.headers.get("Authorization", "")
            )
        )
        self._served.set()
        with contextlib.suppress(TimeoutError):
            # Ends early at the end of the test, which a slow answer must not hold up.
            await asyncio.wait_for(self._closing.wait(), self.delay_s)
        if self._refusal is not None:
            status, body = self._refusal
            return web.json_response(body, status=status, content_type=_TYPE)
        count = parameters.get("MaxResults", _RESULTS_DEFAULT)
        found = random.sample(self._instances, min(count, len(self._instances)))
        return web.json_response({"Instances": found}, content_type=_TYPE)
