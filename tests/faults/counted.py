"""What the files of the backends say of a load that was pressed through."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tailring_testkit.numbered import SPANS_PER_TRACE, Load
from tailring_testkit.pressure import Pressed

__all__ = ["Counted", "counted"]


@dataclass(frozen=True, slots=True)
class Counted:
    """``lost``: spans of acknowledged requests that no backend has. ``duplicates``: how
    often a span was taken that had been taken before. ``split_traces``: traces that
    came to several backends."""

    acknowledged: int
    lost: int
    duplicates: int
    split_traces: int


def counted(load: Load, pressed: Pressed, taken: Sequence[array[int]]) -> Counted:
    """Hold what each backend took against the load: every span once."""
    times = bytearray(load.spans)
    owner = bytearray(load.traces)
    split: set[int] = set()
    for backend, numbers in enumerate(taken, start=1):
        for trace in _ticked(numbers, times):
            if owner[trace] not in (0, backend):
                split.add(trace)
            owner[trace] = backend
    duplicates = sum(map(len, taken)) - (load.spans - times.count(0))
    lost = sum(
        not times[number - 1]
        for request in pressed.acknowledged
        for number in load.numbers_of(request)
    )
    acknowledged = len(pressed.acknowledged) * load.spans_per_request
    return Counted(acknowledged, lost, duplicates, len(split))


def _ticked(numbers: array[int], times: bytearray) -> Iterable[int]:
    """Tick the spans off; yields the trace of each."""
    for number in numbers:
        at = number - 1
        times[at] = min(times[at] + 1, 255)
        yield at // SPANS_PER_TRACE
