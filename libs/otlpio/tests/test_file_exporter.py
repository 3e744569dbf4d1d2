"""The file exporter: its files, rotation, groups, and disks that take nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailring_otlpio import (
    FileExporter,
    FileExporterConfig,
    Files,
    request_to_json,
)
from tailring_otlpio.file_config import RotationConfig
from tailring_otlpio.file_output import FileOutput
from tailring_pipeline import Batch, ExporterMetrics, Refused, Rejected, Signal
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics
from tailring_testkit import signals

LOGS = signals.batch_of(Signal.LOGS, range(3))
MEGABYTE = 1 << 20


@asynccontextmanager
async def exporting(
    path: Path, counted_in: Metrics | None = None, **keys: Any
) -> AsyncIterator[FileExporter]:
    """A started exporter of logs, drained and terminated at the end."""
    config = FileExporterConfig.model_validate({"path": str(path), **keys})
    counted = ExporterMetrics(counted_in or Metrics(), "file", signal=Signal.LOGS)
    exporter = FileExporter(Files(config), metrics=counted)
    await exporter.start()
    try:
        yield exporter
    finally:
        exporter.close()
        await exporter.join(5.0)
        await exporter.terminate()


def grouped(*groups: tuple[str | int | None, int]) -> Batch:
    """Log records of resources with a value of the group, and how many of each."""
    request = ExportLogsServiceRequest()
    for value, records in groups:
        one = AnyValue(string_value=value) if isinstance(value, str) else None
        one = AnyValue(int_value=value) if isinstance(value, int) else one
        attributes = [] if one is None else [KeyValue(key="team", value=one)]
        part = request.resource_logs.add(resource=Resource(attributes=attributes))
        scope = part.scope_logs.add()
        for number in range(records):
            scope.log_records.add(time_unix_nano=number + 1)
    items = sum(records for _, records in groups)
    return Batch(request.SerializeToString(), items, Signal.LOGS)


async def test_json_is_a_line_for_each_request(tmp_path: Path) -> None:
    """Two requests are two lines of OTLP JSON, there as soon as they were taken."""
    path, metrics = tmp_path / "out.json", Metrics()
    async with exporting(path, metrics) as exporter:
        await exporter.consume(LOGS)
        await exporter.consume(LOGS)
        line = request_to_json(LOGS.payload, Signal.LOGS) + b"\n"
        assert path.read_bytes() == line * 2
    assert metrics.value("otelcol_exporter_sent_log_records") == 6
    assert path.stat().st_mode & 0o777 == 0o644


async def test_proto_is_length_prefixed(tmp_path: Path) -> None:
    """With format proto a request is its bytes behind their number, big-endian."""
    path = tmp_path / "out.pb"
    async with exporting(path, format="proto") as exporter:
        await exporter.consume(LOGS)
    assert path.read_bytes() == len(LOGS.payload).to_bytes(4, "big") + LOGS.payload


@pytest.mark.parametrize("append", [False, True])
async def test_a_start_empties_the_file_unless_it_appends(
    tmp_path: Path, append: bool
) -> None:
    """What was in the file stays only with `append`."""
    path = tmp_path / "out.pb"
    path.write_bytes(b"before")
    async with exporting(path, append=append):
        pass
    assert path.read_bytes() == (b"before" if append else b"")


async def test_signals_share_the_file_of_a_component(tmp_path: Path) -> None:
    """Exporters of two signals write to one file, which ends with the last of them."""
    path = tmp_path / "out.pb"
    config = FileExporterConfig(path=str(path), format="proto")
    files, metrics = Files(config), Metrics()
    parts = {
        signal: FileExporter(
            files, metrics=ExporterMetrics(metrics, "file", signal=signal)
        )
        for signal in (Signal.LOGS, Signal.METRICS)
    }
    for part in parts.values():
        await part.start()
    await parts[Signal.LOGS].consume(LOGS)
    await parts[Signal.LOGS].terminate()
    batch = signals.batch_of(Signal.METRICS, range(2))
    await parts[Signal.METRICS].consume(batch)
    await parts[Signal.METRICS].terminate()
    assert path.read_bytes().endswith(batch.payload)
    assert LOGS.payload in path.read_bytes()


async def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """Without its folder the start fails and names the path; it can be made."""
    path = tmp_path / "a" / "b" / "out.json"
    with pytest.raises(StartError, match=r"out\.json: No such file or directory"):
        async with exporting(path):
            pass
    async with exporting(path, create_directory=True, directory_permissions="0700"):
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_closed_exporter_refuses(tmp_path: Path) -> None:
    """After close a batch is refused, and terminating twice does no harm."""
    async with exporting(tmp_path / "out") as exporter:
        exporter.close()
        with pytest.raises(Refused):
            await exporter.consume(LOGS)
        await exporter.terminate()


def names_in(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


class FullDisk:
    """Stands for `os.write` on a disk that takes only a few bytes of each record."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, takes: int) -> None:
        self.full = True
        self._takes = takes
        self._left = takes
        self._write = os.write
        monkeypatch.setattr("tailring_otlpio.file_output.os.write", self._limited)

    def _limited(self, descriptor: int, data: Any) -> int:
        if not self.full:
            return self._write(descriptor, data)
        if not self._left:
            self._left = self._takes
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self._write(descriptor, data[: self._left])
        self._left -= taken
        return taken


