"""Whether an address is free, asked before several sockets share it.

With SO_REUSEPORT a second service would share a taken port without an error, and get
half of the connections. So the address is bound once without it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from tailring_runtime.address import split_host_port
from tailring_runtime.errors import StartError

__all__ = ["check_free"]

# An address of a name that this host does not have is somebody else's business.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def check_free(endpoints: Iterable[str]) -> None:
    """Raise `StartError` for the first address that somebody listens on."""
    for endpoint in endpoints:
        host, port = split_host_port(endpoint)
        try:
            found = socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(found):
                _bind(family, address)
        except OSError as error:
            why = error.strerror or str(error)
            raise StartError(f"cannot listen on {endpoint}: {why}") from error


def _bind(family: int, address: tuple[object, ...]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
