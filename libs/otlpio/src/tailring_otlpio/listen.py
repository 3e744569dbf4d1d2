"""Listening sockets, bound by us so that `localhost` works where IPv6 is off."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Final

from tailring_runtime.address import split_host_port
from tailring_runtime.errors import StartError

__all__ = ["BACKLOG_MAX", "listening_sockets", "unix_socket"]

# Errors of one address of a name that do not matter when another one works.
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
# How many connections may wait to be accepted; beyond it a client waits a second.
BACKLOG_MAX: Final = 4096


async def listening_sockets(endpoint: str, *, reuse_port: bool) -> list[socket.socket]:
    """Sockets on every address of ``host:port``; an empty host is all interfaces.

    The caller owns them. Raises `StartError` when one is taken, or none exists here.
    """
    host, port = split_host_port(endpoint)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return _bind_all(found, reuse_port=reuse_port)
    except OSError as error:
        raise StartError(f"cannot listen on {endpoint} (HTTP): {error}") from error


def unix_socket(path: str) -> socket.socket:
    """A listening unix socket. Raises `StartError`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on {path} (HTTP): {error}") from error
    listener.listen(BACKLOG_MAX)
    listener.setblocking(False)
    return listener


def _bind_all(found: list[tuple], *, reuse_port: bool) -> list[socket.socket]:  # type: ignore[type-arg]  # getaddrinfo's own shape
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    port = 0
    for family, kind, protocol, _, address in dict.fromkeys(found):
        # All addresses of a name share the port that the first one got.
        wanted = (address[0], address[1] or port, *address[2:])
        try:
            listener = _bind((family, kind, protocol), wanted, reuse_port=reuse_port)
        except OSError as error:
            if error.errno in _ABSENT:
                absent = error
                continue
            for opened in listeners:
                opened.close()
            raise
        port = listener.getsockname()[1]
        listeners.append(listener)
    if not listeners and absent is not None:
        raise absent
    return listeners


def _bind(
    kind: tuple[int, int, int], address: tuple[str, int], *, reuse_port: bool
) -> socket.socket:
    listener = socket.socket(*kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG_MAX)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