async def test_a_full_disk_refuses_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a full disk took of a request is cut off; with room it goes on."""
    path, metrics = tmp_path / "out.pb", Metrics()
    async with exporting(path, metrics, format="proto") as exporter:
        await exporter.consume(LOGS)
        before = path.read_bytes()
        disk = FullDisk(monkeypatch, takes=10)
        with pytest.raises(Refused, match="No space left") as raised:
            await exporter.consume(LOGS)
        assert raised.value.reason == "storage_full"
        assert path.read_bytes() == before
        disk.full = False
        await exporter.consume(LOGS)
        assert path.read_bytes() == before * 2
    assert metrics.value("otelcol_exporter_sent_log_records") == 6
    assert metrics.value("otelcol_exporter_send_failed_log_records") == 3


async def test_each_value_of_the_group_has_a_file(tmp_path: Path) -> None:
    """Resources go to the file of their value, together where they share one."""
    keys: dict[str, Any] = {"group_by": {"enabled": True, "resource_attribute": "team"}}
    async with exporting(tmp_path / "x" / "*.pb", format="proto", **keys) as exporter:
        await exporter.consume(grouped(("a", 1), ("b/c", 2), ("a", 3)))
    first = (tmp_path / "x" / "a.pb").read_bytes()
    assert first[4:] == grouped(("a", 1), ("a", 3)).payload
    second = (tmp_path / "x" / "b" / "c.pb").read_bytes()
    assert second[4:] == grouped(("b/c", 2)).payload


async def test_resources_without_a_group_are_rejected(tmp_path: Path) -> None:
    """Items without the attribute, or with one that is no text, are rejected."""
    keys: dict[str, Any] = {"group_by": {"enabled": True, "resource_attribute": "team"}}
    async with exporting(tmp_path / "*.pb", format="proto", **keys) as exporter:
        with pytest.raises(Rejected) as raised:
            await exporter.consume(grouped(("a", 1), (None, 2), (7, 3)))
    assert raised.value.items == 5
    assert (tmp_path / "a.pb").read_bytes()[4:] == grouped(("a", 1)).payload


async def test_a_value_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    """Dots in a value stay under what the path has before the star."""
    keys: dict[str, Any] = {"group_by": {"enabled": True, "resource_attribute": "team"}}
    folder = tmp_path / "in"
    async with exporting(folder / "*.pb", format="proto", **keys) as exporter:
        await exporter.consume(grouped(("../../out", 1), ("a/../../../out2", 1)))
    assert names_in(tmp_path) == {"in"}
    assert names_in(folder) == {"out.pb", "out2.pb"}


async def test_a_file_that_was_closed_for_others_is_not_emptied(tmp_path: Path) -> None:
    """Beyond max_open_files a file is closed, and goes on with its next record."""
    keys: dict[str, Any] = {
        "group_by": {
            "enabled": True,
            "resource_attribute": "team",
            "max_open_files": 1,
        }
    }
    async with exporting(tmp_path / "*.pb", format="proto", **keys) as exporter:
        for _ in range(2):
            await exporter.consume(grouped(("a", 1), ("b", 1)))
    assert len((tmp_path / "a.pb").read_bytes()) == 2 * (
        4 + len(grouped(("a", 1)).payload)
    )


async def test_what_a_full_disk_left_of_a_request_is_what_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups that were written before the disk was full are not asked for again."""
    keys: dict[str, Any] = {"group_by": {"enabled": True, "resource_attribute": "team"}}
    size = 4 + len(grouped(("a", 1)).payload)
    async with exporting(tmp_path / "*.pb", format="proto", **keys) as exporter:
        FullDisk(monkeypatch, takes=size)
        with pytest.raises(Refused) as raised:
            await exporter.consume(grouped(("a", 1), (None, 1), ("b", 2)))
    remaining = raised.value.remaining
    assert remaining == grouped(("b", 2), (None, 1))


