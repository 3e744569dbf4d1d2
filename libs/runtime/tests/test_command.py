"""The command line of a service."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from tailring_runtime.command import ServiceCommand, main
from tailring_runtime.config import (
    ComponentType,
    ConfigError,
    ConfigModel,
    Loaded,
    Problem,
    Registry,
    Secret,
    Text,
)
from tailring_runtime.crew import Child
from tailring_runtime.errors import StartError
from tailring_runtime.feed import Feed
from tailring_runtime.settings import Settings
from tailring_testkit.ports import free_port

GOOD = """
receivers: {otlp: }
exporters: {debug: {token: hunter2, endpoint: "${env:WHERE:-there:1}"}}
service:
  telemetry: {logs: {encoding: json}}
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
"""


class Part(ConfigModel):
    """Stands for every component."""

    endpoint: Text = ""
    token: Secret | None = None


def registry() -> Registry:
    return Registry(
        "svc",
        (
            ComponentType("receiver", "otlp", Part),
            ComponentType("exporter", "debug", Part, deprecated={"logging"}),
        ),
    )


def ran(loaded: Loaded, settings: Settings, _feed: Feed) -> int:
    exporters = list(map(str, loaded.config.exporters))
    sys.stdout.write(f"ran {exporters} {settings.drain_timeout_s}\n")
    return 0


SERVICE = ServiceCommand(
    "svc", "A service.", version=lambda: "1.2 (pure)", registry=registry, run=ran
)


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A good configuration file."""
    file = tmp_path / "config.yaml"
    file.write_text(GOOD)
    return str(file)


def failing(error: Exception) -> Callable[..., int]:
    def run(*_arguments: object) -> int:
        raise error

    return run


