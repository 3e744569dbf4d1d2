"""Asks a service whether it is ready, with a socket and nothing else.

Docker, ECS and compose run it every few seconds, so it must start fast: http.client
alone (which brings the parser of e-mail along) would double its cost.
"""

from __future__ import annotations

import socket
import time

from tailring_runtime.address import join_host_port, split_host_port

__all__ = ["DEFAULT_ENDPOINT", "check"]

DEFAULT_ENDPOINT = "localhost:13133"

# A service that listens on every interface is asked on the loopback one.
_ANY_TO_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
# Status line, headers and body together; ours are a few hundred bytes.
ANSWER_BYTES_MAX = 16_384


def check(endpoint: str, *, timeout_s: float) -> tuple[bool, str]:
    """Whether ``host:port[/path]`` answers 200, and a sentence about the answer."""
    if not endpoint:
        return False, "health is switched off (TAILRING_HEALTH_ENDPOINT is empty)"
    address, slash, path = endpoint.removeprefix("http://").partition("/")
    try:
        host, port = split_host_port(address)
        host = _ANY_TO_LOOPBACK.get(host, host)
        status, body = _get(host, port, path=slash + path or "/", timeout_s=timeout_s)
    except (OSError, ValueError) as error:
        return False, f"unhealthy: {endpoint}: {str(error) or type(error).__name__}"
    healthy = status == 200
    return healthy, f"{'healthy' if healthy else 'unhealthy'}: {body}"


def _get(host: str, port: int, *, path: str, timeout_s: float) -> tuple[int, str]:
    """Status and body of one HTTP/1.0 request; the whole of it takes ``timeout_s``."""
    end_s = time.monotonic() + timeout_s
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        authority = join_host_port(host, port)
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n".encode())
        answer = b""
        while len(answer) < ANSWER_BYTES_MAX:
            connection.settimeout(max(0.001, end_s - time.monotonic()))
            chunk = connection.recv(ANSWER_BYTES_MAX)
            if not chunk:
                break
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    return int(words[1]), body.decode("utf-8", "replace").strip()
