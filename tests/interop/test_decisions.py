"""Traces are decided as by the real collector.

One collector and one sampler of ours, each with a pipeline for every set of policies,
are sent the same 3,000 random traces. A second collector writes down what ours
exports. What both keep must be equal, trace by trace and span by span.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.interop import decision_sets_attributes, decision_sets_compound
from tests.interop.decision_traces import dress, dress_resource
from tests.interop.odd_encoding import oddly

from tailring_testkit import otlp, ports, prom, servers, services
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.process import http_ok, running, wait_until

TRACES = 3000
SEED = 1
# Traces whose spans are sent together; all of a group arrive well within the wait.
GROUP_TRACES = 100
REQUESTS_PER_GROUP = 8
WAIT = "3s"
MS = 1_000_000
PERCENTAGES = (0.1, 1, 10, 50, 99.9)
SALT = "s1"
ZERO_ID = bytes(16)

Policy = dict[str, Any]


def _policy(kind: str, **block: Any) -> Policy:
    return {"name": f"{kind}-policy", "type": kind, **({kind: block} if block else {})}


ERRORS = _policy("status_code", status_codes=["ERROR"])
SLOW = _policy("latency", threshold_ms=500)
SOME = _policy("probabilistic", sampling_percentage=10)


def _sets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and further keys of ``tail_sampling`` of each pipeline."""
    single = {
        "always": _policy("always_sample"),
        "errors": ERRORS,
        "unset": _policy("status_code", status_codes=["UNSET"]),
        "okorerror": _policy("status_code", status_codes=["OK", "ERROR"]),
        "slow": SLOW,
        "ottlserver": _policy(
            "ottl_condition",
            span=["kind != SPAN_KIND_INTERNAL and status.code == STATUS_CODE_ERROR"],
        ),
        "ottllong": _policy(
            "ottl_condition",
            span=["end_time_unix_nano - start_time_unix_nano > 400 * 1000000"],
        ),
        "ottlmisfit": _policy(
            "ottl_condition",
            error_mode="propagate",
            span=["IsRootSpan()", 'attributes["none"] + 1 == 2'],
        ),
        "anyduration": _policy("latency", threshold_ms=0),
        "negative": _policy("latency", threshold_ms=-1),
        "window": _policy("latency", threshold_ms=300, upper_threshold_ms=500),
        "windowlong": _policy("latency", threshold_ms=499, upper_threshold_ms=10**9),
        "windownegative": _policy(
            "latency", threshold_ms=-(10**6), upper_threshold_ms=-1
        ),
    }
    for name, policy in single.items():
        yield name, {"policies": [policy]}
    for percentage in PERCENTAGES:
        for salt in ("", SALT):
            block: dict[str, Any] = {"sampling_percentage": percentage}
            if salt:
                block["hash_salt"] = salt
            policy = _policy("probabilistic", **block)
            name = f"share{percentage:g}{salt}".replace(".", "p")
            yield name, {"policies": [policy]}
    seed = [ERRORS, SLOW, SOME]
    yield "seed", {"policies": seed}
    yield "seedfirst", {"policies": seed, "sample_on_first_match": True}
    caches = {"sampled_cache_size": 100_000, "non_sampled_cache_size": 100_000}
    yield "seedcached", {"policies": seed, "decision_cache": caches}


SETS = {
    **dict(_sets()),
    **decision_sets_attributes.SETS,
    **decision_sets_compound.SETS,
}


# ---------------------------------------------------------------- the traces


def _times(rng: random.Random) -> tuple[int, int]:
    """Start and end of a span, most of them around the thresholds."""
    start_ns = otlp.EPOCH_NS + rng.randrange(3) * MS
    around = rng.choice([0, 1, 300, 499, 500, 501, 800]) * MS
    end_ns = start_ns + around + rng.choice([-MS, -1, 0, 1, MS - 1, MS])
    odd = rng.random()
    if odd < 0.02:
        return 0, end_ns
    if odd < 0.04:
        return start_ns, 0
    if odd < 0.06:
        return start_ns, start_ns - rng.randrange(1, 900 * MS)
    if odd < 0.07:
        return rng.randrange(2**64), rng.randrange(2**64)
    return start_ns, end_ns


