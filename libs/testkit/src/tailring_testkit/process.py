"""Real programs as child processes of a test.

A child writes its output to a file, is waited for until it is ready, and is always
stopped by its pid: SIGTERM, and SIGKILL when that is not enough. A child that ends
early or never gets ready fails the test with the end of its output.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tailring_testkit import web

__all__ = [
    "Child",
    "ChildFailed",
    "Ready",
    "eventually",
    "http_ok",
    "logged",
    "port_open",
    "running",
    "wait_until",
]

_POLL_S = 0.02
_LOG_TAIL_CHARS = 4000


class ChildFailed(AssertionError):
    """Raised when a child ends early, is not ready in time or does not say a line."""


class Child:
    """A running program; made by `running`, or started and stopped by hand."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start ``command``; its output goes to ``log`` (appended)."""
        self.command = [str(word) for word in command]
        self.log_path = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},  # noqa: TID251 - children inherit PATH
                cwd=cwd,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def name(self) -> str:
        """The program's name, for messages."""
        return Path(self.command[0]).name

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def log(self) -> str:
        """What it has written so far."""
        return self.log_path.read_text(errors="replace")

    def failure(self, what: str) -> ChildFailed:
        """An error that says ``what``, with the exit code and the end of the log."""
        code = self._process.poll()
        state = "still runs" if code is None else f"ended with {code}"
        tail = self.log()[-_LOG_TAIL_CHARS:]
        return ChildFailed(f"{self.name} {what} ({state}):\n{tail}")

    def wait_ready(self, ready: Ready, *, timeout_s: float = 60.0) -> None:
        """Return once ``ready`` holds; raises `ChildFailed` when it never does."""
        deadline = time.monotonic() + timeout_s
        while not ready(self):
            if not self.alive():
                raise self.failure("ended before it was ready")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {timeout_s} s")
            time.sleep(_POLL_S)

    def wait_log(self, text: str, *, timeout_s: float = 20.0) -> None:
        """Return once ``text`` is in the log."""
        try:
            self.wait_ready(logged(text), timeout_s=timeout_s)
        except ChildFailed as error:
            raise self.failure(f"did not say {text!r}") from error

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        self._process.send_signal(number)

    def wait(self, *, timeout_s: float = 30.0) -> int:
        """Its exit code; raises `ChildFailed` when it does not end."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise self.failure(f"did not end within {timeout_s} s") from error

    def stop(self, *, grace_s: float = 30.0) -> int:
        """SIGTERM, after ``grace_s`` SIGKILL; returns the exit code. Safe twice."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL at once; returns the exit code."""
        self._process.kill()
        return self._process.wait()


Ready = Callable[[Child], bool]


def port_open(port: int, host: str = "127.0.0.1") -> Ready:
    """Ready when something accepts connections on the port."""

    def check(_child: Child) -> bool:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            return False
        return True

    return check


def http_ok(url: str) -> Ready:
    """Ready when a GET of ``url`` answers 200."""

    def check(_child: Child) -> bool:
        try:
            return web.get(url, timeout_s=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    return check


def logged(text: str) -> Ready:
    """Ready when ``text`` is in the child's log."""
    return lambda child: text in child.log()


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Ready,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Start a program, wait until it is ready, and stop it at the end."""
    child = Child(command, log=log, env=env)
    try:
        child.wait_ready(ready)
        yield child
    finally:
        child.stop()


def wait_until(
    condition: Callable[[], bool], what: str, *, timeout_s: float = 20.0
) -> None:
    """Return once ``condition()`` holds; fails saying that ``what`` did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(_POLL_S)


async def eventually(
    condition: Callable[[], bool], what: str, *, timeout_s: float = 20.0
) -> None:
    """As `wait_until`, while the event loop goes on."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - for what nobody announces
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s} s: {what}") from None