def rotating(path: Path, **keys: Any) -> tuple[FileOutput, list[int]]:
    """An output that rotates after a megabyte, and its clock."""
    now = [int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 10**9]
    rotation = RotationConfig(max_megabytes=1, **keys)
    output = FileOutput(path, append=False, rotation=rotation, wall_ns=lambda: now[0])
    return output, now


def test_a_file_that_would_grow_too_large_is_renamed(tmp_path: Path) -> None:
    """The renamed file has the time in its name, and no record is cut."""
    path = tmp_path / "out.json"
    output, _ = rotating(path)
    record = b"x" * (MEGABYTE // 2)
    for _ in range(5):
        output.write(record)
    output.close()
    sizes = {one.name: one.stat().st_size for one in tmp_path.iterdir()}
    assert sizes == {
        "out-2026-01-02T03-04-05.000-size.json": MEGABYTE,
        "out-2026-01-02T03-04-05.001-size.json": MEGABYTE,
        "out.json": MEGABYTE // 2,
    }


def test_a_record_larger_than_a_file_has_one_to_itself(tmp_path: Path) -> None:
    """What upstream cannot write at all is written whole."""
    output, _ = rotating(tmp_path / "out")
    output.write(b"a")
    output.write(b"x" * (2 * MEGABYTE))
    output.write(b"b")
    output.close()
    assert sorted(one.stat().st_size for one in tmp_path.iterdir()) == [
        1,
        1,
        2 * MEGABYTE,
    ]


def test_a_rotated_file_is_appended_to_at_a_start(tmp_path: Path) -> None:
    """With rotation what was in the file stays, as upstream."""
    path = tmp_path / "out"
    path.write_bytes(b"before")
    output, _ = rotating(path)
    output.write(b"after")
    output.close()
    assert path.read_bytes() == b"beforeafter"


def test_old_files_are_removed(tmp_path: Path) -> None:
    """Only so many renamed files stay, none that is too old, and nothing else goes."""
    path = tmp_path / "out.json"
    (tmp_path / "out-notes.json").write_bytes(b"mine")
    (tmp_path / "out-2025-01-01T00-00-00.000-size.json").write_bytes(b"old")
    output, now = rotating(path, max_backups=2, max_days=3)
    for _ in range(4):
        output.write(b"x" * MEGABYTE)
        now[0] += 86_400 * 10**9
    names = {one.name for one in tmp_path.iterdir()}
    assert names == {
        "out-notes.json",
        "out.json",
        "out-2026-01-04T03-04-05.000-size.json",
        "out-2026-01-05T03-04-05.000-size.json",
    }
    now[0] += 86_400 * 10**9 * 10
    output.write(b"x")
    output.close()
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({}, "path must be non-empty"),
        ({"path": "a", "append": True, "rotation": {}}, "append and rotation"),
        ({"path": "a", "format": "xml"}, "json"),
        ({"path": "a", "encoding": "otlp"}, "encoding extensions"),
        ({"path": "a", "compression": "zstd"}, "zstd"),
        ({"path": "a", "group_by": {"enabled": True}}, "exactly one"),
        ({"path": "*a", "group_by": {"enabled": True}}, "must not start"),
        ({"path": "a", "directory_permissions": "0700"}, "create_directory"),
        (
            {"path": "a", "create_directory": True, "directory_permissions": "9"},
            "octal",
        ),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], what: str) -> None:
    """A block that cannot be honoured is an error that says which key."""
    with pytest.raises(ValueError, match=what):
        FileExporterConfig.model_validate(keys)