def _span(rng: random.Random, trace_id: bytes, *, failing: bool) -> Span:
    start_ns, end_ns = _times(rng)
    fields: dict[str, Any] = {} if rng.random() < 0.5 else {"status": rng.randrange(2)}
    if failing and rng.random() < 0.4:
        fields = {"status": 2, "status_message": "no"}
    return otlp.span(
        trace_id,
        rng.randbytes(8),
        parent=rng.choice([b"", rng.randbytes(8)]),
        start_ns=start_ns,
        end_ns=end_ns,
        attributes={"number": rng.randrange(100)},
        **fields,
    )


def _request(rng: random.Random, spans: Sequence[Span]) -> bytes:
    """The spans in order, under several resources and scopes."""
    parts = []
    rest = list(spans)
    while rest:
        size = rng.randrange(1, 12)
        dress(rng, rest[:size])
        part = otlp.resource_spans(
            rest[:size],
            resource={"service.name": f"service-{rng.randrange(5)}"},
            scope=f"library-{rng.randrange(3)}",
        )
        dress_resource(rng, part)
        parts.append(part)
        del rest[:size]
    payload = otlp.request(*parts)
    # Half of them as no library writes them: both must read the same.
    return oddly(rng, payload) if rng.random() < 0.5 else payload


def _groups(seed: int) -> Iterator[list[bytes]]:
    """The requests of each group of traces, the spans scattered over all of them."""
    rng = random.Random(seed)
    # A trace id may be all zero; every other one is random.
    ids = [ZERO_ID, *otlp.trace_ids(TRACES - 1, seed=seed)]
    for at in range(0, TRACES, GROUP_TRACES):
        spans: list[Span] = []
        for trace_id in ids[at : at + GROUP_TRACES]:
            failing = rng.random() < 0.2
            count = rng.choice([1, 1, 2, 3, 5, 9])
            spans += [_span(rng, trace_id, failing=failing) for _ in range(count)]
        rng.shuffle(spans)
        step = -(-len(spans) // REQUESTS_PER_GROUP)
        yield [_request(rng, spans[n : n + step]) for n in range(0, len(spans), step)]


# ---------------------------------------------------------------- both sides


@dataclass(frozen=True)
class Side:
    """One of the two that decide: where it listens and shows its metrics."""

    port: int
    metrics_port: int

    def send(self, payloads: Sequence[bytes]) -> None:
        """Export requests one after the other: the order of arrival matters."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            export = channel.unary_unary(EXPORT_TRACES)
            for payload in payloads:
                export(payload, timeout=30)

    def wait_decided(self, traces: int) -> None:
        """Wait until so many decisions were made, over all pipelines."""
        name = "otelcol_processor_tail_sampling_global_count_traces_sampled"

        def decided() -> bool:
            page = prom.scrape(self.metrics_port)
            return page.total(name) + page.total(f"{name}_total") == traces

        wait_until(decided, f"{traces} decisions of {self}", timeout_s=60)


def _deciding(side: Side, exporters: Mapping[str, Any]) -> dict[str, Any]:
    """A receiver that feeds a ``tail_sampling`` for each set; exporters by set."""
    prometheus = {"host": "127.0.0.1", "port": side.metrics_port}
    endpoint = {"endpoint": f"127.0.0.1:{side.port}"}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": endpoint}}},
        "processors": {
            f"tail_sampling/{name}": {
                "decision_wait": WAIT,
                "num_traces": 100_000,
                **keys,
            }
            for name, keys in SETS.items()
        },
        "exporters": dict(exporters.values()),
        "service": {
            "telemetry": {
                "metrics": {
                    "readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]
                }
            },
            "pipelines": {
                f"traces/{name}": {
                    "receivers": ["otlp"],
                    "processors": [f"tail_sampling/{name}"],
                    "exporters": [exporters[name][0]],
                }
                for name in SETS
            },
        },
    }


def _file(folder: Path, name: str) -> tuple[str, dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    return f"file/{name}", {"path": str(path), "flush_interval": "100ms"}


@contextmanager
def _theirs(folder: Path) -> Iterator[Side]:
    side = Side(*ports.free_ports(2))
    config = _deciding(side, {name: _file(folder, name) for name in SETS})
    with servers.otelcol(config, folder):
        yield side


@contextmanager
def _written_down(folder: Path) -> Iterator[dict[str, int]]:
    """A collector that writes what each of its ports gets to a file."""
    taken = dict(zip(SETS, ports.free_ports(len(SETS)), strict=True))
    protocols = {
        name: {"grpc": {"endpoint": f"127.0.0.1:{port}"}}
        for name, port in taken.items()
    }
    config = {
        "receivers": {f"otlp/{n}": {"protocols": p} for n, p in protocols.items()},
        "exporters": dict(_file(folder, name) for name in SETS),
        "service": {
            "pipelines": {
                f"traces/{name}": {
                    "receivers": [f"otlp/{name}"],
                    "exporters": [f"file/{name}"],
                }
                for name in SETS
            }
        },
    }
    with servers.otelcol(config, folder):
        yield taken


@contextmanager
def _ours(folder: Path, backends: Mapping[str, int]) -> Iterator[Side]:
    side = Side(*ports.free_ports(2))
    exporters = {
        name: (
            f"otlp/{name}",
            {"endpoint": f"127.0.0.1:{port}", "tls": {"insecure": True}},
        )
        for name, port in backends.items()
    }
    config = _deciding(side, exporters)
    health = f"127.0.0.1:{ports.free_port()}"
    config["extensions"] = {"health_check": {"endpoint": health}}
    config["service"]["extensions"] = ["health_check"]
    path = folder / "sampler.yaml"
    path.write_text(yaml.safe_dump(config))
    with running(
        [services.command("tailring-sampler"), "--config", path],
        log=folder / "sampler.log",
        ready=http_ok(f"http://{health}/readyz"),
    ):
        yield side


Kept = dict[str, list[otlp.SpanRecord]]


@dataclass(frozen=True)
class Outcome:
    """What was sent, and what either side kept, by set of policies."""

    sent: list[otlp.SpanRecord]
    theirs: Kept
    ours: Kept


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Send everything to both, wait until both have decided, stop them."""
    folders = [tmp_path_factory.mktemp(name) for name in ("theirs", "ours")]
    sent: list[otlp.SpanRecord] = []
    with ExitStack() as stack:
        theirs = stack.enter_context(_theirs(folders[0]))
        backends = stack.enter_context(_written_down(folders[1]))
        ours = stack.enter_context(_ours(folders[1], backends))
        for payloads in _groups(SEED):
            for side in (theirs, ours):
                side.send(payloads)
            sent += [one for payload in payloads for one in otlp.spans_of(payload)]
        for side in (theirs, ours):
            side.wait_decided(TRACES * len(SETS))
    theirs_kept, ours_kept = (
        {name: servers.exported_spans(folder / f"{name}.jsonl") for name in SETS}
        for folder in folders
    )
    return Outcome(sent, theirs_kept, ours_kept)


def _ids(spans: Sequence[otlp.SpanRecord]) -> set[bytes]:
    # The file exporter writes the id of zeros as none.
    return {one.trace_id or ZERO_ID for one in spans}


@pytest.mark.parametrize("name", SETS)
def test_the_same_traces_are_kept(outcome: Outcome, name: str) -> None:
    """Not one of 3,000 traces is decided differently."""
    theirs, ours = _ids(outcome.theirs[name]), _ids(outcome.ours[name])
    different = [trace_id.hex() for trace_id in theirs ^ ours]
    print(f"{name}: kept {len(theirs)} of {TRACES}, different {len(different)}")  # noqa: T201 - the figures of a run
    assert different == []


@pytest.mark.parametrize("name", SETS)
def test_kept_traces_hold_the_same_spans(outcome: Outcome, name: str) -> None:
    """Every kept trace leaves whole, each span with its scope and resource, once."""
    # Both were written down by the same exporter, which adds an empty status.
    assert sorted(outcome.ours[name]) == sorted(outcome.theirs[name])
    kept = _ids(outcome.ours[name])
    sent = sum(one.trace_id in kept for one in outcome.sent)
    assert len(outcome.ours[name]) == sent


def test_the_input_tells_policies_apart(outcome: Outcome) -> None:
    """Nearly every set of policies keeps some traces and not others: the rest are
    bounds that nothing reaches, and say so by being few."""
    kept = {name: len(_ids(spans)) for name, spans in outcome.theirs.items()}
    assert kept["always"] == TRACES
    one_sided = {name: n for name, n in kept.items() if not 10 < n < TRACES - 10}
    assert len(one_sided) < len(SETS) / 4, one_sided
