"""What may be written under ``tail_sampling``, and what is said of the rest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tailring_runtime.config import ConfigError, load, redacted
from tailring_sampler import components
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.errors import PluginError
from tailring_sampler.policies import (
    AlwaysSample,
    AlwaysSampleConfig,
    LatencyWindow,
    PolicyType,
    collect_types,
    policy_types,
)
from tailring_sampler.tracebuffer import ROOT_WAIT_OFF

SECOND_NS = 1_000_000_000

TIER2 = """
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 0.0.0.0:4317
processors:
  tail_sampling:
    decision_wait: 30s
    num_traces: 50000
    policies:
      - name: errors-policy
        type: status_code
        status_code:
          status_codes: [ERROR]
      - name: latency-policy
        type: latency
        latency:
          threshold_ms: 500
      - name: probabilistic-policy
        type: probabilistic
        probabilistic:
          sampling_percentage: 10
exporters:
  otlp:
    endpoint: jaeger-collector:4317
    tls:
      insecure: true
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [tail_sampling]
      exporters: [otlp]
"""


def loaded(text: str, folder: Path) -> TailSamplingConfig:
    """The ``tail_sampling`` of a whole file."""
    path = folder / "config.yaml"
    path.write_text(text)
    config = load([str(path)], environ={}, registry=components.registry()).config
    (model,) = config.processors.values()
    assert isinstance(model, TailSamplingConfig)
    return model


def read(keys: Mapping[str, Any], folder: Path) -> TailSamplingConfig:
    """A ``tail_sampling`` of these keys, in a file that is otherwise right."""
    tree = yaml.safe_load(TIER2)
    tree["processors"]["tail_sampling"] = dict(keys)
    return loaded(yaml.safe_dump(tree), folder)


def problems(keys: Mapping[str, Any], folder: Path) -> str:
    """All that is said of these keys."""
    with pytest.raises(ConfigError) as caught:
        read(keys, folder)
    return "\n".join(str(problem) for problem in caught.value.problems)


def policy(kind: str, block: object = None, name: str = "p") -> dict[str, Any]:
    """One entry of ``policies``."""
    written: dict[str, Any] = {"name": name, "type": kind}
    return written if block is None else {**written, kind: block}


def test_the_example_of_tier_2_is_read(tmp_path: Path) -> None:
    """The three seed policies and the waiting time come out as written."""
    model = loaded(TIER2, tmp_path)
    assert [one.name for one in model.named_policies()] == [
        "errors-policy",
        "latency-policy",
        "probabilistic-policy",
    ]
    assert (model.wait_ns, model.num_traces) == (30 * SECOND_NS, 50_000)


def test_defaults_are_upstreams(tmp_path: Path) -> None:
    """An empty block waits 30 s for 50,000 traces and keeps nothing."""
    model = read({}, tmp_path)
    assert model.wait_ns == 30 * SECOND_NS
    assert model.num_traces == 50_000
    assert model.decision_wait_from == "first"
    assert not model.sample_on_first_match
    assert list(model.advice()) == ["policies is empty: every trace will be dropped"]


@pytest.mark.parametrize("wait", ["0s", "-5s", "300ms", "1s"])
def test_at_least_a_second_is_waited(wait: str, tmp_path: Path) -> None:
    """Upstream's shortest wait is one batch of a second."""
    assert read({"decision_wait": wait}, tmp_path).wait_ns == SECOND_NS


@pytest.mark.parametrize(
    ("written", "longest_s"),
    [
        ({}, 300),
        ({"decision_wait": "300ms"}, 10),
        ({"decision_wait": "5s"}, 50),
        ({"decision_wait": "24h"}, 86_400),
        ({"decision_wait": "5s", "decision_wait_max": "5s"}, 5),
        ({"decision_wait": "5s", "decision_wait_max": "24h"}, 86_400),
    ],
)
def test_a_renewed_wait_ends(
    written: dict[str, Any], longest_s: int, tmp_path: Path
) -> None:
    """From first span to decision: ten waits unless said otherwise, at most a day."""
    model = read({"decision_wait_from": "last", **written}, tmp_path)
    assert model.wait_max_ns == longest_s * SECOND_NS
    assert not [said for said in model.advice() if "decision_wait" in said]


