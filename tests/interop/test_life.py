"""The life of a trace is as long as with the real collector.

Both get the same configuration and the same spans at the same moments. A tick of the
collector's may come up to a second after a wait, so nothing is sent within a second and
a half after the earliest moment of a decision that it could change.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tailring_testkit import otlp, ports, servers
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.deciding import deciding, sampler

WAITS = {"off": "0s", "soon": "1s", "next": "500ms", "never": "60s"}
# Traces: with a root at once, without one, with a root after the errors.
EARLY_ROOT, NO_ROOT, LATE_ROOT = (bytes([letter]) * 16 for letter in b"abc")
KEPT = {
    "off": {EARLY_ROOT, NO_ROOT, LATE_ROOT},
    "soon": {NO_ROOT, LATE_ROOT},
    "next": {NO_ROOT, LATE_ROOT},
    "never": {EARLY_ROOT, NO_ROOT, LATE_ROOT},
}


def _config(port: int, folder: Path) -> dict[str, Any]:
    errors = {
        "name": "errors",
        "type": "status_code",
        "status_code": {"status_codes": ["ERROR"]},
    }
    sets = {
        name: {
            "decision_wait": "7s",
            "decision_wait_after_root_received": wait,
            "policies": [errors],
        }
        for name, wait in WAITS.items()
    }
    return deciding(sets, port=port, folder=folder)


def _send(port: int, trace_id: bytes, *, root: bool = False, status: int = 0) -> None:
    parent = b"" if root else b"p" * 8
    span = otlp.span(trace_id, b"s" * 8, parent=parent, status=status)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        export = channel.unary_unary(EXPORT_TRACES)
        export(otlp.request(span), timeout=30)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What the collector kept, then what we kept: a file for each wait."""
    folders = [tmp_path_factory.mktemp(name) for name in ("theirs", "ours")]
    taken = ports.free_ports(2)
    theirs, ours = map(_config, taken, folders)
    with ExitStack() as stack:
        stack.enter_context(servers.otelcol(theirs, folders[0]))
        stack.enter_context(sampler(ours, folders[1]))
        for port in taken:
            _send(port, EARLY_ROOT, root=True)
            _send(port, NO_ROOT)
            _send(port, LATE_ROOT)
        time.sleep(4)
        for port in taken:
            for trace_id in (EARLY_ROOT, NO_ROOT, LATE_ROOT):
                _send(port, trace_id, status=2)
            _send(port, LATE_ROOT, root=True)
        time.sleep(6)
    return folders


@pytest.mark.parametrize("name", WAITS)
def test_the_root_brings_decisions_forward(folders: list[Path], name: str) -> None:
    """An error after the wait for a root comes late; elsewhere it keeps its trace."""
    theirs, ours = (
        {span.trace_id for span in servers.exported_spans(folder / f"{name}.jsonl")}
        for folder in folders
    )
    assert theirs == KEPT[name]
    assert ours == theirs
