"""The health check: quick, and right about what it was told."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tailring_runtime.healthcheck import check
from tailring_runtime.web import listen
from tailring_testkit.ports import free_port

HEAVY = (
    *("grpc", "pydantic", "pydantic_settings", "yaml", "boto3", "aiohttp"),
    *("asyncio", "http.client", "dataclasses", "importlib.metadata"),
)
PROGRAM = """
import sys
from tailring_runtime.command import ServiceCommand, main
def never(*_): raise AssertionError("imported what healthcheck does not need")
code = main(
    ServiceCommand("svc", "d", version=never, registry=never, run=never, resolve=never),
    ["healthcheck", "--endpoint", sys.argv[1]],
)
print(sorted(set(sys.argv[2:]) & sys.modules.keys()))
sys.exit(code)
"""


class Handler(BaseHTTPRequestHandler):
    """Answers 200 at / and 503 elsewhere."""

    def do_GET(self) -> None:
        """Answer one request."""
        self.send_response(200 if self.path == "/" else 503)
        self.end_headers()
        self.wfile.write(b"body of " + self.path.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a health server."""
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("endpoint", "healthy", "answer"),
    [
        ("127.0.0.1:{}", True, "healthy: body of /"),
        ("localhost:{}", True, "healthy: body of /"),
        ("0.0.0.0:{}", True, "healthy: body of /"),
        (":{}", True, "healthy: body of /"),
        ("http://127.0.0.1:{}/", True, "healthy: body of /"),
        ("127.0.0.1:{}/readyz", False, "unhealthy: body of /readyz"),
    ],
)
def test_the_answer_decides(
    port: int, endpoint: str, healthy: bool, answer: str
) -> None:
    """Only the status 200 is healthy, and every interface is asked on loopback."""
    assert check(endpoint.format(port), timeout_s=5) == (healthy, answer)


def test_nobody_there_is_unhealthy() -> None:
    """A refused connection is an answer too."""
    healthy, answer = check(f"127.0.0.1:{free_port()}", timeout_s=5)
    assert not healthy
    assert "Connection refused" in answer


@pytest.mark.parametrize(
    ("endpoint", "answer"),
    [("", "switched off"), ("foo", "missing port"), ("no.invalid:1", "no.invalid")],
)
def test_a_bad_endpoint_is_unhealthy(endpoint: str, answer: str) -> None:
    """An endpoint that cannot be asked says why."""
    healthy, found = check(endpoint, timeout_s=5)
    assert not healthy
    assert answer in found


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP"),
        (b"", "not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, "healthy: xxx"),
        (b"HTTP/1.1 503 \r\n\r\n\xff", "unhealthy: "),
    ],
)
def test_strange_answers_are_bounded_and_told(answer: bytes, found: str) -> None:
    """What is no HTTP is unhealthy, and of an endless answer only the begin is read."""
    with listen("127.0.0.1:0") as server:
        thread = threading.Thread(target=_answer, args=(server, answer))
        thread.start()
        port = server.getsockname()[1]
        assert found in check(f"127.0.0.1:{port}", timeout_s=5)[1]
        thread.join()


def test_a_silent_server_is_unhealthy_in_time() -> None:
    """A server that never answers costs the timeout and no more."""
    with listen("127.0.0.1:0") as server:
        port = server.getsockname()[1]
        began_s = time.monotonic()
        healthy, answer = check(f"127.0.0.1:{port}", timeout_s=0.1)
    assert not healthy
    assert "timed out" in answer
    assert time.monotonic() - began_s < 2


def _answer(server: socket.socket, answer: bytes) -> None:
    with server.accept()[0] as connection, contextlib.suppress(OSError):
        connection.recv(1000)
        connection.sendall(answer)


def test_the_command_imports_nothing_heavy(port: int) -> None:
    """Asking for health loads neither pydantic nor grpc nor an event loop."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"127.0.0.1:{port}", *HEAVY],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["healthy: body of /", "[]"]
