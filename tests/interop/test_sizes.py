"""Traces have the size that the real collector counts.

For each of some random traces the collector has two policies that ask for its number
and for a bucket that is never filled again: one with room for the size that we measure,
one with a byte less. It keeps all traces by the first, and none by the second.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from tests.interop.decision_traces import dress, dress_resource

from tailring_otlpwire import HeaderCache, TraceSummary, group
from tailring_testkit import otlp, ports, servers
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.process import wait_until
from tailring_testkit.wire import field, number_field

TRACES = 60
SEED = 3
WAIT_S = 2
# What is rare: an entity of a resource, and an index into a table of a profile.
ENTITY = field(3, field(2, b"") + field(2, b"host") + field(3, b"a") + field(3, b""))
INDEX = number_field(8, 2**64 - 5)


def _span(rng: random.Random, trace_id: bytes, number: int) -> Span:
    built = otlp.span(
        trace_id,
        rng.choice([b"", rng.randbytes(8)]),
        parent=rng.choice([b"", bytes(8), rng.randbytes(8)]),
        name=rng.choice(["", "a" * 200]),
        start_ns=rng.choice([0, otlp.EPOCH_NS]),
        attributes={"number": str(number)},
    )
    if rng.random() < 0.5:
        built.status.message = rng.choice(["", "no"])
    return built


def _part(rng: random.Random, spans: Sequence[Span]) -> ResourceSpans:
    dress(rng, spans)
    part = otlp.resource_spans(
        spans,
        resource=rng.choice([None, {"service.name": "shop"}]),
        scope=rng.choice([None, "library"]),
        schema_url=rng.choice(["", "https://example.test/1"]),
    )
    if rng.random() < 0.5:
        dress_resource(rng, part)
    if rng.random() < 0.3:
        part.resource.MergeFromString(ENTITY)
    if rng.random() < 0.3:
        spans[0].attributes.add(key="index").value.MergeFromString(INDEX)
        part.scope_spans[0].spans[0].CopyFrom(spans[0])
    return part


def _requests(seed: int) -> Iterator[tuple[bytes, bytes]]:
    """The id of each trace with its requests, resources of one request often equal."""
    rng = random.Random(seed)
    for number, trace_id in enumerate(otlp.trace_ids(TRACES, seed=seed)):
        for _ in range(rng.randrange(1, 4)):
            lists = [
                [_span(rng, trace_id, number) for _ in range(rng.randrange(1, 4))]
                for _ in range(rng.randrange(1, 4))
            ]
            parts = [_part(rng, spans) for spans in lists]
            yield trace_id, otlp.request(*parts)


def _sizes(requests: list[tuple[bytes, bytes]]) -> list[int]:
    """What we measure of each trace."""
    summaries: dict[bytes, TraceSummary] = {}
    headers = HeaderCache(100)
    for trace_id, payload in requests:
        (part,) = group(payload, headers, measured=True)
        summaries.setdefault(trace_id, TraceSummary()).add(part)
    return [summary.data_bytes for summary in summaries.values()]


def _policies(sizes: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"p{number}",
            "type": "and",
            "and": {
                "and_sub_policy": [
                    {
                        "name": "number",
                        "type": "string_attribute",
                        "string_attribute": {"key": "number", "values": [str(number)]},
                    },
                    {
                        "name": "size",
                        "type": "bytes_limiting",
                        "bytes_limiting": {
                            "bytes_per_second": 0,
                            "burst_capacity": size,
                        },
                    },
                ]
            },
        }
        for number, size in enumerate(sizes)
    ]


def test_the_collector_counts_as_we_do(tmp_path: Path) -> None:
    """Of traces with every kind of field, in several requests and resources."""
    requests = list(_requests(SEED))
    sizes = _sizes(requests)
    (port,) = ports.free_ports(1)
    sets = {"exact": sizes, "less": [size - 1 for size in sizes], "all": []}
    always = {"name": "a", "type": "always_sample"}
    endpoint = {"endpoint": f"127.0.0.1:{port}"}
    config = {
        "receivers": {"otlp": {"protocols": {"grpc": endpoint}}},
        "processors": {
            f"tail_sampling/{name}": {
                "decision_wait": f"{WAIT_S}s",
                "policies": _policies(bursts) or [always],
            }
            for name, bursts in sets.items()
        },
        "exporters": {
            f"file/{name}": {
                "path": str(tmp_path / f"{name}.jsonl"),
                "flush_interval": "100ms",
            }
            for name in sets
        },
        "service": {
            "pipelines": {
                f"traces/{name}": {
                    "receivers": ["otlp"],
                    "processors": [f"tail_sampling/{name}"],
                    "exporters": [f"file/{name}"],
                }
                for name in sets
            }
        },
    }

    def kept(name: str) -> set[bytes]:
        """The traces that a pipeline has exported so far."""
        path = tmp_path / f"{name}.jsonl"
        return {one.trace_id for one in servers.exported_spans(path)}

    with servers.otelcol(config, tmp_path):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            export = channel.unary_unary(EXPORT_TRACES)
            for _, payload in requests:
                export(payload, timeout=30)
        wait_until(lambda: len(kept("all")) == TRACES, "all are decided", timeout_s=60)
    assert len(kept("exact")) == TRACES
    assert kept("less") == set()
