"""``service.telemetry``: both forms are taken, what is not honoured is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailring_runtime.config import TelemetryConfig
from tailring_runtime.config.types import FROM_FILE
from tailring_runtime.logs import LogSampling, LogSettings


def read(tree: dict[str, Any]) -> TelemetryConfig:
    return TelemetryConfig.model_validate(tree, context=dict(FROM_FILE))


def prometheus(**keys: object) -> dict[str, Any]:
    return {"pull": {"exporter": {"prometheus": {"host": "h", "port": 1, **keys}}}}


def refusal(tree: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        read(tree)
    (details,) = caught.value.errors()
    return ".".join(map(str, details["loc"])) + ": " + details["msg"]


def addresses(tree: dict[str, Any]) -> list[str] | None:
    endpoints = read({"metrics": tree}).metrics.endpoints()
    return None if endpoints is None else [one.address for one in endpoints]


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({}, None),
        ({"level": "detailed"}, None),
        ({"level": "Basic"}, None),
        ({"address": "0.0.0.0:8888"}, ["0.0.0.0:8888"]),
        ({"address": ":8888"}, [":8888"]),
        ({"readers": [prometheus()]}, ["h:1"]),
        ({"readers": [prometheus(host="::1")]}, ["[::1]:1"]),
        ({"readers": [prometheus()], "address": "a:2"}, ["h:1", "a:2"]),
        ({"readers": []}, []),
        ({"level": "none", "address": "a:2"}, []),
    ],
)
def test_metrics_are_served_where_the_file_says(
    tree: dict[str, Any], found: list[str] | None
) -> None:
    """Old and new form name addresses; level none and no readers mean nowhere."""
    assert addresses(tree) == found


def test_reader_keys_are_honoured() -> None:
    """Suffix keys and resource labels of a reader are kept."""
    keys: dict[str, Any] = {
        "without_type_suffix": True,
        "without_units": False,
        "without_scope_info": False,
        "with_resource_constant_labels": {
            "included": ["service.*"],
            "excluded": ["service.instance*"],
        },
    }
    endpoints = read({"metrics": {"readers": [prometheus(**keys)]}}).metrics.endpoints()
    assert endpoints is not None
    (reader,) = endpoints
    assert reader.without_type_suffix
    assert not reader.without_units
    assert not reader.without_scope_info
    labels = reader.with_resource_constant_labels
    names = ["service.name", "service.instance.id", "zone"]
    assert [name for name in names if labels.picks(name)] == ["service.name"]


def test_suffixes_are_on_and_units_off_by_default() -> None:
    """A reader that says nothing has _total, no units and no scope."""
    endpoints = read({"metrics": {"readers": [prometheus()]}}).metrics.endpoints()
    assert endpoints is not None
    assert not endpoints[0].without_type_suffix
    assert endpoints[0].without_units
    assert endpoints[0].without_scope_info


@pytest.mark.parametrize(
    ("tree", "where", "reason"),
    [
        (
            {"metrics": {"readers": [{"periodic": {}, **prometheus()}]}},
            "metrics.readers.0.periodic",
            "no periodic reader",
        ),
        ({"metrics": {"views": []}}, "metrics.views", "no views"),
        ({"metrics": {"readers": [{}]}}, "metrics.readers.0", "a reader needs pull"),
        ({"metrics": {"address": "foo"}}, "metrics", "missing port in address"),
        (
            {"metrics": {"readers": [prometheus(translation_strategy="x")]}},
            "metrics.readers.0.pull.exporter.prometheus.translation_strategy",
            "use without_type_suffix",
        ),
        ({"logs": {"processors": []}}, "logs.processors", "does not push logs"),
        ({"logs": {"development": True}}, "logs", "set level: debug"),
        ({"logs": {"error_output_paths": ["x"]}}, "logs", "go to stderr only"),
        ({"logs": {"level": "loud"}}, "logs.level", "got the text 'loud'"),
        ({"traces": {"level": "basic"}}, "traces", "write level: none"),
        ({"traces": {"processors": []}}, "traces.processors", "no traces of its own"),
        ({"resource": {"a": [1]}}, "resource", "must be a single value"),
        ({"resource": []}, "resource", "expected a map of attributes"),
        ({"resource": {"attributes": [{"name": "a"}]}}, "resource", "{name, value}"),
    ],
)
def test_what_is_not_honoured_is_refused_with_a_reason(
    tree: dict[str, Any], where: str, reason: str
) -> None:
    """A key of upstream's that would change nothing here is an error that says why."""
    found = refusal(tree)
    assert found.startswith(f"{where}: ")
    assert reason in found


def test_logs_have_the_defaults_of_the_collector() -> None:
    """An empty block logs at info to stderr as text, thinned out."""
    assert read({}).logs.settings() == LogSettings()


def test_every_key_of_logs_is_honoured() -> None:
    """Each key of the logs block reaches the logging set-up."""
    settings = read(
        {
            "logs": {
                "level": "WARN",
                "encoding": "json",
                "disable_caller": False,
                "disable_stacktrace": True,
                "development": False,
                "initial_fields": {"zone": "a"},
                "output_paths": ["stdout", "/var/log/x"],
                "error_output_paths": ["stderr"],
                "sampling": {"initial": 1, "thereafter": 2, "tick": "3s"},
            }
        }
    ).logs.settings()
    assert settings == LogSettings(
        level="warn",
        encoding="json",
        fields={"zone": "a"},
        outputs=("stdout", "/var/log/x"),
        caller=True,
        tracebacks=False,
        sampling=LogSampling(1, 2, tick_ns=3_000_000_000),
    )


@pytest.mark.parametrize("sampling", [{"enabled": False}, {"tick": 0}])
def test_log_sampling_can_be_switched_off(sampling: dict[str, object]) -> None:
    """With sampling off each line is logged."""
    assert read({"logs": {"sampling": sampling}}).logs.settings().sampling is None


def test_silent_traces_are_accepted() -> None:
    """Traces of level none are what there is anyway."""
    assert read({"traces": {"level": "None"}}).traces.level == "none"


def test_resource_has_two_forms() -> None:
    """Attributes are a map, or a list of name and value; null removes one."""
    tree = {
        "service.name": "x",
        "host.name": None,
        "attributes": [{"name": "n", "value": 5}, {"name": "b", "value": True}],
    }
    assert read({"resource": tree}).resource == {
        "service.name": "x",
        "host.name": None,
        "n": "5",
        "b": "true",
    }
