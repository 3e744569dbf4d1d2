"""From files to a typed configuration, or to all of its problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, model_validator

from tailring_runtime.config import (
    HEALTH_CHECK,
    ComponentId,
    ComponentType,
    ConfigError,
    ConfigModel,
    Duration,
    Headers,
    Int,
    Loaded,
    Registry,
    Text,
    load,
)


class Tls(ConfigModel):
    """A block two levels down."""

    insecure_word: Text = ""

    def advice(self) -> Iterable[str]:
        """Warn of a word."""
        return ("that word is odd",) if self.insecure_word == "odd" else ()


class Fussy(ConfigModel):
    """A component that is only valid when something is written."""

    word: Text = ""
    needed: Text

    @model_validator(mode="after")
    def _check(self) -> Fussy:
        if not self.word:
            raise ValueError("must specify a word")
        return self


class Part(ConfigModel):
    """Stands for every component."""

    refused: ClassVar[Mapping[str, str]] = {"auth": "no auth in this version"}

    endpoint: Text = "localhost:4317"
    timeout: Duration = Field(default=5_000_000_000, ge=0)
    size: Int = 1
    headers: Headers = Field(default_factory=dict)
    password: Text = ""
    key_file: Text = ""
    tls: Tls = Field(default_factory=Tls)
    many: tuple[Tls, ...] = ()


REGISTRY = Registry(
    "tailring-router",
    (
        ComponentType("receiver", "otlp", Part),
        ComponentType("processor", "batch", Part),
        ComponentType("processor", "fussy", Fussy),
        ComponentType("exporter", "load_balancing", Part, deprecated={"loadbalancing"}),
        ComponentType("exporter", "debug", Part, deprecated={"logging"}),
        ComponentType("exporter", "files", Part, signals={"logs"}),
        HEALTH_CHECK,
    ),
    {
        ("processor", "tail_sampling"): "it belongs to tailring-sampler;"
        " split the file in two"
    },
)

GOOD = """
receivers: {otlp: }
exporters: {debug: }
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
"""


def read(text: str, **environ: str) -> Loaded:
    return load(["env:CONF"], environ={"CONF": text, **environ}, registry=REGISTRY)


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    return [str(one).removeprefix("env:CONF:") for one in caught.value.problems]


def test_a_small_file_becomes_a_typed_tree() -> None:
    """Null components have their defaults and pipelines name them by id."""
    loaded = read(GOOD)
    otlp, debug = ComponentId("otlp"), ComponentId("debug")
    assert loaded.config.receivers == {otlp: Part()}
    pipeline = loaded.config.service.pipelines[ComponentId("traces")]
    assert pipeline.receivers == (otlp,)
    assert pipeline.processors == ()
    assert pipeline.exporters == (debug,)
    assert loaded.warnings == ()


def test_names_behind_a_slash_are_components_of_their_own() -> None:
    """Two components of one type are told apart by their names."""
    loaded = read(
        "receivers: {otlp/a: {endpoint: 'x:1'}, otlp/b: }\nexporters: {debug: }\n"
        "service: {pipelines: {traces/x: {receivers: [otlp/a, otlp/b],"
        " exporters: [debug]}}}"
    )
    model = loaded.config.receivers[ComponentId("otlp", "a")]
    assert isinstance(model, Part)
    assert model.endpoint == "x:1"
    assert list(loaded.config.service.pipelines) == [ComponentId("traces", "x")]


def test_variables_fill_text_and_numbers() -> None:
    """An expansion fits into a number, into a text and into a part of a text."""
    loaded = read(
        GOOD.replace(
            "otlp: ",
            "otlp: {endpoint: '0.0.0.0:${env:PORT}', size: '${env:SIZE}',"
            " timeout: '${env:T:-7s}', headers: {k: '${env:ZIP}'}}",
        ),
        PORT="4317",
        SIZE="500",
        ZIP="01234",
    )
    model = loaded.config.receivers[ComponentId("otlp")]
    assert isinstance(model, Part)
    assert (model.endpoint, model.size, model.timeout) == (
        "0.0.0.0:4317",
        500,
        7_000_000_000,
    )
    assert model.headers["k"].get_secret_value() == "01234"


def test_a_whole_component_may_come_from_a_variable() -> None:
    """A variable that holds a map is a block."""
    loaded = read(
        GOOD.replace("otlp: ", "otlp: '${env:BLOCK}'"), BLOCK="{endpoint: 'x:1'}"
    )
    model = loaded.config.receivers[ComponentId("otlp")]
    assert isinstance(model, Part)
    assert model.endpoint == "x:1"


def test_pipelines_may_come_from_a_variable() -> None:
    """A list of components can be one variable."""
    loaded = read(
        GOOD.replace("receivers: [otlp]", "receivers: '${env:R}'"), R="[otlp]"
    )
    pipeline = loaded.config.service.pipelines[ComponentId("traces")]
    assert pipeline.receivers == (ComponentId("otlp"),)


def test_a_former_name_works_with_a_warning() -> None:
    """A deprecated type keeps its id and says what it is called now."""
    loaded = read(GOOD.replace("debug", "logging"))
    assert list(map(str, loaded.config.exporters)) == ["logging"]
    (warning,) = loaded.warnings
    assert "exporters::logging: the exporter type logging is called debug" in warning


def test_a_variable_inside_a_number_makes_a_text() -> None:
    """Only a reference that is the whole value can be a number, as upstream."""
    (found,) = problems(GOOD.replace("otlp: ", "otlp: {size: '5${env:Z}'}"), Z="00")
    assert (
        found == "2: receivers::otlp::size: expected a whole number, got the text '500'"
    )


def test_an_empty_variable_is_a_component_with_defaults() -> None:
    """A component whose block came out empty is as one without a value."""
    loaded = read(GOOD.replace("otlp: ", "otlp: '${env:BLOCK}'"), BLOCK="")
    assert loaded.config.receivers[ComponentId("otlp")] == Part()


def test_a_reference_that_fails_is_one_problem() -> None:
    """What decoding makes of the unexpanded text is not told as well."""
    block = "{timeout: '${vault:x}', size: '${vault:y}', many: ['${vault:z}']}"
    text = GOOD.replace("otlp: ", f"otlp: {block}")
    assert [one.partition(";")[0] for one in problems(text)] == [
        "2: receivers::otlp::timeout: ${vault:..} is not supported",
        "2: receivers::otlp::size: ${vault:..} is not supported",
        "2: receivers::otlp::many[0]: ${vault:..} is not supported",
    ]


def test_an_unset_variable_is_a_warning() -> None:
    """A file that names a variable without value loads, and its operator is told."""
    loaded = read(GOOD.replace("otlp: ", "otlp: {endpoint: '${env:NOPE}'}"))
    assert "NOPE is not set" in loaded.warnings[0]


def test_an_unset_variable_is_told_beside_problems() -> None:
    """A refused configuration still says which variables were not set."""
    with pytest.raises(ConfigError) as caught:
        read(GOOD.replace("otlp: ", "otlp: {size: '${env:NOPE}', zzz: 1}"))
    assert "NOPE is not set" in caught.value.warnings[0]


def test_unused_components_are_warnings() -> None:
    """A component that no pipeline names is told with its line."""
    loaded = read(GOOD + "processors: {batch: }\nextensions: {health_check: }\n")
    assert loaded.warnings == (
        "env:CONF:7: processors::batch: the processor is defined but not used",
        "env:CONF:8: extensions::health_check: the extension is defined but not used",
    )


def test_advice_of_nested_blocks_is_a_warning_with_its_path() -> None:
    """What a valid block wants to say reaches the operator with its key path."""
    loaded = read(
        GOOD.replace(
            "otlp: ",
            "otlp: {tls: {insecure_word: odd}, many: [{}, {insecure_word: odd}]}",
        )
    )
    assert [warning.partition(" ")[2] for warning in loaded.warnings] == [
        "receivers::otlp::tls: that word is odd",
        "receivers::otlp::many[1]: that word is odd",
    ]


def test_every_problem_is_told_at_once() -> None:
    """Faults of every kind are in one answer, line by line, each with path and cure."""
    found = problems(
        """
