"""The otlphttp exporter: what it sends, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from tailring_otlpio import (
    Extensions,
    OtlpExporter,
    OtlpHttpExporterConfig,
    client_credentials,
    request_from_json,
)
from tailring_pipeline import SPLIT_REASONS, ExporterMetrics, Refused, Rejected, Signal
from tailring_runtime.config import CollectorConfig, ServiceConfig
from tailring_runtime.metrics import Metrics
from tailring_testkit import signals
from tailring_testkit.http_backend import HttpAnswer, HttpBackend
from tailring_testkit.pki import Authority

BATCH = signals.batch_of(Signal.TRACES, range(3))
FAST_RETRY = {"initial_interval": 1_000_000, "max_interval": 10_000_000}
NO_RETRY = {"retry_on_failure": {"enabled": False}}
NOBODY = CollectorConfig(service=ServiceConfig(pipelines={}))


@asynccontextmanager
async def exporting(
    keys: dict[str, Any],
    *,
    metrics: Metrics | None = None,
    signal: Signal = Signal.TRACES,
) -> AsyncIterator[OtlpExporter]:
    """A started exporter, drained and terminated at the end."""
    metrics = metrics or Metrics()
    config = OtlpHttpExporterConfig.model_validate(keys)
    exporter = OtlpExporter(
        config,
        metrics=ExporterMetrics(metrics, "otlp_http/test", signal=signal),
        credentials=client_credentials(
            config,
            where="exporters::otlp_http/test",
            metrics=metrics,
            extensions=Extensions(NOBODY, metrics=metrics),
        ),
    )
    await exporter.start()
    try:
        yield exporter
    finally:
        exporter.close()
        await exporter.join(5.0)
        await exporter.terminate()


@pytest.mark.parametrize("signal", Signal)
async def test_each_signal_has_its_path(signal: Signal) -> None:
    """A request of a signal is posted to its path under the endpoint."""
    batch = signals.batch_of(signal, range(3))
    async with HttpBackend() as backend:
        async with exporting({"endpoint": backend.url + "/in"}, signal=signal) as one:
            await one.consume(batch)
        [request] = backend.requests
        assert (request.method, request.path) == ("POST", f"/in/v1/{signal.value}")
        assert request.payload == batch.payload
        assert request.headers["Content-Type"] == "application/x-protobuf"
        assert request.headers["Content-Encoding"] == "gzip"
        assert request.headers["User-Agent"].startswith("Tailring/")


async def test_an_endpoint_of_a_signal_is_taken_as_it_is() -> None:
    """`traces_endpoint` is the whole URL, its query included."""
    async with HttpBackend() as backend:
        url = f"{backend.url}/api/otlp?tenant=a"
        async with exporting({"traces_endpoint": url}) as one:
            await one.consume(BATCH)
        assert backend.requests[0].path == "/api/otlp?tenant=a"


@pytest.mark.parametrize("signal", Signal)
async def test_json_is_what_the_receiver_reads(signal: Signal) -> None:
    """With `encoding: json` the body decodes to the request that was given."""
    batch = signals.batch_of(signal, range(3))
    async with HttpBackend() as backend:
        keys = {"endpoint": backend.url, "encoding": "json"}
        async with exporting(keys, signal=signal) as one:
            await one.consume(batch)
        [request] = backend.requests
        assert request.headers["Content-Type"] == "application/json"
        read = request_from_json(request.payload, signal)
        assert signals.numbers_of(signal, read) == dict.fromkeys(range(3), 1)


@pytest.mark.parametrize("compression", ["gzip", "zlib", "deflate", "none", ""])
@pytest.mark.parametrize("level", [-2, 0, 1, 9])
async def test_every_compression_arrives(compression: str, level: int) -> None:
    """Each compression with each level arrives under its own name."""
    async with HttpBackend() as backend:
        keys = {
            "endpoint": backend.url,
            "compression": compression,
            "compression_params": {"level": level},
        }
        async with exporting(keys) as one:
            await one.consume(BATCH)
        [request] = backend.requests
        assert request.payload == BATCH.payload
        said = request.headers.get("Content-Encoding", "")
        assert said == ("" if compression == "none" else compression)


async def test_a_large_body_is_compressed_beside_the_loop() -> None:
    """A body beyond the inline limit arrives whole as well."""
    batch = signals.batch_of(Signal.TRACES, range(2_000))
    async with HttpBackend() as backend:
        async with exporting({"endpoint": backend.url}) as one:
            await one.consume(batch)
        assert backend.requests[0].payload == batch.payload


async def test_written_headers_win() -> None:
    """Headers of the file go with every request, over those of our own."""
    async with HttpBackend() as backend:
        headers = {"X-Tenant": "a", "user-agent": "me"}
        async with exporting({"endpoint": backend.url, "headers": headers}) as one:
            await one.consume(BATCH)
        sent = backend.requests[0].headers
        assert sent["X-Tenant"] == "a"
        assert [v for k, v in sent.items() if k.lower() == "user-agent"] == ["me"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_retryable_answers_are_retried(status: int) -> None:
    """A batch that was answered with a retryable status arrives with the next try."""
    metrics = Metrics()
    async with HttpBackend() as backend:
        backend.script([HttpAnswer(status)] * 2)
        keys = {"endpoint": backend.url, "retry_on_failure": FAST_RETRY}
        async with exporting(keys, metrics=metrics) as one:
            await one.consume(BATCH)
        assert len(backend.requests) == 3
    assert metrics.value("otelcol_exporter_sent_spans") == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 413, 415, 418, 500])
async def test_other_answers_are_final(status: int) -> None:
    """Any other error answer is tried once and rejected."""
    async with HttpBackend(HttpAnswer(status)) as backend:
        keys = {"endpoint": backend.url, "retry_on_failure": FAST_RETRY}
        async with exporting(keys) as one:
            with pytest.raises(Rejected) as raised:
                await one.consume(BATCH)
        assert len(backend.requests) == 1
    assert str(status) in raised.value.detail
    assert (raised.value.reason in SPLIT_REASONS) == (
        status in (400, 408, 413, 418, 500)
    )


async def test_a_redirection_is_final_and_says_where() -> None:
    """A redirection is not followed; the error names the address it points to."""
    answer = HttpAnswer(302, headers={"Location": "http://elsewhere/"})
    async with HttpBackend(answer) as backend:
        async with exporting({"endpoint": backend.url}) as one:
            with pytest.raises(Rejected, match="http://elsewhere/") as raised:
                await one.consume(BATCH)
        assert raised.value.reason == "redirected"
        assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("status", "written", "low_s", "high_s"),
    [(429, "7", 7, 7), (503, "0", 0, 0), (503, "soon", 0, 0), (502, "7", 0, 0)],
)
async def test_retry_after_is_heard(
    status: int, written: str, low_s: float, high_s: float
) -> None:
    """Seconds in Retry-After of 429 and 503 are what the refusal asks for."""
    answer = HttpAnswer(status, headers={"Retry-After": written})
    async with (
        HttpBackend(answer) as backend,
        exporting({"endpoint": backend.url, **NO_RETRY}) as one,
    ):
        with pytest.raises(Refused) as raised:
            await one.consume(BATCH)
    assert low_s <= raised.value.retry_after_s <= high_s


async def test_retry_after_may_be_a_date() -> None:
    """A date in Retry-After is waited for from now."""
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    answer = HttpAnswer(503, headers={"Retry-After": then})
    async with (
        HttpBackend(answer) as backend,
        exporting({"endpoint": backend.url, **NO_RETRY}) as one,
    ):
        with pytest.raises(Refused) as raised:
            await one.consume(BATCH)
    assert 3_000 < raised.value.retry_after_s <= 3_600


@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json"])
async def test_a_partial_success_counts_as_sent(kind: str) -> None:
    """A partial success of either encoding is not sent again; it is counted apart."""
    partial = ExportLogsPartialSuccess(rejected_log_records=2, error_message="old")
    body = ExportLogsServiceResponse(partial_success=partial).SerializeToString()
    if kind == "application/json":
        body = b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"old"}}'
    metrics = Metrics()
    answer = HttpAnswer(body=body, headers={"Content-Type": kind})
    async with HttpBackend(answer) as backend:
        keys = {"endpoint": backend.url}
        async with exporting(keys, metrics=metrics, signal=Signal.LOGS) as one:
            await one.consume(signals.batch_of(Signal.LOGS, range(3)))
        assert len(backend.requests) == 1
    assert metrics.value("otelcol_exporter_sent_log_records") == 3
    assert metrics.value("tailring_exporter_partial_rejected_log_records") == 2


async def test_an_answer_that_is_no_otlp_is_a_success() -> None:
    """A 2xx with any other body is a success, as the request was taken."""
    answers = [
        HttpAnswer(204),
        HttpAnswer(200, b"ok"),
        HttpAnswer(202, b"\xff" * 99_999),
    ]
    async with HttpBackend() as backend:
        backend.script(answers)
        async with exporting({"endpoint": backend.url, **NO_RETRY}) as one:
            for _ in answers:
                await one.consume(BATCH)
        assert len(backend.requests) == len(answers)


async def test_nobody_there_is_unreachable() -> None:
    """Without a backend the batch is refused as unreachable."""
    async with HttpBackend() as backend:
        url = backend.url
    async with exporting({"endpoint": url, **NO_RETRY}) as one:
        with pytest.raises(Refused) as raised:
            await one.consume(BATCH)
        assert not one.connected()
    assert raised.value.reason == "unreachable"


async def test_a_slow_answer_is_refused_in_time() -> None:
    """After its timeout an attempt ends as a deadline."""
    async with HttpBackend(HttpAnswer(delay_s=30)) as backend:
        keys = {"endpoint": backend.url, "timeout": 50_000_000, **NO_RETRY}
        async with exporting(keys) as one:
            with pytest.raises(Refused) as raised:
                await one.consume(BATCH)
    assert raised.value.reason == "deadline"


async def test_a_backend_that_comes_back_gets_the_batch() -> None:
    """What was refused while the backend was away arrives when it is back."""
    backend = await HttpBackend().start()
    await backend.stop()
    keys = {"endpoint": backend.url, "retry_on_failure": FAST_RETRY}
    async with exporting(keys) as one:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(one.consume(BATCH))
            await asyncio.sleep(0.05)
            await backend.start()
        try:
            assert [request.payload for request in backend.requests] == [BATCH.payload]
        finally:
            await backend.stop()


async def test_requests_are_encrypted_with_the_authority_that_is_given(
    tmp_path: Path,
) -> None:
    """A backend with a certificate of `ca_file` is reached over https."""
    authority = Authority(tmp_path)
    context = server_context_of(authority)
    async with HttpBackend(tls=context) as backend:
        tls = {"ca_file": str(authority.ca_file)}
        async with exporting({"endpoint": backend.url, "tls": tls}) as one:
            await one.consume(BATCH)
        assert len(backend.requests) == 1


async def test_an_unknown_authority_is_refused_unless_skipped(tmp_path: Path) -> None:
    """A certificate of nobody known is refused; `insecure_skip_verify` takes it."""
    context = server_context_of(Authority(tmp_path))
    async with HttpBackend(tls=context) as backend:
        async with exporting({"endpoint": backend.url, **NO_RETRY}) as one:
            with pytest.raises(Refused, match="certificate"):
                await one.consume(BATCH)
        tls = {"insecure_skip_verify": True}
        async with exporting({"endpoint": backend.url, "tls": tls}) as one:
            await one.consume(BATCH)
        assert len(backend.requests) == 1


async def test_a_proxy_gets_the_whole_url() -> None:
    """With `proxy_url` the request goes there, with the URL of the backend."""
    async with HttpBackend() as proxy:
        keys = {"endpoint": "http://backend.invalid:1", "proxy_url": proxy.url}
        async with exporting(keys) as one:
            await one.consume(BATCH)
        [request] = proxy.requests
        assert request.headers["Host"] == "backend.invalid:1"
        assert request.payload == BATCH.payload


async def test_cookies_are_kept_only_when_wanted() -> None:
    """What the backend sets as a cookie comes back when `cookies` is there."""
    answer = HttpAnswer(headers={"Set-Cookie": "at=one"})
    async with HttpBackend(answer) as backend:
        plain: dict[str, Any] = {"endpoint": backend.url}
        for keys in (plain, {**plain, "cookies": {}}):
            async with exporting(keys) as one:
                await one.consume(BATCH)
                await one.consume(BATCH)
        sent = [request.headers.get("Cookie") for request in backend.requests]
        assert sent == [None, None, None, "at=one"]


def server_context_of(authority: Authority) -> ssl.SSLContext:
    """TLS of a backend whose certificate is of ``authority``."""
    pair = authority.issue("backend")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert_file, pair.key_file)
    return context
