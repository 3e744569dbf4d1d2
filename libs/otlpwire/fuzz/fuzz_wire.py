"""Coverage-guided fuzzing of everything that reads bytes of strangers.

Run it as a script where atheris is installed; it never returns by itself::

    python libs/otlpwire/fuzz/fuzz_wire.py -max_total_time=60 CORPUS_FOLDER

The pure form is fuzzed, because coverage is seen in Python code only. `check` states
what holds for any bytes at all and is also run over the kept corpus by the tests.
"""

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

TABLE = [0, 1, 2, 1, 0]

# Routing keys and, for some, the attributes they name.
Key = tuple[str] | tuple[str, list[str]]
BY_ATTRIBUTES: Key = ("attributes", ["service.name", "log.body", "a", "span.name"])
TRACE_KEYS: list[Key] = [("traceID",), ("service",), BY_ATTRIBUTES]
LOG_KEYS: list[Key] = [("service",), ("traceID",), ("resource",), BY_ATTRIBUTES]
METRIC_KEYS: list[Key] = [
    *(("service",), ("resource",), ("metric",), ("streamID",)),
    BY_ATTRIBUTES,
]
SOURCES = Path(__file__).resolve().parents[1] / "src" / "tailring_otlpwire"


def check(wire: Any, data: bytes) -> bool:
    """Run every reader over `data`; whether it is a valid request.

    The request is one of traces; that the bytes may be one of logs or metrics is
    checked by the way. Raises AssertionError where the readers disagree, and lets
    through whatever is raised that is not a WireError.
    """
    for key in TRACE_KEYS:
        _check_traces_by(wire, data, wire.RoutingRule(wire.TRACES, *key))
    for kind, keys in ((wire.LOGS, LOG_KEYS), (wire.METRICS, METRIC_KEYS)):
        _check_kind(wire, data, kind, keys)
    try:
        spans = wire.validate(data)
    except wire.WireError as error:
        if not 0 <= error.offset <= len(data):
            raise AssertionError("an offset outside the buffer") from error
        _check_refused(wire, data)
        return False
    _check_outputs(wire, data, spans)
    return True


def _check_traces_by(wire: Any, data: bytes, rule: Any) -> None:
    """The inside of attributes is not validated, so that it may be refused here."""
    try:
        spans = wire.validate(data)
        parts = wire.split_by(data, TABLE, rule).parts
    except wire.WireError:
        return
    assert sum(part.items for part in parts) == spans
    assert sum(wire.validate(part.payload) for part in parts) == spans
    assert len(wire.routing_keys(data, rule)) == spans


def _check_kind(wire: Any, data: bytes, kind: int, keys: Iterable[Key]) -> None:
    try:
        items = wire.validate(data, kind)
    except wire.WireError:
        _check_refused_kind(wire, data, kind, keys)
        return
    assert wire.count(data, kind) == items
    chunks = wire.chunk(data, 2, kind)
    assert sum(wire.validate(each, kind) for each in chunks) == items
    joined = wire.join_requests([data, data])
    assert wire.validate(joined, kind) == 2 * items
    for key in keys:
        rule = wire.RoutingRule(kind, *key)
        split = wire.split_by(data, TABLE, rule)
        routed = items - split.unroutable_items
        assert sum(part.items for part in split.parts) == routed
        assert sum(wire.validate(part.payload, kind) for part in split.parts) == routed
        assert len(wire.routing_keys(data, rule)) == routed


def _check_refused_kind(wire: Any, data: bytes, kind: int, keys: Iterable[Key]) -> None:
    """What is not valid may be refused or not, but nothing else may happen."""
    readers: list[Callable[[], object]] = [
        lambda: wire.count(data, kind),
        lambda: wire.chunk(data, 2, kind),
    ]
    for key in keys:
        rule = wire.RoutingRule(kind, *key)
        readers.append(partial(wire.split_by, data, TABLE, rule))
    for read in readers:
        try:
            read()
        except wire.WireError:
            continue


def _check_refused(wire: Any, data: bytes) -> None:
    deep: list[Callable[[], object]] = [
        lambda: wire.split(data, TABLE),
        lambda: wire.group(data, wire.HeaderCache(4)),
    ]
    for read in deep:
        try:
            read()
        except wire.WireError:
            continue
        raise AssertionError("read what validate refuses")
    shallow: list[Callable[[], object]] = [
        lambda: wire.count_spans(data),
        lambda: wire.join_requests([data]),
        lambda: wire.chunk(data, 3),
        lambda: wire.span_times(data),
    ]
    for read in shallow:
        try:
            read()
        except wire.WireError:
            continue


def _check_outputs(wire: Any, data: bytes, spans: int) -> None:
    assert wire.count_spans(data) == spans
    parts = wire.split(data, TABLE)
    assert sum(part.spans for part in parts) == spans
    assert sum(wire.validate(part.payload) for part in parts) == spans
    assert wire.validate(wire.join_requests([data, data])) == 2 * spans
    assert sum(wire.validate(each) for each in wire.chunk(data, 3)) == spans
    slices = wire.group(data, wire.HeaderCache(4))
    assert len({each.trace_id for each in slices}) == len(slices)
    assert sum(each.span_count for each in slices) == spans
    pieces = [piece for each in slices for piece in each.pieces]
    assert wire.validate(wire.join(pieces)) == spans
    times = [wire.span_times(piece.spans) for piece in pieces]
    assert sum(map(len, times)) == spans
    for each in slices:
        running = wire.TraceSummary()
        running.add(each)
        assert running.longest_ns == each.longest_ns
        assert (running.start_ns, running.end_ns) == (each.start_ns, each.end_ns)


def main() -> None:
    """Fuzz the Python sources, whatever is compiled beside them."""
    atheris: Any = importlib.import_module("atheris")  # installed for fuzzing only
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / SOURCES.name
        shutil.copytree(SOURCES, package, ignore=shutil.ignore_patterns("*.so"))
        sys.path.insert(0, folder)
        with atheris.instrument_imports():
            wire = importlib.import_module(SOURCES.name)

    def run(data: bytes) -> None:
        check(wire, data)

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
