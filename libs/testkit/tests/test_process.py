"""Children: started, awaited, stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tailring_testkit import ports
from tailring_testkit.process import Child, ChildFailed, http_ok, logged, running

_SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port={port})"
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(60)"
)


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_child_is_ready_when_it_answers(tmp_path: Path) -> None:
    """The block is entered once the page answers 200, and the child is gone after."""
    port = ports.free_port()
    ready = http_ok(f"http://127.0.0.1:{port}/")
    command = _python(_SERVE.format(port=port))
    with running(command, log=tmp_path / "log", ready=ready) as child:
        assert child.alive()
        assert ready(child)
    assert not child.alive()
    assert not ready(child)


def test_child_that_ends_early_shows_its_output(tmp_path: Path) -> None:
    """The failure holds the exit code and the last words of the child."""
    command = _python("import sys; print('no such file'); sys.exit(3)")
    with (
        pytest.raises(ChildFailed, match=r"(?s)ended with 3.*no such file"),
        running(command, log=tmp_path / "log", ready=logged("never")),
    ):
        pass


def test_stubborn_child_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed once its grace is over."""
    child = Child(_python(_STUBBORN), log=tmp_path / "log")
    child.wait_log("up")
    assert child.stop(grace_s=0.1) == -9


def test_missing_line_fails(tmp_path: Path) -> None:
    """Waiting for a line that never comes names the line."""
    child = Child(_python(_STUBBORN), log=tmp_path / "log")
    child.wait_log("up")
    with pytest.raises(ChildFailed, match="did not say 'down'"):
        child.wait_log("down", timeout_s=0.1)
    child.kill()


def test_environment_is_added(tmp_path: Path) -> None:
    """What ``env`` names is seen by the child, beside what it inherits."""
    code = "import os; print(os.environ['TAILRING_X'], 'PATH' in os.environ)"
    child = Child(_python(code), log=tmp_path / "log", env={"TAILRING_X": "1"})
    assert child.wait() == 0
    assert child.log() == "1 True\n"
