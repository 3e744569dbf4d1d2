"""Children that die, sleep or do not listen are found out and ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tailring_cli.demo.processes import ChildSpec, start_child
from tailring_cli.errors import ChildDied, NotReady

_NOWHERE = "http://127.0.0.1:9/"  # the discard port: nothing answers HTTP there
_DEAF = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


def _spec(code: str) -> ChildSpec:
    return ChildSpec("child-1", (sys.executable, "-c", code), _NOWHERE)


async def test_a_child_that_dies_is_told_with_its_words(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A child that ends before it is ready raises with its exit code and output."""
    spec = _spec("print('no such port'); raise SystemExit(3)")
    child = await start_child(spec, folder=tmp_path)
    with pytest.raises(ChildDied, match="no such port") as died:
        await child.wait_ready(session, for_s=30, unless=asyncio.Event())
    assert (died.value.name, died.value.code) == ("child-1", 3)


async def test_a_child_that_never_answers_is_not_ready(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A child that runs but does not answer in time raises, and can be ended."""
    child = await start_child(_spec("import time; time.sleep(60)"), folder=tmp_path)
    with pytest.raises(NotReady):
        await child.wait_ready(session, for_s=0.2, unless=asyncio.Event())
    assert await child.end(within_s=10) == -15


async def test_waiting_ends_when_the_user_stops(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Waiting for readiness returns at once when the stop event is set."""
    child = await start_child(_spec("import time; time.sleep(60)"), folder=tmp_path)
    stop = asyncio.Event()
    stop.set()
    await child.wait_ready(session, for_s=30, unless=stop)
    assert await child.end(within_s=10) == -15


async def test_a_child_that_minds_no_signal_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after the time; ending twice is safe."""
    spec = _spec(f"{_DEAF}; time.sleep(60)")
    child = await start_child(spec, folder=tmp_path)
    while "up" not in child.last_lines():  # noqa: ASYNC110 - it has no other voice
        await asyncio.sleep(0.02)
    assert await child.end(within_s=0.2) == -9
    assert await child.end(within_s=0.2) == -9


async def test_a_watched_child_that_ends_alone_raises(tmp_path: Path) -> None:
    """Watching returns when we ended the child and raises when it ended itself."""
    alone = await start_child(_spec("raise SystemExit(0)"), folder=tmp_path)
    with pytest.raises(ChildDied):
        await alone.watch()
    ended = await start_child(_spec("import time; time.sleep(60)"), folder=tmp_path)
    await ended.end(within_s=10)
    await ended.watch()
