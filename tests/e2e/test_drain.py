"""What a sampler that is stopped does with what it holds, as its process shows it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tailring_testkit import otlp, ports, services
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient

_SPANS, _REQUESTS = 16_000, 20
_ALL = {"name": "all", "type": "always_sample"}
# What a stage that lost acknowledged data is reported with.
_LOSS = "acknowledged data was lost by stopping"


@contextmanager
def _sampler(folder: Path, backend: str, *, wait: str) -> Iterator[services.Service]:
    """A sampler that keeps everything."""
    with services.sampler(
        folder,
        backend=backend,
        policies=[_ALL],
        processor={"decision_wait": wait},
    ) as sampler:
        yield sampler


async def _fill(sampler: services.Service) -> set[bytes]:
    """Send the load and have it acknowledged; the trace ids."""
    ids: set[bytes] = set()
    async with GrpcClient(sampler.target) as client:
        for seed in range(_REQUESTS):
            payload = otlp.realistic_request(_SPANS // _REQUESTS, seed)
            ids |= otlp.trace_ids_of(payload)
            reply = await client.export(payload)
            assert reply.code.name == "OK"
    return ids


# Pending at the signal, or kept and on their way.
@pytest.mark.parametrize("wait", ["60s", "1s"])
async def test_a_dead_backend_is_no_clean_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    """What a drain could not deliver has an error line with its number, exit code 1,
    and the time to drain was used."""
    drain_s = 5
    monkeypatch.setenv("TAILRING_DRAIN_TIMEOUT_S", str(drain_s))
    nobody = f"127.0.0.1:{ports.free_port()}"
    with _sampler(tmp_path, nobody, wait=wait) as sampler:
        ids = await _fill(sampler)
        await asyncio.sleep(2)
        begun_s = time.monotonic()
        sampler.child.send(signal.SIGTERM)
        assert await asyncio.to_thread(sampler.child.wait) == 1
        took_s = time.monotonic() - begun_s
        log = sampler.child.log()
    (loss,) = [line for line in log.splitlines() if _LOSS in line]
    for part in ("error", "tail_sampling", str(_SPANS), str(len(ids))):
        assert part in loss
    assert drain_s / 2 < took_s < drain_s + 4


async def test_a_backend_that_returns_while_draining_gets_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that is back before the drain is over gets every span once, exit 0."""
    # An exporter tries to connect every 5 s at the latest.
    monkeypatch.setenv("TAILRING_DRAIN_TIMEOUT_S", "20")
    backend = Backend(port=ports.free_port())
    with _sampler(tmp_path, backend.address, wait="60s") as sampler:
        ids = await _fill(sampler)
        sampler.child.send(signal.SIGTERM)
        await asyncio.sleep(3)
        async with backend:
            assert await asyncio.to_thread(sampler.child.wait) == 0
        log = sampler.child.log()
    assert backend.span_count == _SPANS
    assert set().union(*(otlp.trace_ids_of(one) for one in backend.received)) == ids
    assert _LOSS not in log
