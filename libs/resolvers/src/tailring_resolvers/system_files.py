"""What /etc/hosts and /etc/resolv.conf say, now.

Both are read again when they change, because a pod's or a laptop's DNS may be
reconfigured while the process runs. A hosts file is kept parsed: it is looked at once
a lookup and may be long. Reading blocks for the time of a local file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["HOSTS", "RESOLV_CONF", "Hosts", "WatchedFile", "parse_hosts"]

HOSTS = Path("/etc/hosts")
RESOLV_CONF = Path("/etc/resolv.conf")

Hosts = dict[str, tuple[IPv4Address | IPv6Address, ...]]

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What ``parse`` makes of a file's text; parsed again when the file differs.

    A file that is missing or unreadable is an empty one, as the C library takes it.
    What ``parse`` raises passes through, at every call until the file is mended.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._seen: tuple[int, int, int] | None = None
        self._held: list[T] = []

    def read(self) -> T:
        """The value of the file as it is now."""
        seen = self._signature()
        if seen != self._seen or not self._held:
            self._held = []
            self._held.append(self._parse(self._text()))
            self._seen = seen
        return self._held[0]

    def _signature(self) -> tuple[int, int, int]:
        # Size and inode too: two writes within one tick of the file system's clock.
        try:
            found = os.stat(self._path)
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def parse_hosts(text: str) -> Hosts:
    """Addresses by lower-case name, in the order of the file; bad lines are passed."""
    found: dict[str, list[IPv4Address | IPv6Address]] = {}
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        if len(fields) < 2:
            continue
        try:
            address = ip_address(fields[0])
        except ValueError:
            continue
        for name in fields[1:]:
            found.setdefault(name.lower().removesuffix("."), []).append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}
