"""The exporters otlphttp and file beside the collector's own.

Both are given the same requests of every signal and the same exporters. What the two
send over HTTP and write to files is compared: headers and paths, and the JSON character
for character, which the collector makes from what it decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tailring_otlpio import request_from_json, request_to_json
from tailring_pipeline import KINDS, Signal
from tailring_testkit import ports, servers, services, signals
from tailring_testkit.http_backend import HttpBackend, HttpRequest
from tailring_testkit.otlp_clients import HttpClient
from tailring_testkit.process import eventually
from tailring_testkit.signal_requests import requests_of
from tailring_testkit.signals import PATHS

REQUESTS = 40


def exporters_of(folder: Path, url: str) -> dict[str, Any]:
    """The exporters that both are given, with queues that acknowledge nothing early."""
    plain = {
        "sending_queue": {"enabled": False},
        "retry_on_failure": {"enabled": False},
    }
    return {
        "file/json": {"path": str(folder / "json"), "flush_interval": "100ms"},
        "file/proto": {
            "path": str(folder / "proto"),
            "format": "proto",
            "flush_interval": "100ms",
        },
        "otlp_http/proto": {"endpoint": f"{url}/proto", **plain},
        "otlp_http/json": {"endpoint": f"{url}/json", "encoding": "json", **plain},
    }


@contextmanager
def upstream(folder: Path, url: str) -> Iterator[int]:
    """A collector with these exporters; its HTTP port."""
    port = ports.free_port()
    exporters = exporters_of(folder, url)
    http = {"endpoint": f"127.0.0.1:{port}"}
    pipeline = {"receivers": ["otlp"], "exporters": list(exporters)}
    config = {
        "receivers": {"otlp": {"protocols": {"http": http}}},
        "exporters": exporters,
        "service": {"pipelines": {one.value: pipeline for one in Signal}},
    }
    with servers.otelcol(config, folder):
        yield port


@contextmanager
def ours(folder: Path, url: str) -> Iterator[int]:
    """A sampler with these exporters; its HTTP port."""
    exporters = exporters_of(folder, url)
    config = {"exporters": exporters, "pipeline": {"exporters": list(exporters)}}
    every = [one.value for one in Signal]
    with services.service("sampler", config, folder, signals=every) as running:
        yield running.http_port


def some_requests(signal: Signal) -> list[bytes]:
    """Random requests that have items, the same at every run."""
    found = [signals.batch_of(signal, range(3)).payload]

    @settings(
        max_examples=REQUESTS,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests_of(KINDS[signal]))
    def draw(payload: bytes) -> None:
        """Keep one request."""
        # The collector's pages know no unknown fields: only what it would say itself.
        found.append(request_from_json(request_to_json(payload, signal), signal))

    draw()
    return [one for one in found if signals.items_of(signal, one)]


def by_path(requests: list[HttpRequest]) -> Mapping[str, list[HttpRequest]]:
    """The requests of each path, in their order."""
    found: dict[str, list[HttpRequest]] = {}
    for request in requests:
        found.setdefault(request.path, []).append(request)
    return found


@pytest.mark.parametrize("signal", Signal)
async def test_files_and_requests_are_the_collectors(
    tmp_path: Path, signal: Signal
) -> None:
    """JSON lines are equal, protobuf decodes to them, and HTTP carries the same."""
    payloads = some_requests(signal)
    assert len(payloads) > REQUESTS // 4
    sent: list[Mapping[str, list[HttpRequest]]] = []
    files: list[Path] = []
    for name, run in (("upstream", upstream), ("ours", ours)):
        folder = tmp_path / name
        folder.mkdir()
        async with HttpBackend() as backend:
            with run(folder, backend.url) as port:
                await _post_all(port, payloads, signal)
                written = folder / "json"
                await eventually(
                    lambda at=written: _lines(at) == len(payloads),  # type: ignore[misc]
                    "every request is a line",
                )
            sent.append(by_path(backend.requests))
        files.append(folder)
    first, second = ((one / "json").read_text().split("\n") for one in files)
    assert second == first
    for one in files:
        assert _records(one / "proto", signal) == first[:-1]
    _compare(*sent, signal=signal, lines=first[:-1])


async def _post_all(port: int, payloads: list[bytes], signal: Signal) -> None:
    async with HttpClient(f"http://127.0.0.1:{port}") as client:
        for payload in payloads:
            reply = await client.post(payload, path=PATHS[signal])
            assert reply.status == 200, reply


def _compare(
    upstream: Mapping[str, list[HttpRequest]],
    ours: Mapping[str, list[HttpRequest]],
    *,
    signal: Signal,
    lines: list[str],
) -> None:
    assert ours.keys() == upstream.keys()
    for path, theirs in upstream.items():
        for mine, other, line in zip(ours[path], theirs, lines, strict=True):
            assert _headers(mine) == _headers(other)
            if path.startswith("/json"):
                assert mine.payload == other.payload == line.encode()
            else:
                assert request_to_json(mine.payload, signal) == line.encode()
                assert request_to_json(other.payload, signal) == line.encode()


def _headers(request: HttpRequest) -> dict[str, str]:
    """What must be alike; lengths differ as the compressors do."""
    named = ("content-type", "content-encoding")
    lowered = {name.lower(): value for name, value in request.headers.items()}
    return {name: lowered.get(name, "") for name in named}


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _records(path: Path, signal: Signal) -> list[str]:
    """The requests of a file, as the JSON that they are."""
    written, found, pos = path.read_bytes(), [], 0
    while pos < len(written):
        size = int.from_bytes(written[pos : pos + 4], "big")
        payload = written[pos + 4 : pos + 4 + size]
        found.append(request_to_json(payload, signal).decode())
        pos += 4 + size
    return found


async def test_every_signal_passes_the_samplers_processors(tmp_path: Path) -> None:
    """Every signal goes through memory_limiter and batch to a collector, beside debug
    and nop."""
    port = ports.free_port()
    files = {
        one.value: {"path": str(tmp_path / one.value), "flush_interval": "100ms"}
        for one in Signal
    }
    pipelines = {
        one: {"receivers": ["otlp"], "exporters": [f"file/{one}"]} for one in files
    }
    collector = {
        "receivers": {
            "otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}
        },
        "exporters": {f"file/{one}": keys for one, keys in files.items()},
        "service": {"pipelines": pipelines},
    }
    limiter = {"check_interval": "1s", "limit_mib": 4000}
    plain = {
        "processors": {"memory_limiter": limiter, "batch": {"timeout": "50ms"}},
        "exporters": {
            "otlp": {"endpoint": f"127.0.0.1:{port}", "tls": {"insecure": True}},
            "debug": {"verbosity": "detailed"},
            "nop": {},
        },
        "pipeline": {
            "processors": ["memory_limiter", "batch"],
            "exporters": ["otlp", "debug", "nop"],
        },
    }
    every = [one.value for one in Signal]
    with (
        servers.otelcol(collector, tmp_path / "collector"),
        services.service("sampler", plain, tmp_path, signals=every) as sampler,
    ):
        for signal in Signal:
            payloads = [signals.batch_of(signal, range(5)).payload]
            await _post_all(sampler.http_port, payloads, signal)
        for one in files:
            at = tmp_path / one
            await eventually(lambda at=at: _lines(at) == 1, "it arrived")  # type: ignore[misc]
        shown = sampler.child.log()
    for signal in Signal:
        line = (tmp_path / signal.value).read_bytes().strip()
        read = request_from_json(line, signal)
        assert signals.numbers_of(signal, read) == dict.fromkeys(range(5), 1)
    for title in ("Traces", "Logs", "Metrics"):
        assert title in shown
