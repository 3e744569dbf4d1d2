"""The demo's child processes: started, watched, always ended by their pid.

Each child runs in a session of its own, so that Ctrl-C in the terminal reaches the
demo alone, which then ends the children in the order of the data. A child's output
goes to a file; its last lines are shown when it ends on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tailring_cli.errors import ChildDied, NotReady

__all__ = ["Child", "ChildSpec", "start_child"]

_POLL_S = 0.05
_LOG_LINES_SHOWN = 15
_LOG_LINE_CHARS = 300
_KILL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start a child; ``ready_url`` answers 200 once it takes traffic."""

    name: str
    command: Sequence[str]
    ready_url: str


class Child:
    """One running process. `end` is safe twice and after the process is gone."""

    def __init__(
        self, spec: ChildSpec, *, process: asyncio.subprocess.Process, log: Path
    ) -> None:
        self.name = spec.name
        self._spec = spec
        self._process = process
        self._log = log
        self._ending = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def wait_ready(
        self, session: aiohttp.ClientSession, *, for_s: float, unless: asyncio.Event
    ) -> None:
        """Return once it is ready, or ``unless`` is set; raises `ChildDied` when it
        ends and `NotReady` when it takes longer than ``for_s``."""
        clock = asyncio.get_running_loop().time
        limit_s = clock() + for_s
        while not await _answers(session, self._spec.ready_url):
            if unless.is_set():
                return
            if self._process.returncode is not None:
                raise self._died()
            if clock() > limit_s:
                raise NotReady(self.name, waited_s=for_s, last_lines=self.last_lines())
            await asyncio.sleep(_POLL_S)

    async def watch(self) -> None:
        """Return when it was ended by us; raises `ChildDied` when it ends before."""
        await self._process.wait()
        if not self._ending:
            raise self._died()

    async def end(self, *, within_s: float) -> int:
        """SIGTERM and wait; SIGKILL after ``within_s``. Returns the exit code."""
        self._ending = True
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), within_s)
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await asyncio.wait_for(self._process.wait(), _KILL_TIMEOUT_S)
        code = self._process.returncode
        assert code is not None
        return code

    def last_lines(self) -> str:
        """The end of what it wrote."""
        lines = self._log.read_text(errors="replace").splitlines()
        shown = lines[-_LOG_LINES_SHOWN:]
        return "\n".join(f"  {line[:_LOG_LINE_CHARS]}" for line in shown)

    def _signal(self, number: signal.Signals) -> None:
        # It may have ended between the look and the signal.
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _died(self) -> ChildDied:
        code = self._process.returncode
        assert code is not None
        return ChildDied(self.name, code=code, last_lines=self.last_lines())


async def start_child(spec: ChildSpec, *, folder: Path) -> Child:
    """Start a child whose output goes to ``folder``; does not wait for readiness."""
    log = folder / f"{spec.name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(spec, process=process, log=log)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
