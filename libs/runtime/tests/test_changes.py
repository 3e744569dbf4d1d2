"""When a configuration is read again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tailring_runtime.changes import Changes

_SOON_S = 0.3


async def test_a_signal_is_a_reason(tmp_path: Path) -> None:
    """SIGHUP is one whether or not a file is looked at or has changed."""
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    changes = Changes([str(file)], poll_s=0)
    with changes.following():
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            assert await changes.wait() == "SIGHUP"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(changes.wait(), _SOON_S)


async def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    """As a ConfigMap is updated: the path is the same, what it leads to is not."""
    old, new, link = (tmp_path / name for name in ("old", "new", "config.yaml"))
    old.write_text("a: 1")
    new.write_text("a: 2")
    link.symlink_to(old)
    changes = Changes([f"file:{link}", "yaml:b: 1"], poll_s=0.02)
    beside = tmp_path / "beside"
    beside.symlink_to(new)
    beside.replace(link)
    async with asyncio.timeout(5):
        assert await changes.wait() == "file"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(changes.wait(), _SOON_S)


async def test_a_touched_file_and_a_missing_one_are_no_change(tmp_path: Path) -> None:
    """The same bytes written again, and a file that is gone, give no reason."""
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    changes = Changes([str(file)], poll_s=0.02)
    file.write_text("a: 1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(changes.wait(), _SOON_S)
    file.unlink()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(changes.wait(), _SOON_S)
