"""Free TCP and UDP ports on loopback.

A port is free when this process could bind it a moment ago; nothing reserves it
until the server that gets it binds it. Each test process (xdist worker) hands out
no port twice, and starts its search at a place of its own, below the range from
which the kernel takes ports for outgoing connections.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator

__all__ = ["free_port", "free_ports"]

_FIRST = 10_000
_LAST = 32_000  # Linux hands out 32768 and up to outgoing connections


def _candidates() -> Iterator[int]:
    span = _LAST - _FIRST
    start = os.getpid() * 97 % span
    return (_FIRST + (start + step) % span for step in itertools.count())


_source = _candidates()


def _bindable(port: int, host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that TCP and UDP could bind on ``host`` just now."""
    for port in itertools.islice(_source, _LAST - _FIRST):
        if _bindable(port, host):
            return port
    raise OSError(f"no free port between {_FIRST} and {_LAST} on {host}")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """``count`` different free ports on ``host``."""
    return [free_port(host) for _ in range(count)]
