"""The same seed, the same run: in any process, whatever stands where in memory.

A set of objects without a hash of their own is walked in the order of their addresses,
which no seed decides. Here tasks, futures and the router's parts are numbered as they
are made, and the number is their hash. Besides, all jitter comes from the seed.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, cast

from tailring_router.delivery import Delivery
from tailring_router.forwarder import Forwarder
from tailring_router.part import Part
from tailring_router.rests import Rest
from tailring_router.sending import Sending

__all__ = ["History", "number_tasks", "seeded"]

_HISTORY_MAX = 4000
_NUMBERED: tuple[type, ...] = (Delivery, Forwarder, Part, Rest, Sending)


class History:
    """What happened, line by line; the newest lines are kept, all are in the digest."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_HISTORY_MAX)
        self.count = 0
        self._hash = blake2b(digest_size=16)

    def note(self, text: str) -> None:
        """Write a line, with the present virtual time."""
        line = f"{asyncio.get_running_loop().time():10.4f} {text}"
        self.lines.append(line)
        self.count += 1
        self._hash.update(line.encode() + b"\n")

    @property
    def digest(self) -> str:
        """The same only for histories of the same bytes."""
        return self._hash.hexdigest()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, the router's objects are numbered and ``random`` begins at ``seed``."""
    numbers: dict[int, int] = {}
    state = random.getstate()
    undo = [_number_class(one, numbers) for one in _NUMBERED]
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
        for each in undo:
            each()


def number_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Number every task and future that ``loop`` makes from now on."""
    serial = itertools.count()

    class NumberedTask(asyncio.Task[Any]):
        """A task in the order of its birth."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._number = next(serial)
            super().__init__(*args, **kwargs)

        def __hash__(self) -> int:
            return self._number

    class NumberedFuture(asyncio.Future[Any]):
        """A future in the order of its birth."""

        def __init__(self) -> None:
            self._number = next(serial)
            super().__init__(loop=loop)

        def __hash__(self) -> int:
            return self._number

    def make_task(
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any],
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        return NumberedTask(coro, loop=loop, **kwargs)

    # To mypy a factory has a type of its own, and a method cannot be replaced.
    loop.set_task_factory(cast("Any", make_task))
    cast("Any", loop).create_future = NumberedFuture


def _number_class(cls: type, numbers: dict[int, int]) -> Callable[[], None]:
    """Number the instances; returns what undoes it. An address that is used again is
    numbered again, so no number outlives its object."""
    make = cls.__init__  # type: ignore[misc]  # the very same class, no subclass
    serial = itertools.count()

    def numbered(self: object, *args: Any, **kwargs: Any) -> None:
        numbers[id(self)] = next(serial)
        make(self, *args, **kwargs)

    def number_of(self: object) -> int:
        return numbers[id(self)]

    def undo() -> None:
        cls.__init__ = make  # type: ignore[misc]
        cls.__hash__ = object.__hash__  # type: ignore[method-assign,assignment]

    cls.__init__ = numbered  # type: ignore[misc]
    cls.__hash__ = number_of  # type: ignore[method-assign,assignment]
    return undo
