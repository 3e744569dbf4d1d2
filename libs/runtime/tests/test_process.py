"""The process: who it is, what it uses, how it is set up."""

from __future__ import annotations

import asyncio
import gc
import mmap
import resource
from collections.abc import Iterator

import pytest

from tailring_runtime.metrics import Metrics
from tailring_runtime.process import (
    Identity,
    add_process_metrics,
    loop_factory,
    resident_bytes,
    tune_collector,
    use_all_descriptors,
)


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.enable()
    gc.set_threshold(*thresholds)


def test_identity_is_the_default_resource() -> None:
    """Name, version and instance are set unless the file sets or removes them."""
    identity = Identity("svc", "1", instance="i")
    assert identity.resource({"service.name": "mine", "service.version": None}) == {
        "service.name": "mine",
        "service.instance.id": "i",
    }


def test_two_processes_are_two_instances() -> None:
    """The instance id is new for each process."""
    assert Identity("svc", "1").instance != Identity("svc", "1").instance


def test_process_metrics_move() -> None:
    """Uptime and CPU grow, resident memory is that of this process."""
    metrics = Metrics()
    add_process_metrics(metrics)
    before = metrics.value("otelcol_process_cpu_seconds")
    assert sum(range(200_000)) > 0
    assert metrics.value("otelcol_process_cpu_seconds") > before
    assert metrics.value("otelcol_process_uptime_seconds") > 0
    assert metrics.value("otelcol_process_memory_rss_bytes") > 10_000_000


def test_resident_memory_follows_allocation() -> None:
    """Thirty mebibytes more are seen."""
    before = resident_bytes()
    # Fresh pages: the allocator may have room left over from other tests.
    with mmap.mmap(-1, 30 << 20) as block:
        block.write(b"x" * (30 << 20))
        assert resident_bytes() - before > 20 << 20


@pytest.mark.parametrize(("uvloop", "module"), [(True, "uvloop"), (False, "asyncio")])
def test_the_loop_is_the_wanted_one(uvloop: bool, module: str) -> None:
    """uvloop is used where it is wanted and installed."""
    loop = loop_factory(uvloop=uvloop)()
    try:
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert type(loop).__module__.startswith(module)
    finally:
        loop.close()


def test_the_collector_is_set_up() -> None:
    """What exists is frozen and the youngest generation is looked at rarely."""
    tune_collector(12_345)
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == 12_345
    assert gc.isenabled()


def test_the_collector_can_be_switched_off() -> None:
    """A threshold of zero leaves only reference counting."""
    tune_collector(0)
    assert not gc.isenabled()


def test_as_many_files_as_are_allowed_may_be_open() -> None:
    """The soft limit of open files becomes the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
    try:
        use_all_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
