"""Reading memory from /proc and from control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailring_pipeline.memory import memory_total_bytes, reclaim, rss_bytes

MIB = 1024 * 1024
UNLIMITED_V1 = 9223372036854771712


def _write(root: Path, files: dict[str, str]) -> Path:
    base = {"proc/meminfo": "MemTotal:       8192000 kB\nMemFree: 1 kB\n"}
    for name, text in {**base, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path) -> None:
    """No control group at all leaves MemTotal."""
    assert memory_total_bytes(_write(tmp_path, {})) == 8192000 * 1024


@pytest.mark.parametrize(
    "files",
    [
        {"sys/fs/cgroup/memory.max": f"{512 * MIB}\n"},
        {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{512 * MIB}\n"},
    ],
    ids=["v2", "v1"],
)
def test_a_containers_limit_counts(tmp_path: Path, files: dict[str, str]) -> None:
    """Inside a container the mount's root holds the limit, in both versions."""
    assert memory_total_bytes(_write(tmp_path, files)) == 512 * MIB


@pytest.mark.parametrize(
    "files",
    [
        {"sys/fs/cgroup/memory.max": "max\n"},
        {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{UNLIMITED_V1}\n"},
    ],
    ids=["v2", "v1"],
)
def test_no_limit_in_a_control_group_is_none(
    tmp_path: Path, files: dict[str, str]
) -> None:
    """The words for "unlimited" of both versions leave MemTotal."""
    assert memory_total_bytes(_write(tmp_path, files)) == 8192000 * 1024


def test_the_least_limit_of_all_ancestors_counts(tmp_path: Path) -> None:
    """A limit on a parent slice bounds the process as well."""
    files = {
        "proc/self/cgroup": "0::/system.slice/tailring.service\n",
        "sys/fs/cgroup/system.slice/tailring.service/memory.max": "max\n",
        "sys/fs/cgroup/system.slice/memory.max": f"{256 * MIB}\n",
        "sys/fs/cgroup/memory.max": f"{512 * MIB}\n",
    }
    assert memory_total_bytes(_write(tmp_path, files)) == 256 * MIB


def test_the_own_group_of_version_1_counts(tmp_path: Path) -> None:
    """The line of the memory controller names the folder."""
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/pod/c1\n0::/x\n",
        "sys/fs/cgroup/memory/pod/c1/memory.limit_in_bytes": f"{128 * MIB}\n",
    }
    assert memory_total_bytes(_write(tmp_path, files)) == 128 * MIB


def test_a_group_of_the_host_that_is_not_mounted_is_passed_over(tmp_path: Path) -> None:
    """A path from outside the container leads back to the mount's root."""
    files = {
        "proc/self/cgroup": "0::/../../kubepods/pod1/c1\n",
        "sys/fs/cgroup/memory.max": f"{512 * MIB}\n",
    }
    assert memory_total_bytes(_write(tmp_path, files)) == 512 * MIB


def test_resident_memory_grows_with_what_is_held() -> None:
    """Holding 64 MiB more shows in the figure, and giving it back does too."""
    before = rss_bytes()
    held = bytearray(b"x" * (64 * MIB))
    with_it = rss_bytes()
    assert with_it - before > 48 * MIB
    del held
    reclaim()
    assert with_it - rss_bytes() > 48 * MIB
