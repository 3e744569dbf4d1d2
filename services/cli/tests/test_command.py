"""The command line answers wrong usage and shows failures as sentences."""

from __future__ import annotations

import pytest

from tailring_cli.__main__ import main
from tailring_cli.errors import ChildDied


@pytest.mark.parametrize("value", ["0", "-1", "nan", "soon"])
def test_a_wrong_number_is_wrong_usage(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A duration or rate that is not more than 0 ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--seconds", value])
    assert stop.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the usage is shown, with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "demo" in capsys.readouterr().err


def test_a_dead_child_is_told_with_its_last_lines() -> None:
    """The sentence names the child, its exit code and what it wrote last."""
    text = str(ChildDied("router-1", code=2, last_lines="  port in use"))
    assert text == "router-1 ended on its own (exit code 2):\n  port in use"


def test_version_says_which_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names every package that can be compiled and the form in use."""
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for package in ("otlpwire", "hashring", "sampler"):
        assert f"{package} compiled" in text or f"{package} pure" in text


@pytest.mark.parametrize("trace_id", ["12", "zz" * 16, "1" * 33])
def test_a_wrong_trace_id_is_wrong_usage(
    trace_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`explain` takes 32 hex digits; anything else ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main(["explain", trace_id])
    assert stop.value.code == 2
    assert "32 hex digits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:1", "must begin with http://"),
        ("http://127.0.0.1:1", "does not answer"),
    ],
)
def test_explain_without_a_sampler_fails_in_a_sentence(
    url: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be asked ends with exit code 1 and says so."""
    with pytest.raises(SystemExit) as stop:
        main(["explain", "1" * 32, "--url", url])
    assert stop.value.code == 1
    assert said in capsys.readouterr().err
