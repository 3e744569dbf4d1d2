"""`tailring explain` says what became of a trace, asked from a running sampler."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_testkit import otlp, ports, services
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient
from tailring_testkit.receiver_rig import until

KEPT, DROPPED, EVICTED, HELD, UNKNOWN = (f"{n:032x}" for n in range(1, 6))
_PARENT = b"parent00"
_ERRORS = {"status_codes": ["ERROR"]}


def _spans(trace_id: str, *, root: bool, status: int = 0) -> Span:
    return otlp.span(
        bytes.fromhex(trace_id),
        b"12345678",
        parent=b"" if root else _PARENT,
        status=status,
        start_ns=1_000_000,
        end_ns=8_000_000,
    )


def _config(backend: str, pages: int) -> dict[str, Any]:
    """Roots bring decisions at once; three traces are more than the map holds."""
    sampling = {
        "decision_wait": "60s",
        "decision_wait_after_root_received": "1ms",
        "num_traces": 3,
        "policies": [
            {"name": "errors", "type": "status_code", "status_code": _ERRORS},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 500}},
        ],
    }
    return {
        "extensions": {"zpages": {"endpoint": f"127.0.0.1:{pages}"}},
        "processors": {"tail_sampling": sampling},
        "exporters": {"otlp": {"endpoint": backend, "tls": {"insecure": True}}},
        "pipeline": {"processors": ["tail_sampling"], "exporters": ["otlp"]},
    }


async def _explain(url: str, trace_id: str, *more: str) -> str:
    command = [sys.executable, "-m", "tailring_cli", "explain", trace_id, "--url", url]
    done = await asyncio.to_thread(
        subprocess.run, [*command, *more], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _kept(url: str) -> bool:
    with urlopen(f"{url}/debug/tracez?format=json&trace_id={KEPT}") as answer:
        page = json.load(answer)
    return bool(page["tables"][0]["rows"][0]["state"] == "kept")


@pytest.fixture(name="url")
async def _url(tmp_path: Path) -> AsyncIterator[str]:
    """A sampler that has one trace of each kind: where its pages are."""
    port = ports.free_port()
    url = f"http://127.0.0.1:{port}"
    async with Backend() as backend:
        config = _config(backend.address, port)
        with services.service("sampler", config, tmp_path) as sampler:
            async with GrpcClient(sampler.target) as client:
                judged = otlp.request(
                    _spans(KEPT, root=True, status=2), _spans(DROPPED, root=True)
                )
                await client.export(judged)
                await until(lambda: _kept(url))
                await client.export(otlp.request(_spans(KEPT, root=False)))
                waiting = (EVICTED, f"{8:032x}", f"{9:032x}", HELD)
                for one in waiting:
                    await client.export(otlp.request(_spans(one, root=False)))
            yield url


async def test_the_command_answers_for_every_end_of_a_trace(url: str) -> None:
    """Kept, dropped, late, evicted, held and unknown are told with their reasons."""
    kept = await _explain(url, KEPT)
    assert f"{KEPT} in tail_sampling: kept by errors\n" in kept
    assert "  spans: 1\n" in kept
    assert "  errors: sampled (spans have ERROR, kept for ERROR)\n" in kept
    assert "  slow: not_sampled (7 ms, kept above 500 ms)\n" in kept
    assert "  late spans: 1\n" in kept
    assert "  note: late spans followed the decision\n" in kept
    dropped = await _explain(url, DROPPED)
    assert f"{DROPPED} in tail_sampling: dropped\n" in dropped
    assert "  errors: not_sampled (spans have UNSET, kept for ERROR)\n" in dropped
    evicted = await _explain(url, EVICTED)
    assert f"{EVICTED} in tail_sampling: evicted\n" in evicted
    assert "pushed out by num_traces before it was judged" in evicted
    held = await _explain(url, HELD)
    assert f"{HELD} in tail_sampling: held\n" in held
    assert "  note: judged in " in held
    unknown = await _explain(url, UNKNOWN)
    assert f"{UNKNOWN} in tail_sampling: unknown\n" in unknown
    page = json.loads(await _explain(url, DROPPED, "--json"))
    assert page["tables"][0]["rows"][0]["state"] == "dropped"
