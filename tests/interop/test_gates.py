"""Feature gates do what they do in the real collector.

Both get the same configuration, the same gates and the same spans; what they write
into the scopes and tracestates of kept spans must be equal. Each trace has one span a
request, and late spans are sent when both have decided.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from tailring_testkit import otlp, ports, servers
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.deciding import deciding, sampler
from tailring_testkit.otlp_json import parse_request

PREFIX = "processor.tailsamplingprocessor."
GATES = f"--feature-gates=+{PREFIX}recordpolicy,+{PREFIX}usetracestate"
WAIT = "2s"
BOTH_DECIDED_S = 5
PLAIN, FAILING, OWN = (bytes([letter]) * 16 for letter in b"abc")
KEY = "tailsampling.policy"
STATES = {
    PLAIN: "v=1,ot=x:y;rv:d0123456789abc;th:4, w=2",
    FAILING: "ot=rv:1",
    OWN: "",
}
CACHE = {"sampled_cache_size": 100}

ALL = {"name": "all", "type": "always_sample"}
ERRORS = {
    "name": "errors",
    "type": "status_code",
    "status_code": {"status_codes": ["ERROR"]},
}


def _composite(name: str, *parts: dict[str, Any], spans_max: int = 100) -> Any:
    block = {
        "max_total_spans_per_second": spans_max,
        "composite_sub_policy": list(parts),
    }
    return {"name": name, "type": "composite", "composite": block}


def _share(percentage: float) -> dict[str, Any]:
    block = {"sampling_percentage": percentage}
    return {"name": "share", "type": "probabilistic", "probabilistic": block}


def _both(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"name": "both", "type": "and", "and": {"and_sub_policy": list(parts)}}


SETS: dict[str, dict[str, Any]] = {
    "first": {"policies": [ERRORS, ALL]},
    "cached": {"policies": [ERRORS, ALL], "decision_cache": CACHE},
    "composite": {"policies": [ALL, _composite("c", ERRORS, ALL)]},
    "lastcomposite": {
        "policies": [_composite("c", ERRORS), _composite("d", ALL)],
        "decision_cache": CACHE,
    },
    "half": {"policies": [_share(50)]},
    "third": {"policies": [_share(33.3)], "decision_cache": CACHE},
    "both": {"policies": [_both(_share(99), _share(75), ALL)]},
    "either": {"policies": [_share(50), ERRORS]},
    "spent": {"policies": [_composite("c", ALL, spans_max=0), ALL]},
}


def _config(port: int, folder: Path) -> dict[str, Any]:
    sets = {name: {"decision_wait": WAIT, **keys} for name, keys in SETS.items()}
    return deciding(sets, port=port, folder=folder)


def _request(trace_id: bytes, span_id: bytes) -> bytes:
    span = otlp.span(trace_id, span_id, status=2 if trace_id == FAILING else 0)
    span.trace_state = STATES[trace_id]
    scope = ScopeSpans(spans=[span], schema_url="of the scope")
    scope.scope.name = "library"
    if trace_id == OWN:
        old = KeyValue(key=KEY, value=AnyValue(string_value="what was there"))
        scope.scope.attributes.append(old)
    resource = ResourceSpans(scope_spans=[scope])
    return ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()


def _send(port: int, span_id: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        export = channel.unary_unary(EXPORT_TRACES)
        for trace_id in (PLAIN, FAILING, OWN):
            export(_request(trace_id, span_id), timeout=30)


Written = dict[tuple[bytes, bytes], tuple[str, list[tuple[str, str]], str]]


def _written(path: Path) -> Written:
    """Name and attributes of the scope of each span that was kept, its tracestate."""
    lines = path.read_text().splitlines()
    found: Written = {}
    for resource in otlp.join_messages(map(parse_request, lines)).resource_spans:
        for scope in resource.scope_spans:
            attributes = sorted(
                (one.key, str(one.value).strip()) for one in scope.scope.attributes
            )
            for span in scope.spans:
                found[span.trace_id, span.span_id] = (
                    scope.scope.name,
                    attributes,
                    span.trace_state,
                )
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What the collector kept, then what we kept: a file for each set of policies."""
    folders = [tmp_path_factory.mktemp(name) for name in ("theirs", "ours")]
    taken = ports.free_ports(2)
    theirs, ours = map(_config, taken, folders)
    with ExitStack() as stack:
        stack.enter_context(servers.otelcol(theirs, folders[0], options=[GATES]))
        stack.enter_context(sampler(ours, folders[1], GATES))
        for span_id in (b"in time.", b"too late"):
            for port in taken:
                _send(port, span_id)
            time.sleep(BOTH_DECIDED_S)
    return folders


@pytest.mark.parametrize("name", SETS)
def test_scopes_get_the_same_attributes(folders: list[Path], name: str) -> None:
    """Policy, composite policy, cached decision and threshold are the collector's."""
    theirs, ours = (_written(folder / f"{name}.jsonl") for folder in folders)
    assert theirs
    assert ours == theirs
