"""The debug exporter: what a person sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from tailring_pipeline import (
    Batch,
    DebugConfig,
    DebugExporter,
    ExporterMetrics,
    Rejected,
)
from tailring_pipeline.debug_text import detailed_lines, normal_lines
from tailring_pipeline.debug_values import text_of_value
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp
from tailring_testkit.virtual_time import virtual_time

TRACE_ID = bytes(range(1, 17))
SPAN_ID = bytes(range(0x11, 0x19))
SPAN = otlp.span(
    TRACE_ID,
    SPAN_ID,
    name="operationA",
    kind=2,
    start_ns=1_581_452_772_000_000_321,
    end_ns=1_581_452_773_000_000_000,
    status=2,
    status_message="status-cancelled",
    trace_state="ot=th:0",
    attributes={"n": 7, "ok": True},
)
PAYLOAD = otlp.request(SPAN, resource={"service.name": "shop"}, scope="lib")
BATCH = Batch(PAYLOAD, 1)

TESTDATA = Path(__file__).parent / "testdata"
NORMAL = (TESTDATA / "debug_normal.txt").read_text()
DETAILED = (TESTDATA / "debug_detailed.txt").read_text()


def _text(lines: Callable[[Any], Iterator[str]], request: Message) -> str:
    return "".join(f"{line}\n" for line in lines(request))


def _exporter(**written: Any) -> DebugExporter:
    metrics = ExporterMetrics(Metrics(), "debug")
    return DebugExporter(DebugConfig.model_validate(written), metrics=metrics)


async def _events(*batches: Batch, **written: Any) -> list[dict[str, Any]]:
    exporter = _exporter(**written)
    await exporter.start()
    with capture_logs() as logs:
        for batch in batches:
            await exporter.consume(batch)
    await exporter.terminate()
    return [dict(line) for line in logs]


@virtual_time
async def test_basic_prints_counts() -> None:
    """The default is one line with the numbers of resources and spans."""
    lines = await _events(BATCH)
    counts = {"resource spans": 1, "spans": 1}
    expected = {"event": "Traces", "exporter": "debug", "log_level": "info", **counts}
    assert lines == [expected]


@pytest.mark.parametrize(
    ("verbosity", "text"), [("normal", NORMAL), ("detailed", DETAILED)]
)
@virtual_time
async def test_verbosity_adds_the_spans(verbosity: str, text: str) -> None:
    """Behind the counts normal writes a line for each span and detailed all of it."""
    lines = await _events(BATCH, verbosity=verbosity)
    assert [line["event"] for line in lines] == ["Traces", text]


def test_events_and_links_are_written_out() -> None:
    """The detailed form lays events and links out as the collector does."""
    span = Span(name="s")
    event = span.events.add(
        name="happened", time_unix_nano=1, dropped_attributes_count=2
    )
    event.attributes.append(KeyValue(key="k", value=AnyValue(string_value="v")))
    span.links.add(trace_id=TRACE_ID, span_id=SPAN_ID, dropped_attributes_count=4)
    text = _text(
        detailed_lines, ExportTraceServiceRequest.FromString(otlp.request(span))
    )
    assert text.endswith(
        "Events:\n"
        "SpanEvent #0\n"
        "     -> Name: happened\n"
        "     -> Timestamp: 1970-01-01 00:00:00.000000001 +0000 UTC\n"
        "     -> DroppedAttributesCount: 2\n"
        "     -> Attributes::\n"
        "          -> k: Str(v)\n"
        "Links:\n"
        "SpanLink #0\n"
        "     -> Trace ID: 0102030405060708090a0b0c0d0e0f10\n"
        "     -> ID: 1112131415161718\n"
        "     -> TraceState: \n"
        "     -> DroppedAttributesCount: 4\n"
    )


def test_schema_urls_are_shown_in_brackets() -> None:
    """The normal form names the schema of a resource and of a scope."""
    part = otlp.resource_spans([SPAN], schema_url="http://s")
    text = _text(normal_lines, ExportTraceServiceRequest.FromString(otlp.request(part)))
    assert text.startswith("ResourceTraces #0 [http://s]\nScopeTraces #0 [http://s]\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (AnyValue(), ""),
        (AnyValue(string_value="plain"), "plain"),
        (AnyValue(bool_value=False), "false"),
        (AnyValue(double_value=1.5), "1.5"),
        (AnyValue(double_value=float("inf")), "Infinity"),
        (AnyValue(double_value=float("-inf")), "-Infinity"),
        (AnyValue(double_value=float("nan")), "NaN"),
        (AnyValue(double_value=1.0), "1"),
        (AnyValue(double_value=-0.0), "-0"),
        (AnyValue(double_value=1e20), "100000000000000000000"),
        (AnyValue(double_value=1e21), "1e+21"),
        (AnyValue(double_value=1.23e-6), "0.00000123"),
        (AnyValue(double_value=1e-7), "1e-7"),
        (AnyValue(double_value=5e-324), "5e-324"),
        (AnyValue(bytes_value=b"\x00\x01"), "AAE="),
        (
            AnyValue(
                array_value=ArrayValue(
                    values=[AnyValue(int_value=1), AnyValue(bytes_value=b"a")]
                )
            ),
            '[1,"YQ=="]',
        ),
        (
            AnyValue(
                kvlist_value=KeyValueList(values=[KeyValue(key="a", value=AnyValue())])
            ),
            '{"a":null}',
        ),
    ],
)
def test_every_kind_of_value_has_a_text(value: AnyValue, text: str) -> None:
    """Scalars are plain, containers JSON, bytes base64."""
    assert text_of_value(value) == text


def test_a_time_beyond_every_calendar_is_a_number() -> None:
    """The largest time on the wire does not stop the exporter."""
    span = Span(name="s", start_time_unix_nano=2**64 - 1)
    text = _text(
        detailed_lines, ExportTraceServiceRequest.FromString(otlp.request(span))
    )
    assert "Start time     : 2554-07-21" in text


@virtual_time
async def test_sampling_writes_the_first_batches_of_each_second() -> None:
    """Of seven batches a second, two and each third after them are written."""
    exporter = _exporter(sampling_initial=2, sampling_thereafter=3)
    await exporter.start()
    with capture_logs() as logs:
        for _ in range(2):
            for spans in range(1, 8):
                await exporter.consume(Batch(PAYLOAD, spans))
            await asyncio.sleep(1)
    await exporter.terminate()
    assert [line["spans"] for line in logs] == [1, 2, 5, 1, 2, 5]


@virtual_time
async def test_a_thereafter_of_zero_writes_no_more() -> None:
    """With sampling_thereafter 0 only the first batches of a second are written."""
    lines = await _events(*[BATCH] * 5, sampling_initial=1, sampling_thereafter=0)
    assert len(lines) == 1


@virtual_time
async def test_output_paths_take_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the internal logger, files and standard streams get the same lines."""
    path = tmp_path / "out.txt"
    lines = await _events(
        BATCH,
        verbosity="normal",
        use_internal_logger=False,
        output_paths=["stdout", str(path)],
    )
    expected = f'Traces\t{{"resource spans": 1, "spans": 1}}\n{NORMAL}\n'
    assert lines == []
    assert path.read_text() == expected
    assert capsys.readouterr().out == expected


@virtual_time
async def test_stdout_is_the_default_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Without output_paths the text goes to stdout."""
    await _events(BATCH, use_internal_logger=False)
    assert capsys.readouterr().out.startswith("Traces\t")


@virtual_time
async def test_garbage_is_rejected() -> None:
    """What cannot be decoded is a permanent failure, not a crash."""
    exporter = _exporter()
    await exporter.start()
    with pytest.raises(Rejected):
        await exporter.consume(Batch(b"\xff\xff\xff", 1))
    await exporter.terminate()


@virtual_time
async def test_a_file_that_cannot_be_opened_fails_the_start(tmp_path: Path) -> None:
    """The exporter does not start with an output that can never work."""
    exporter = _exporter(use_internal_logger=False, output_paths=[str(tmp_path)])
    with pytest.raises(IsADirectoryError):
        await exporter.start()
    await exporter.terminate()