def test_a_longest_wait_that_nothing_renews_is_told(tmp_path: Path) -> None:
    """From the first span on there is one wait; another bound would mislead."""
    model = read({"decision_wait_max": "60s"}, tmp_path)
    assert any("decision_wait_from: last" in said for said in model.advice())


@pytest.mark.parametrize(
    ("written", "wait_ns"),
    [
        ("0s", ROOT_WAIT_OFF),
        ("-1s", ROOT_WAIT_OFF),
        ("1ns", 0),
        ("500ms", 0),
        ("1s", SECOND_NS),
        ("2.9s", 2 * SECOND_NS),
        ("2562047h", 24 * 3600 * SECOND_NS),
    ],
)
def test_the_wait_after_the_root_is_in_whole_seconds(
    written: str, wait_ns: int, tmp_path: Path
) -> None:
    """Rounded down as upstream does it; what is not above zero switches it off."""
    model = read({"decision_wait_after_root_received": written}, tmp_path)
    assert model.root_wait_ns == wait_ns


def test_off_values_of_missing_features_are_accepted(tmp_path: Path) -> None:
    """A key that this version has not may be written with the value for off."""
    keys = {
        "decision_wait_after_root_received": "0s",
        "block_on_overflow": False,
        "maximum_trace_size_bytes": 0,
        "sampling_strategy": "trace-complete",
        "num_shards": 1,
        "tail_storage": None,
        "expected_new_traces_per_sec": 10,
    }
    assert read(keys, tmp_path).num_shards == 1
    assert read({"num_shards": 0}, tmp_path).num_shards == 0