@pytest.mark.parametrize("words", [["run"], []])
def test_run_is_the_default(
    words: list[str], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With or without the word run the service runs, and its code is returned."""
    assert main(SERVICE, [*words, "--config", path]) == 0
    assert capsys.readouterr().out == "ran ['debug'] 25.0\n"


def test_the_configuration_may_come_from_the_environment(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --config the file of TAILRING_CONFIG is read."""
    monkeypatch.setenv("TAILRING_CONFIG", path)
    assert main(SERVICE, []) == 0
    assert "ran" in capsys.readouterr().out


def test_the_default_file_is_named_when_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any configuration the default path is told and the code is 2."""
    monkeypatch.delenv("TAILRING_CONFIG", raising=False)
    assert main(SERVICE, []) == 2
    assert "/conf/config.yaml: cannot be read" in capsys.readouterr().err


def test_validate_says_valid_and_warns(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A valid configuration is said to be so, with its warnings, and nothing runs."""
    arguments = ["validate", "--config", path, "--set", "exporters.logging="]
    assert main(SERVICE, arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == "configuration is valid\n"
    assert "warning: --set exporters.logging=: exporters::logging" in captured.err


@pytest.mark.parametrize("word", ["run", "validate", "config"])
def test_a_bad_configuration_tells_every_problem(
    word: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each problem is a line on stderr and the exit code is 2."""
    sets = ["--set", "receivers.otlp.x=1", "--set", "exporters.kafka={}"]
    assert main(SERVICE, [word, "--config", path, *sets]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "svc: the configuration has 2 problems:",
        "  --set receivers.otlp.x=1: receivers::otlp::x: unknown key",
        "  --set exporters.kafka={}: exporters::kafka: unknown exporter 'kafka'; svc"
        " knows debug; keep others in an agent or gateway in front",
    ]


def test_a_disk_that_gives_no_answer_is_a_problem(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be read for reasons of the host is one sentence and no traceback."""

    def broken() -> Registry:
        """A component whose file cannot be read."""
        raise OSError(errno.EIO, "Input/output error")

    assert main(SERVICE._replace(registry=broken), ["--config", path]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "svc: the configuration has 1 problem:",
        "  it cannot be read: [Errno 5] Input/output error",
    ]


def test_a_first_reading_without_a_process_is_a_problem(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With workers a child reads the configuration; that none can be made at the very
    start is one sentence and no traceback."""

    async def start(_module: str, _name: str) -> Child:
        """None can be made."""
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Child, "start", start)
    service = SERVICE._replace(module="none", endpoints=lambda _: {})
    assert main(service, ["--config", path, "--workers", "2"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "svc: the configuration has 1 problem:",
        "  no process could be made to read it: [Errno 5] Input/output error",
    ]


def test_an_unset_variable_stands_below_the_problems(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that were not set are told where they may explain a problem."""
    monkeypatch.delenv("WHERE", raising=False)
    sets = ["--set", "receivers.otlp.x=1", "--set", "exporters.debug.y=${env:NOPE}"]
    assert main(SERVICE, ["validate", "--config", path, *sets]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("warning: the environment variable NOPE is not set")


def test_config_prints_the_effective_configuration(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merged, expanded file is printed with defaults and without secrets."""
    monkeypatch.setenv("WHERE", "here:2")
    assert main(SERVICE, ["config", "--config", path]) == 0
    out = capsys.readouterr().out
    assert "endpoint: here:2" in out
    assert "hunter2" not in out
    assert "level: info" in out


def test_several_files_are_merged(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each --config adds to those before it."""
    extra = tmp_path / "extra.yaml"
    extra.write_text("exporters: {debug: {endpoint: 'other:3'}}")
    assert main(SERVICE, ["config", "--config", path, "--config", str(extra)]) == 0
    assert "endpoint: other:3" in capsys.readouterr().out


def test_version_says_the_form(capsys: pytest.CaptureFixture[str]) -> None:
    """The version names the service and whether it is compiled."""
    assert main(SERVICE, ["--version"]) == 0
    assert capsys.readouterr().out == "svc 1.2 (pure)\n"


@pytest.mark.parametrize(
    "arguments", [["--nope"], ["run", "x"], ["resolve"], ["--conf", "x"]]
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown or abbreviated words and sub-commands a service lacks are told."""
    with pytest.raises(SystemExit) as caught:
        main(SERVICE, arguments)
    assert caught.value.code == 2
    assert "usage: svc" in capsys.readouterr().err


def test_help_lists_the_sub_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Help names every sub-command with a sentence."""
    with pytest.raises(SystemExit) as caught:
        main(SERVICE, ["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("run", "validate", "config", "healthcheck"))


def test_resolve_is_the_services_own(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that resolves prints its answer, and a failure is exit code 1."""

    def resolve(_loaded: Loaded, _settings: Settings) -> int:
        sys.stdout.write("10.0.0.1:4317\n")
        return 0

    service = SERVICE._replace(resolve=resolve)
    assert main(service, ["resolve", "--config", path]) == 0
    assert capsys.readouterr().out == "10.0.0.1:4317\n"
    service = SERVICE._replace(resolve=failing(StartError("no answer")))
    assert main(service, ["resolve", "--config", path]) == 1
    assert capsys.readouterr().err == "svc: no answer\n"


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (StartError("port taken"), "service cannot run"),
        (ZeroDivisionError("bug"), "service failed"),
    ],
)
def test_a_failure_at_run_time_is_logged(
    error: Exception, event: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the service raises is a log line with its reason, and exit code 1."""
    service = SERVICE._replace(run=failing(error))
    assert main(service, ["--config", path]) == 1
    err = capsys.readouterr().err
    assert f'"msg": "{event}"' in err
    assert str(error) in err


def test_a_problem_of_the_wiring_is_a_bad_configuration(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts that do not fit together are told like any other problem."""
    error = ConfigError((Problem("they do not fit"),))
    assert main(SERVICE._replace(run=failing(error)), ["--config", path]) == 2
    assert "  they do not fit\n" in capsys.readouterr().err


def test_warnings_are_logged_when_the_service_runs(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning of the configuration is a log line in the configured encoding."""
    assert main(SERVICE, ["--config", path, "--set", "exporters.logging="]) == 0
    err = capsys.readouterr().err
    assert err.count('"msg": "configuration warning"') == 2


def test_an_unwritable_log_is_told(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log file that cannot be opened stops the start with a sentence."""
    where = f"service.telemetry.logs.output_paths=[{tmp_path}/no/x.log]"
    assert main(SERVICE, ["--config", path, "--set", where]) == 1
    assert "cannot open the log output" in capsys.readouterr().err


def test_a_bad_setting_is_named(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process setting of the wrong type is told by its variable."""
    monkeypatch.setenv("TAILRING_DRAIN_TIMEOUT_S", "soon")
    assert main(SERVICE, ["--config", path]) == 2
    assert "svc: TAILRING_DRAIN_TIMEOUT_S: " in capsys.readouterr().err


def test_healthcheck_takes_its_endpoint_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --endpoint the address of TAILRING_HEALTH_ENDPOINT is asked."""
    endpoint = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TAILRING_HEALTH_ENDPOINT", endpoint)
    assert main(SERVICE, ["healthcheck"]) == 1
    assert endpoint in capsys.readouterr().err


def test_arguments_of_the_process_are_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called without arguments, main reads those of the process."""
    monkeypatch.setattr(sys, "argv", ["svc", "--version"])
    assert main(SERVICE) == 0
    assert "1.2" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["run", "validate"])
def test_an_unknown_feature_gate_is_a_usage_error(
    word: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every wrong gate of every option is told, with the nearest name, and exit 2."""
    gates = ("--feature-gates=+ottl.set.allowNill", "--feature-gates", "zzz")
    assert main(SERVICE, [word, "--config", path, *gates]) == 2
    told = capsys.readouterr().err
    assert "did you mean ottl.set.allowNil?" in told
    assert 'no such feature gate "zzz"' in told


def test_gates_of_the_command_line_come_after_the_environment(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service is run with the variable's gates followed by the options'."""

    def tell(_loaded: Loaded, settings: Settings, _feed: Feed) -> int:
        """Show what arrived."""
        sys.stdout.write(settings.feature_gates)
        return 0

    monkeypatch.setenv("TAILRING_FEATURE_GATES", "-service.partialReload")
    gates = "--feature-gates=+ottl.set.allowNil"
    assert main(SERVICE._replace(run=tell), ["run", "--config", path, gates]) == 0
    told = capsys.readouterr().out
    assert told == "-service.partialReload,+ottl.set.allowNil"


def test_feature_gates_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """The sub-command shows every known gate with its state and stage."""
    assert main(SERVICE, ["featuregate"]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["ID", "ENABLED", "STAGE"]
    assert ["ottl.set.allowNil", "true", "beta"] in rows
    assert ["service.partialReload", "false", "alpha"] in rows
