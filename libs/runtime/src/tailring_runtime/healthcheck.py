"""Asks a service whether it is ready, with the standard library only.

Docker, ECS and compose run it every few seconds, so it must start fast.
"""

from __future__ import annotations

import http.client

from tailring_runtime.address import split_host_port

__all__ = ["DEFAULT_ENDPOINT", "check"]

DEFAULT_ENDPOINT = "localhost:13133"

# A service that listens on every interface is asked on the loopback one.
_ANY_TO_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
ANSWER_BYTES_MAX = 4096


def check(endpoint: str, *, timeout_s: float) -> tuple[bool, str]:
    """Whether ``host:port[/path]`` answers 200, and a sentence about the answer."""
    if not endpoint:
        return False, "health is switched off (TAILRING_HEALTH_ENDPOINT is empty)"
    address, slash, path = endpoint.removeprefix("http://").partition("/")
    try:
        host, port = split_host_port(address)
    except ValueError as error:
        return False, f"unhealthy: {error}"
    host = _ANY_TO_LOOPBACK.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", slash + path or "/")
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"unhealthy: {endpoint}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    healthy = response.status == http.client.OK
    return healthy, f"{'healthy' if healthy else 'unhealthy'}: {body}"
