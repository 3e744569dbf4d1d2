"""How much memory the process uses and may use, as Linux tells it, and giving it back.

Every reader takes the root of the file system, so that a test brings its own.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

__all__ = ["memory_total_bytes", "reclaim", "rss_bytes"]

ROOT = Path("/")
# cgroup v1 says "no limit" as the largest number of pages; no machine has 2**62 bytes.
UNLIMITED_BYTES = 2**62


def rss_bytes(root: Path = ROOT) -> int:
    """The resident memory of this process. Raises OSError where there is no /proc."""
    fields = (root / "proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_total_bytes(root: Path = ROOT) -> int:
    """What this process may use: its cgroup's limit (v2, then v1), else all memory.

    Raises OSError or ValueError where neither can be read.
    """
    limits = [*_limits_v2(root), *_limits_v1(root)]
    machine = _machine_bytes(root)
    return min([machine, *(limit for limit in limits if limit < UNLIMITED_BYTES)])


def reclaim() -> None:
    """Collect garbage and hand free pages back, so that `rss_bytes` shows it.

    Blocks the event loop for as long as a full collection takes. Without the trim the
    allocator keeps freed pages, and a process once over its limit would never recover.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _limits_v2(root: Path) -> list[int]:
    mount = root / "sys/fs/cgroup"
    folders = _folders(mount, _own_cgroup(root, controller=""))
    return _numbers([folder / "memory.max" for folder in folders])


def _limits_v1(root: Path) -> list[int]:
    mount = root / "sys/fs/cgroup/memory"
    folders = _folders(mount, _own_cgroup(root, controller="memory"))
    return _numbers([folder / "memory.limit_in_bytes" for folder in folders])


def _folders(mount: Path, own: str) -> list[Path]:
    # A limit of any ancestor counts. In a container the own path may name a folder of
    # the host that is not there; then only the mount's root is.
    folder = mount / own.strip("/")
    chain = [folder, *folder.parents]
    return chain[: chain.index(mount) + 1]


def _own_cgroup(root: Path, *, controller: str) -> str:
    """The path in ``/proc/self/cgroup``; lines are ``id:controllers:path``."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except FileNotFoundError:
        return ""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and ".." not in path:
            return path
    return ""


def _numbers(paths: list[Path]) -> list[int]:
    found = (path.read_text().strip() for path in paths if path.is_file())
    return [int(text) for text in found if text != "max"]


def _machine_bytes(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    raise ValueError("/proc/meminfo has no MemTotal")
