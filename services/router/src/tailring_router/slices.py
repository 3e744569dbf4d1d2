"""Much work in slices, between which others have their turn of the event loop.

A ring change gives back whatever waits for a backend, which may be hundreds of MiB that
are partitioned again. What comes first is done at once, as far as one turn of the loop
allows it; the rest follows in its order, a slice a turn. How much that is says the size
of the work and no clock, so that a simulation repeats itself.

It does not know what the work is. Who may be done with a piece before its turn comes
checks that when it comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeVar

__all__ = ["PIECE_BYTES", "TURN_BYTES", "Slices"]

T = TypeVar("T")

# To partition so much anew takes about a millisecond, to open or to close twenty
# connections likewise.
TURN_BYTES: Final = 128 << 10
PIECE_BYTES: Final = TURN_BYTES // 20


class Slices:
    """Work of one fleet; lives on one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Iterator[Callable[[], int]]] = deque()
        self._turns: deque[asyncio.Future[None]] = deque()
        self._left_bytes = TURN_BYTES
        self._handle: asyncio.Handle | None = None
        self._closed = False

    def each(self, pieces: Iterable[T], do: Callable[[T], int]) -> None:
        """Call ``do`` once with each of the pieces, in order: now or in later turns.

        It returns how many bytes it moved; a piece counts as `PIECE_BYTES` at least.
        """
        self._waiting.append(map(partial(partial, do), list(pieces)))
        self._run()

    async def turn(self) -> None:
        """Wait for a turn, before all that waits: not many are given out before others
        have theirs."""
        if not self._turns and self._left_bytes > 0:
            self._plan()
            self._left_bytes -= PIECE_BYTES
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(mine)
        self._run()
        await mine

    def close(self) -> None:
        """Do all that waits now, and from now on all at once."""
        self._closed = True
        self._run()

    def _run(self) -> None:
        # Before any work is done: should a piece fail, the others are not lost.
        self._plan()
        while self._turns and self._goes_on():
            mine = self._turns.popleft()
            if not mine.done():  # else cancelled
                self._left_bytes -= PIECE_BYTES
                mine.set_result(None)
        while self._waiting and self._goes_on():
            do = next(self._waiting[0], None)
            if do is None:
                self._waiting.popleft()
            else:
                self._left_bytes -= PIECE_BYTES
                self._left_bytes -= max(do() - PIECE_BYTES, 0)

    def _goes_on(self) -> bool:
        return self._closed or self._left_bytes > 0

    def _plan(self) -> None:
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._handle = None
        self._left_bytes = TURN_BYTES
        if self._turns or self._waiting:
            self._run()
