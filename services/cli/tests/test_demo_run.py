"""The demo runs as a user runs it: a process, its output, its exit code."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

_COMMAND = [sys.executable, "-m", "tailring_cli", "demo", "--plain", "--seed", "7"]
_TIMEOUT_S = 120


def test_a_short_demo_proves_every_kept_trace_whole() -> None:
    """Six seconds of traffic end with PASS, exit code 0 and no error output."""
    done = subprocess.run(
        [*_COMMAND, "--seconds", "6"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    verdict = re.search(r"PASS: (\d+) of (\d+) kept traces are whole", done.stdout)
    assert verdict is not None, done.stdout
    assert int(verdict[1]) == int(verdict[2]) > 0
    assert "≠" not in done.stdout


def test_ctrl_c_ends_the_demo_well(tmp_path: Path) -> None:
    """SIGINT while there is traffic ends the load; the proof is shown, exit code 0."""
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_COMMAND, "--seconds", "60"], stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(log, " whole traces", process)
            process.send_signal(signal.SIGINT)
            code = process.wait(_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
    text = log.read_text()
    assert code == 0, text
    assert "PASS: " in text
    assert "Traceback" not in text


def _wait_for(log: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    limit_s = time.monotonic() + _TIMEOUT_S
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit_s, log.read_text()
        time.sleep(0.1)
