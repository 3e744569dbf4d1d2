"""A sampler with two exporters, one of which is away for a while."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tailring_testkit import otlp, ports, services
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient
from tailring_testkit.receiver_rig import until

_SPANS, _REQUESTS = 800, 5


def _config(up: Backend, away: Backend, *, batch: bool) -> dict[str, Any]:
    sampling = {
        "decision_wait": "1s",
        "policies": [{"name": "all", "type": "always_sample"}],
    }
    exporters = {
        f"otlp/{name}": {
            "endpoint": backend.address,
            "tls": {"insecure": True},
            # Gives up early, so that the sampler has to send again and again.
            "retry_on_failure": {
                "initial_interval": "50ms",
                "max_interval": "100ms",
                "max_elapsed_time": "200ms",
            },
        }
        for name, backend in (("up", up), ("away", away))
    }
    processors = {
        "tail_sampling": sampling,
        **({"batch": {"timeout": "50ms"}} if batch else {}),
    }
    return {
        "processors": processors,
        "exporters": exporters,
        "pipeline": {"processors": [*processors], "exporters": [*exporters]},
    }


def _spans(backend: Backend) -> list[otlp.SpanRecord]:
    return sorted(s for payload in backend.received for s in otlp.spans_of(payload))


@pytest.mark.parametrize("batch", [False, True], ids=["direct", "batch"])
async def test_each_exporter_gets_every_span_once(tmp_path: Path, batch: bool) -> None:
    """While one backend is away the other gets no copies; when it is back, it gets
    everything as well, and the books say delivered."""
    away = Backend(port=ports.free_port())
    async with Backend() as up:
        config = _config(up, away, batch=batch)
        with services.service("sampler", config, tmp_path) as sampler:
            sent: list[otlp.SpanRecord] = []
            async with GrpcClient(sampler.target) as client:
                for seed in range(_REQUESTS):
                    payload = otlp.realistic_request(_SPANS // _REQUESTS, seed)
                    sent += otlp.spans_of(payload)
                    await client.export(payload)
            await until(lambda: up.span_count >= _SPANS)
            await asyncio.sleep(4)
            refusals = sampler.metrics().total(
                "tailring_sampler_release_refusals_total"
            )
            assert refusals >= 2
            assert _spans(up) == sorted(sent)
            async with away:
                await until(lambda: away.span_count >= _SPANS)
                await asyncio.sleep(1)
                page = sampler.metrics()
        assert _spans(up) == _spans(away) == sorted(sent)
    assert page.total("tailring_sampler_spans_delivered_total") == _SPANS
    assert page.total("tailring_sampler_release_spans_held") == 0