receivers:
  otlp: {endpont: x, size: "1", auth: {}}
  kafka:
  otpl/x:
processors:
  batch: {timeout: 10}
  tail_sampling:
exporters:
  debug: {endpoint: "${vault:x}"}
exportesr: {}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: loud}}
  pipelines:
    traces:
      receivers: [otlp, oltp]
      processors: [batch, batch]
      exporters: []
    profiles: {receivers: [otpl/x], exporters: [debug]}
    traecs: {}
"""
    )
    expected = [
        "3: receivers::otlp::endpont: unknown key; did you mean 'endpoint'?",
        "3: receivers::otlp::auth: no auth in this version",
        "3: receivers::otlp::size: expected a whole number, got the text '1'",
        "4: receivers::kafka: unknown receiver 'kafka'; tailring-router knows otlp",
        "5: receivers::otpl/x: unknown receiver 'otpl'",
        "7: processors::batch::timeout: the duration 10 has no unit",
        "8: processors::tail_sampling: the processor tail_sampling is refused: it"
        " belongs to tailring-sampler; split the file in two",
        "10: exporters::debug::endpoint: ${vault:..} is not supported",
        "11: exportesr: unknown key; did you mean 'exporters'?",
        "13: service::extensions[0]: references the extension 'health_check', which",
        "14: service::telemetry::metrics::level: expected 'none', 'basic', 'normal'"
        " or 'detailed', got the text 'loud'",
        "16: service::pipelines::traces: must have at least one exporter",
        "17: service::pipelines::traces::receivers[1]: references the receiver 'oltp',"
        " which is not defined; did you mean 'otlp'?",
        "18: service::pipelines::traces::processors[1]: references the processor"
        " 'batch' twice",
        "20: service::pipelines::profiles: pipelines of profiles are not supported",
        "21: service::pipelines::traecs: unknown signal 'traecs'; did you mean",
    ]
    assert len(found) == len(expected)
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start)


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ("{needed: x}", "processors::fussy", "must specify a word"),
        ("{word: x}", "processors::fussy::needed", "is required"),
    ],
)
def test_what_a_whole_component_lacks_is_a_plain_sentence(
    body: str, path: str, message: str
) -> None:
    """A rule over several keys and a missing key are told without decoration."""
    (found,) = problems(GOOD + f"processors: {{fussy: {body}}}\n")
    assert found == f"7: {path}: {message}"


def test_unknown_components_name_the_way_out() -> None:
    """A component that no service of ours knows belongs in front of it."""
    (found,) = problems(
        GOOD.replace("{otlp: }", "{otlp: , kafka: }").replace("[otlp]", "[otlp, kafka]")
    )
    assert "keep others in an agent or gateway in front" in found


def test_another_component_is_no_misspelling() -> None:
    """What is called almost like a known component gets its name; otlphttp is not otlp
    written wrong."""
    for section, written, close in (
        ("receivers", "otlphttp", ""),
        ("processors", "bach", "; did you mean 'batch'?"),
    ):
        found = problems(f"{section}: {{{written}: }}\n")
        (told,) = [one for one in found if repr(written) in one]
        assert told.endswith(f"agent or gateway in front{close}")


def test_problems_come_in_the_order_of_the_sources(tmp_path: Path) -> None:
    """Those of the first file are told first, whatever is found first."""
    one, two = tmp_path / "z.yaml", tmp_path / "a.yaml"
    one.write_text(GOOD + "processors: {batch: {sise: 1}}\n")
    two.write_text("\nservise: {}\nreceivers: {otlp: {sise: 1}}\n")
    with pytest.raises(ConfigError) as caught:
        load([str(one), str(two)], environ={}, registry=REGISTRY)
    places = [problem.source for problem in caught.value.problems]
    assert places == [f"{one}:7", f"{two}:2", f"{two}:3"]


def test_a_component_defined_twice_is_a_problem() -> None:
    """Two keys that mean the same id are told."""
    found = problems(GOOD.replace("{otlp: }", "{otlp: , 'otlp ': }"))
    assert any("the component otlp is defined twice" in text for text in found)


@pytest.mark.parametrize("section", ["receivers", "exporters", "extensions"])
def test_a_section_must_be_a_map(section: str) -> None:
    """A list in the place of a section is one problem of the section."""
    with pytest.raises(ConfigError) as caught:
        load(
            ["env:C"],
            sets=[f"{section}=[a]"],
            environ={"C": GOOD},
            registry=REGISTRY,
        )
    assert caught.value.problems[0].message == "expected a map of keys, got a list"
    assert caught.value.problems[0].path == section


def test_files_are_named_in_problems(tmp_path: Path) -> None:
    """A problem carries the file and the line in which its key stands."""
    path = tmp_path / "router.yaml"
    path.write_text(GOOD.replace("otlp: ", "otlp: {zzz: 1}"))
    with pytest.raises(ConfigError) as caught:
        load([str(path)], environ={}, registry=REGISTRY)
    (problem,) = caught.value.problems
    assert problem.source == f"{path}:2"
    assert problem.path == "receivers::otlp::zzz"


def test_an_assignment_is_named_in_problems() -> None:
    """A problem that --set caused points at the assignment."""
    with pytest.raises(ConfigError) as caught:
        load(
            ["env:C"],
            sets=["receivers.otlp.zzz=1"],
            environ={"C": GOOD},
            registry=REGISTRY,
        )
    assert caught.value.problems[0].source == "--set receivers.otlp.zzz=1"
