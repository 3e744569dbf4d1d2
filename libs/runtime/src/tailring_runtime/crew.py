"""One child of a supervisor: its process, what it said last, and how it is asked."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import sys
import time
from typing import Any

from tailring_runtime.channel import Channel
from tailring_runtime.feed import Answer, Ask, Report
from tailring_runtime.health import State
from tailring_runtime.series import Family

__all__ = ["Child", "describe_exit", "exit_code"]

# A worker whose event loop did not turn for so long is killed.
SILENT_MAX_S = 60.0
# Many that start at once share the cores; one that has not said a word by then hangs.
FIRST_BEAT_MAX_S = 300.0


class Child:
    """A running child; made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self._process = process
        self._channel = channel
        self._started_s = time.monotonic()
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self.report: Report | None = None
        self.was_running = False
        self._running = asyncio.Event()
        # The configuration that it runs, as it was sent.
        self.payload = b""
        self._gone = False
        self._ending = False
        # As it told them last.
        self.families: list[Family] = []

    @classmethod
    async def start(cls, module: str, name: str) -> Child:
        """Start a child, which waits for its task; it has a process group of its own,
        so that Ctrl-C in a terminal reaches the supervisor alone. Raises OSError when
        no process can be made."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "tailring_runtime.worker"),
                *(module, str(theirs.fileno()), name),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, await Channel.over(ours))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ran_s(self) -> float:
        """For how long it lives."""
        return time.monotonic() - self._started_s

    @property
    def ready(self) -> bool:
        """Whether it said last that it may be sent work."""
        return self.report is not None and self.report.ready

    @property
    def stays(self) -> bool:
        """Whether it lives, as far as is known, and was not told to `end`."""
        return not self._gone and not self._ending

    def give(self, task: object) -> None:
        """Send the task, once."""
        self._channel.send(task)

    def end(self, *, grace_s: float) -> None:
        """Have it drain and end; after ``grace_s`` it is killed."""
        self._ending = True
        self.send_signal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        loop.call_later(grace_s, self.send_signal, signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def first_answer(self) -> Any:
        """The one answer of a child with a small task; EOFError when it has none."""
        return await self._channel.receive()

    async def listen(self) -> None:
        """Take its messages until it closes its end, or is silent for too long."""
        limit_s = FIRST_BEAT_MAX_S
        try:
            while True:
                async with asyncio.timeout(limit_s):
                    message = await self._channel.receive()
                limit_s = SILENT_MAX_S
                self._take(message)
        except EOFError:
            return
        finally:
            self._gone = True
            self._running.set()
            for waiting in self._asked.values():
                waiting.cancel()
            self._asked.clear()

    async def wait_running(self) -> None:
        """Return once it has started. Raises EOFError when it never will."""
        await self._running.wait()
        if self._gone:
            raise EOFError

    async def ask(self, what: str, payload: bytes = b"", *, timeout_s: float) -> Any:
        """Its answer. Raises TimeoutError, or EOFError when it is gone."""
        if self._gone:
            raise EOFError
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._channel.send(Ask(number, what, payload))
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.wait({answer})
        finally:
            self._asked.pop(number, None)
        if answer.cancelled():
            raise EOFError
        return answer.result()

    async def wait(self) -> int:
        """Its exit code, as `subprocess` tells it."""
        code = await self._process.wait()
        self._channel.close()
        return code

    def _take(self, message: Report | Answer) -> None:
        if isinstance(message, Report):
            self.report = message
            self.was_running |= message.state is State.RUNNING
            if self.was_running:
                self._running.set()
            return
        waiting = self._asked.get(message.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(message.value)


def exit_code(returned: int) -> int:
    """The exit code that says the same of us; a child that was killed is a failure."""
    return 1 if returned < 0 else returned


def describe_exit(returned: int) -> str:
    """How a child ended, in words."""
    if returned >= 0:
        return f"exit code {returned}"
    return f"killed by {signal.Signals(-returned).name}"
