"""Keys of a queue at both levels: what they make of the router's parts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from services.router.tests.wired import router

from tailring_router.config import LoadBalancingConfig
from tailring_testkit.backend import Backend
from tailring_testkit.otlp import realistic_request

SPANS = 40
RESOLVER = {"static": {"hostnames": ["a:4317"]}}


def _problem(queue: dict[str, Any]) -> str:
    otlp = {"tls": {"insecure": True}, "sending_queue": queue}
    with pytest.raises(ValidationError) as caught:
        LoadBalancingConfig.model_validate(
            {"resolver": RESOLVER, "protocol": {"otlp": otlp}}
        )
    return "; ".join(error["msg"] for error in caught.value.errors())


def test_a_queue_of_a_backend_is_not_kept_on_disk() -> None:
    """Storage at level 2 is refused with a pointer to level 1."""
    said = _problem({"storage": "file_storage"})
    assert "sending_queue of the load balancer itself" in said


def test_requests_to_a_backend_are_cut_by_bytes() -> None:
    """A largest size in items at level 2 is refused with what to write."""
    said = _problem({"batch": {"max_size": 10_000}})
    assert "write sizer: bytes" in said


async def test_level_1_joins_requests_before_they_are_routed(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """With batch at level 1 several requests reach a backend as one."""
    queue = {"batch": {"min_size": 10 * SPANS, "flush_timeout": "5s"}}
    hosts = [backend.address for backend in two]
    async with router(hosts, tmp_path, backends=two, sending_queue=queue) as running:
        async with asyncio.TaskGroup() as tasks:
            for seed in range(10):
                request = realistic_request(SPANS, seed=seed)
                tasks.create_task(running.client.export(request))
        await running.drain()
        assert sum(backend.span_count for backend in two) == 10 * SPANS
        assert all(backend.requests == 1 for backend in two)


async def test_level_2_gathers_as_the_file_says(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """With batch at level 2 what comes while a backend is busy is sent together, and
    no request is larger than max_size."""
    batch = {"sizer": "bytes", "min_size": 1000, "max_size": 6000}
    otlp = {"sending_queue": {"batch": batch}}
    hosts = [backend.address for backend in two]
    async with router(hosts, tmp_path, backends=two, otlp=otlp) as running:
        async with asyncio.TaskGroup() as tasks:
            for seed in range(20):
                request = realistic_request(SPANS, seed=seed)
                tasks.create_task(running.client.export(request))
        await running.drain()
        assert sum(backend.span_count for backend in two) == 20 * SPANS
        sizes = [len(one) for backend in two for one in backend.received]
        assert max(sizes) <= 6000
