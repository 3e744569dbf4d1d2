"""An event loop whose clock jumps: hours of timers in milliseconds, always the same.

The loop never waits. When nothing is ready it moves its clock to the next timer, so
``asyncio.sleep``, timeouts and ``call_later`` work as usual and take no time at all.
Where nothing is ready and no timer is set a real loop would hang; this one raises
`Stalled`. So it does where code runs round and round and lets no time pass.

Only for code without sockets, threads and children: their time is real.

    @virtual_time
    async def test_the_second_wait_is_longer() -> None: ...
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

__all__ = ["Stalled", "run", "virtual_time"]

# Turns of the loop in one moment; whatever is not endless takes a few.
TURNS_MAX = 100_000

P = ParamSpec("P")
T = TypeVar("T")


class Stalled(Exception):
    """Raised when every task waits for what can never happen, or none waits."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` to its end on a loop of its own; its clock begins at 0 s."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


def virtual_time(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Make an asynchronous test one that runs in virtual time."""

    @functools.wraps(test)
    def on_virtual_loop(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return on_virtual_loop


class _JumpingSelector(selectors.DefaultSelector):
    """Passes the time that it is asked to wait instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._turns = 0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            self._turns += 1
            if self._turns > TURNS_MAX:
                raise Stalled("something runs for ever and no time passes")
            return ready
        self._turns = 0
        if timeout is None:
            raise Stalled("nothing is ready and no timer is set")
        self.now_s += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._jumping.now_s
