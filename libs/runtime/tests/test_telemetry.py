"""What a process shows, and where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import structlog.testing

from tailring_runtime.config import (
    HEALTH_CHECK,
    CollectorConfig,
    ComponentId,
    HealthCheckConfig,
    PrometheusReaderConfig,
    ServiceConfig,
    TelemetryConfig,
)
from tailring_runtime.errors import StartError
from tailring_runtime.health import State
from tailring_runtime.metrics import MetricSpec
from tailring_runtime.process import Identity
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry, exposition_of
from tailring_runtime.web import listen
from tailring_testkit import prom

IDENTITY = Identity("tailring-router", "1.2.3", instance="me")
SPEC = MetricSpec("otelcol_x", "counter", "X.")
OFF = Settings(health_endpoint="", metrics_endpoint="")


def config(telemetry: dict[str, Any] | None = None) -> CollectorConfig:
    model = TelemetryConfig.model_validate(telemetry or {})
    return CollectorConfig(service=ServiceConfig({}, telemetry=model))


def with_health(endpoint: str) -> CollectorConfig:
    one = ComponentId("health_check")
    return CollectorConfig(
        service=ServiceConfig({}, (one,)),
        extensions={one: HealthCheckConfig(endpoint=endpoint)},
    )


def reader(**keys: object) -> dict[str, Any]:
    prometheus = {"host": "127.0.0.1", "port": 0, **keys}
    return {"pull": {"exporter": {"prometheus": prometheus}}}


@asynccontextmanager
async def shown(
    tree: CollectorConfig, settings: Settings = OFF
) -> AsyncIterator[Telemetry]:
    telemetry = Telemetry(tree, settings, identity=IDENTITY)
    await telemetry.start()
    try:
        yield telemetry
    finally:
        await telemetry.stop()


async def get(address: str, path: str) -> tuple[int, str, str]:
    url = f"http://{address}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        kind = response.headers["Content-Type"]
        return response.status, kind, await response.text()


async def test_metrics_are_prometheus_text() -> None:
    """The page has the right content type, the process's numbers and its resource."""
    settings = Settings(metrics_endpoint="127.0.0.1:0", health_endpoint="")
    async with shown(config(), settings) as telemetry:
        telemetry.metrics.counter(SPEC).add(3)
        status, kind, text = await get(telemetry.metrics_addresses[0], "/metrics")
    page = prom.parse(text)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert page.value("otelcol_x_total") == 3
    assert page.value("otelcol_process_uptime_seconds_total") >= 0
    assert page.value("tailring_log_lost_lines_total") >= 0
    assert page.value("otelcol_process_cpu_seconds_total") > 0
    assert page.value("otelcol_process_memory_rss_bytes") > 1_000_000
    assert page.value("target_info", service_name="tailring-router") == 1


async def test_each_reader_is_served_its_own_way() -> None:
    """Two readers show the same metric under their own names and labels."""
    tree = config(
        {
            "metrics": {
                "readers": [
                    reader(without_type_suffix=True, without_target_info=True),
                    reader(
                        with_resource_constant_labels={"included": ["service.name"]}
                    ),
                ]
            },
            "resource": {"service.name": "mine", "service.instance.id": None},
        }
    )
    async with shown(tree) as telemetry:
        telemetry.metrics.counter(SPEC).add(1)
        bare, text = [
            (await get(address, "/metrics"))[2]
            for address in telemetry.metrics_addresses
        ]
    full = prom.parse(text)
    assert "\notelcol_x 1.0\n" in bare
    assert "_total" not in bare
    assert "target_info" not in bare
    assert full.value("otelcol_x_total", service_name="mine") == 1
    assert full.find("target_info")[0].labels == {
        "service_name": "mine",
        "service_version": "1.2.3",
    }


async def test_level_none_serves_nothing() -> None:
    """With metrics of level none no address is bound."""
    settings = Settings(metrics_endpoint="127.0.0.1:0", health_endpoint="")
    async with shown(config({"metrics": {"level": "none"}}), settings) as telemetry:
        assert telemetry.metrics_addresses == ()


async def test_health_is_served_without_the_extension() -> None:
    """The default health endpoint answers 503 while starting and 200 when running."""
    settings = Settings(health_endpoint="127.0.0.1:0", metrics_endpoint="")
    async with shown(config(), settings) as telemetry:
        (address,) = telemetry.health_addresses
        before, _, _ = await get(address, "/")
        telemetry.health.move(State.RUNNING)
        after, _, _ = await get(address, "/")
    assert (before, after) == (503, 200)


async def test_the_extension_replaces_the_default_endpoint() -> None:
    """With health_check in the file only its address is served."""
    settings = Settings(health_endpoint="127.0.0.1:1", metrics_endpoint="")
    async with shown(with_health("127.0.0.1:0"), settings) as telemetry:
        (address,) = telemetry.health_addresses
        assert (await get(address, "/livez"))[0] == 200


async def test_a_defined_but_unnamed_extension_serves_nothing() -> None:
    """An extension that service.extensions does not name is not started."""
    one = ComponentId("health_check")
    tree = CollectorConfig(
        service=ServiceConfig({}), extensions={one: HealthCheckConfig()}
    )
    async with shown(tree) as telemetry:
        assert telemetry.health_addresses == ()


@pytest.mark.parametrize("what", ["metrics", "health"])
async def test_a_taken_address_of_the_file_fails_the_start(what: str) -> None:
    """An address that the file names must be had."""
    with listen("127.0.0.1:0") as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        tree = (
            with_health(address)
            if what == "health"
            else config({"metrics": {"address": address}})
        )
        telemetry = Telemetry(tree, OFF, identity=IDENTITY)
        with pytest.raises(StartError, match="cannot listen"):
            await telemetry.start()
        await telemetry.stop()


async def test_a_taken_default_port_is_a_warning() -> None:
    """When nobody asked for the port, the service goes on without it."""
    with listen("127.0.0.1:0") as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings.model_construct(
            _fields_set=set(), health_endpoint=address, metrics_endpoint=address
        )
        with structlog.testing.capture_logs() as lines:
            async with shown(config(), settings) as telemetry:
                assert telemetry.health_addresses == ()
                assert telemetry.metrics_addresses == ()
    assert [(line["log_level"], line["what"]) for line in lines] == [
        ("warning", "metrics"),
        ("warning", "health"),
    ]


def test_resource_names_become_labels() -> None:
    """What Prometheus does not allow in a label becomes an underscore."""
    written = PrometheusReaderConfig(host="", port=0)
    exposition = exposition_of(written, {"a.b-c": "1", "9x": "2"}, version="1")
    assert exposition.target_info == (("a_b_c", "1"), ("key_9x", "2"))


def test_the_extension_is_registered_as_health_check() -> None:
    """The component type that services register carries the model."""
    assert HEALTH_CHECK.kind == "extension"
    assert HEALTH_CHECK.model is HealthCheckConfig


@pytest.mark.parametrize(
    "keys", [{"path": "up"}, {"endpoint": "foo"}, {"tls": {}}, {"use_v2": True}]
)
def test_health_check_refuses_what_it_cannot_do(keys: dict[str, Any]) -> None:
    """A relative path, a bad address and keys of other servers are refused."""
    with pytest.raises(
        ValueError, match=r"path must|missing port|plain HTTP|version 1"
    ):
        HealthCheckConfig.model_validate(keys)
