"""``service``: its pipelines and extensions name what is there."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tailring_runtime.config import (
    HEALTH_CHECK,
    ComponentId,
    ComponentType,
    ConfigError,
    ConfigModel,
    Loaded,
    Registry,
    load,
)


class Part(ConfigModel):
    """Stands for every component."""


class Picky(ConfigModel):
    """Stands for a component whose key does not fit every signal."""

    key: str = "spans"

    def unfit(self, signal: str) -> Iterable[tuple[str, str]]:
        """Everything but traces is wrong."""
        if signal != "traces":
            yield "key", f"unsupported key: {self.key}"


REGISTRY = Registry(
    "tailring-router",
    (
        ComponentType("receiver", "otlp", Part),
        ComponentType("exporter", "debug", Part),
        ComponentType("exporter", "picky", Picky),
        ComponentType("exporter", "files", Part, signals={"logs"}),
        HEALTH_CHECK,
    ),
)

PARTS = "{receivers: [otlp], exporters: [debug]}"
GOOD = """
receivers: {otlp: }
exporters: {debug: }
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
"""


def read(text: str) -> Loaded:
    return load(["env:CONF"], environ={"CONF": text}, registry=REGISTRY)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(one).removeprefix("env:CONF:") for one in caught.value.problems]


def with_service(service: str) -> str:
    return f"receivers: {{otlp: }}\nexporters: {{debug: , files: }}\n{service}"


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("", "service::pipelines: service must have at least one pipeline"),
        ("service: {pipelines: {}}", "service must have at least one pipeline"),
        ("service: []", "service: expected a map of keys, got a list"),
        (
            "service: {pipelines: {traces: {exporters: [debug]}}}",
            "service::pipelines::traces: must have at least one receiver",
        ),
        (
            "service: {pipelines: {traces: {receivers: [otlp], exporters: [files]}}}",
            'failed to create "files" exporter, in pipeline "traces": telemetry'
            " type is not supported",
        ),
        (
            "service: {extensions: [healthcheck], pipelines: {traces: {receivers:"
            " [otlp], exporters: [debug]}}}",
            "which is not defined; did you mean 'health_check'?",
        ),
        (
            "service: {extensions: [health_check], pipelines: {traces: {receivers:"
            " [otlp], exporters: [debug]}}}",
            "'health_check', which is not defined; define it under extensions",
        ),
        (
            "service: {pipelines: {traces: {receivers: 5, exporters: [debug]}}}",
            "expected a list of components, got the number 5",
        ),
        (
            "service: {pipelines: {traces: {receivers: otlp, exporters: [debug]}}}",
            "expected a list of components, got the text 'otlp'",
        ),
        (
            "service: {pipelines: {traces: {receivers: [5], exporters: [debug]}}}",
            "expected a component's name, got the number 5",
        ),
        (
            "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug],"
            " procesors: []}}}",
            "procesors: unknown key; did you mean 'processors'?",
        ),
        (
            "service: {pipelines: {traces/: {receivers: [otlp], exporters: [debug]}}}",
            "the part after / should not be empty",
        ),
        (
            "service: {pipelins: {}}",
            "service::pipelins: unknown key; did you mean 'pipelines'?",
        ),
    ],
)
def test_pipelines_are_checked(service: str, message: str) -> None:
    """A service needs pipelines whose ends exist and carry their signal."""
    assert any(message in text for text in problems(with_service(service)))


@pytest.mark.parametrize("section", ["receivers", "exporters"])
def test_a_part_named_twice_counts_once(section: str) -> None:
    """A receiver or exporter that a pipeline names twice is a warning, as upstream."""
    names = {"receivers": "[otlp]", "exporters": "[debug]"}
    twice = names[section].replace("]", f", {names[section][1:]}")
    loaded = read(GOOD.replace(f"{section}: {names[section]}", f"{section}: {twice}"))
    pipeline = loaded.config.service.pipelines[ComponentId("traces")]
    assert len(getattr(pipeline, section)) == 1
    assert "twice; once is enough" in loaded.warnings[0]


def test_connectors_are_refused_by_name() -> None:
    """A connector is an unknown component, not an unknown key."""
    found = problems(GOOD + "connectors: {spanmetrics: }\n")
    assert "unknown connector 'spanmetrics'; tailring-router knows none" in found[0]


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_a_pipeline_may_be_of_any_signal(signal: str) -> None:
    """Traces, logs and metrics are what components take unless they say otherwise."""
    service = f"service: {{pipelines: {{{signal}/a: {PARTS}}}}}"
    loaded = read(with_service(service))
    assert list(loaded.config.service.pipelines) == [ComponentId(signal, "a")]


def test_a_key_that_does_not_fit_names_the_pipeline() -> None:
    """What is wrong in pipelines of one signal only is told for each of those."""
    parts = "{receivers: [otlp], exporters: [picky]}"
    found = problems(
        f"receivers: {{otlp: }}\nexporters: {{picky: }}\nservice: {{pipelines:"
        f" {{traces: {parts}, logs/a: {parts}, metrics: {parts}}}}}"
    )
    told = "exporters::picky::key: unsupported key: spans (in pipeline"
    assert [text.partition(": ")[2] for text in found] == [
        f'{told} "logs/a")',
        f'{told} "metrics")',
    ]