@pytest.mark.parametrize(("shards", "warned"), [(0, 0), (1, 0), (2, 1), (256, 1)])
def test_shards_are_taken_and_have_no_effect(
    shards: int, warned: int, tmp_path: Path
) -> None:
    """A sampler is one shard with all the limits, and says so at start."""
    model = read({"num_shards": shards}, tmp_path)
    said = [sentence for sentence in model.advice() if "num_shards" in sentence]
    assert len(said) == warned


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"block_on_overflow": True}, "not in this version"),
        ({"maximum_trace_size_bytes": 5}, "not in this version"),
        ({"sampling_strategy": "span-ingest"}, "not in this version"),
        (
            {"sampling_strategy": "x"},
            'invalid sampling_strategy "x", expected one of "trace-complete" or'
            ' "span-ingest"',
        ),
        ({"num_shards": 257}, "num_shards (257) must not exceed 256"),
        ({"tail_storage": "file_storage"}, "not in this version"),
        ({"decision_wait": 10}, "10s"),
        ({"decision_wait": "24h1ns"}, "decision_wait: longer than 24h"),
        ({"decision_wait": "2562047h"}, "decision_wait: longer than 24h"),
        ({"decision_wait_max": "25h"}, "decision_wait_max: longer than 24h"),
        ({"decision_wait_max": "29s"}, "decision_wait_max: shorter than decision_wait"),
        ({"decision_wait_max": "-1s"}, "decision_wait_max: shorter than decision_wait"),
        ({"num_traces": -1}, "greater than or equal to 0"),
        ({"decision_wait_from": "root"}, "'first' or 'last'"),
        ({"decision_wiat": "5s"}, "did you mean 'decision_wait'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    keys: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """A key is honoured or refused with a reason, never ignored."""
    assert said in problems(keys, tmp_path)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (policy("latency", name=""), "policy name cannot be empty"),
        ({"type": "latency"}, "policy name cannot be empty"),
        (None, "policy name cannot be empty"),
        (
            policy("latencyy"),
            'failed to create policy evaluator for "p": unknown sampling policy type'
            " latencyy",
        ),
        (policy("latencyy"), "did you mean 'latency'"),
        ({"name": "p"}, 'policy evaluator for "p": unknown sampling policy type '),
        (policy("status_code"), "expected at least one status code to filter on"),
        (
            policy("status_code", {"status_codes": ["error"]}),
            'unknown status code "error", supported: OK, ERROR, UNSET',
        ),
        (policy("latency", {"thresholdms": 5}), "did you mean 'threshold_ms'"),
        (policy("latency", {"threshold_ms": "5"}), "expected a whole number"),
        ({**policy("latency"), "latencyy": {}}, "did you mean 'latency'"),
        ({**policy("latency"), "probabilistic": {}}, "unknown key"),
        (
            policy("probabilistic", {"sampling_percentage": float("nan")}),
            "must be a number, not NaN",
        ),
        ("latency", "expected a map of keys"),
    ],
)
def test_a_wrong_policy_is_refused(entry: Any, said: str, tmp_path: Path) -> None:
    """The sentence is upstream's where it has one, and names the nearest word."""
    assert said in problems({"policies": [entry]}, tmp_path)


def test_every_wrong_policy_is_reported(tmp_path: Path) -> None:
    """Problems of several policies are told together, each with its place."""
    entries = [policy("nope"), policy("latency", {"x": 1}), policy("drop")]
    said = problems({"policies": entries}, tmp_path)
    assert len(said.splitlines()) == 3
    assert "policies" in said


def test_names_must_differ(tmp_path: Path) -> None:
    """Two policies of one name cannot be told apart in metrics."""
    entries = [policy("always_sample"), policy("latency")]
    assert 'duplicate policy name "p"' in problems({"policies": entries}, tmp_path)


@pytest.mark.parametrize("block", [None, {}])
def test_always_sample_needs_no_block(block: object, tmp_path: Path) -> None:
    """The block of always_sample may be absent or empty."""
    model = read({"policies": [policy("always_sample", block)]}, tmp_path)
    assert isinstance(model.named_policies()[0].policy, AlwaysSample)


def test_an_upper_bound_makes_a_window(tmp_path: Path) -> None:
    """Any upper threshold but 0, a negative one too, is tested on prefixes."""
    for upper in (10, -1):
        block = {"threshold_ms": 5, "upper_threshold_ms": upper}
        model = read({"policies": [policy("latency", block)]}, tmp_path)
        assert isinstance(model.named_policies()[0].policy, LatencyWindow)


def test_the_effective_configuration_shows_policies(tmp_path: Path) -> None:
    """What `config` prints has each policy with its own block."""
    path = tmp_path / "config.yaml"
    path.write_text(TIER2)
    config = load([str(path)], environ={}, registry=components.registry()).config
    shown = redacted(config)["processors"]["tail_sampling"]["policies"]
    assert shown[1] == {
        "name": "latency-policy",
        "type": "latency",
        "latency": {"threshold_ms": 500, "upper_threshold_ms": 0},
    }


@pytest.mark.parametrize("name", ["loadbalancing", "load_balancing"])
def test_a_file_of_both_tiers_is_refused(name: str, tmp_path: Path) -> None:
    """A load-balancing exporter is the router's; the file must be split."""
    with pytest.raises(ConfigError, match="tailring-router"):
        loaded(
            TIER2.replace("otlp:\n    endpoint: jaeger", f"{name}:\n    endpoint: x"),
            tmp_path,
        )


# ---------------------------------------------------------------- plug-ins


PLUGIN = PolicyType("mine", AlwaysSampleConfig, lambda _config: AlwaysSample())
SAME = PolicyType("latency", AlwaysSampleConfig, lambda _config: AlwaysSample())
NOT_A_TYPE = 5


def entry_points(*names: str) -> Iterator[EntryPoint]:
    """Entry points to the constants of this module."""
    for name in names:
        yield EntryPoint(name, f"{__name__}:{name}", "tailring.policies")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module under its own name, which the import mode does not give it."""
    module = ModuleType(__name__)
    module.__dict__.update(globals())
    monkeypatch.setitem(sys.modules, __name__, module)


@pytest.mark.usefixtures("importable")
def test_a_plug_in_adds_a_type() -> None:
    """A policy type behind an entry point stands beside the built-in ones."""
    types = collect_types(policy_types().values(), entry_points("PLUGIN"))
    assert types["mine"] is PLUGIN
    assert "latency" in types


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SAME", 'brings the policy type "latency", which exists already'),
        ("NOT_A_TYPE", "is not a PolicyType"),
        ("ABSENT", "cannot be loaded"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named(name: str, said: str) -> None:
    """A broken plug-in is an error, not a policy less."""
    with pytest.raises(PluginError, match=said):
        collect_types(policy_types().values(), entry_points(name))
