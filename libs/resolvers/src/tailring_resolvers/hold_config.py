"""The key ``hold_down``, ours, of every resolver whose source may flap."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

from tailring_runtime.config import Duration

__all__ = ["HOLD_DOWN_TEXT", "HoldDuration"]

HOLD_DOWN_TEXT: Final = (
    "Ours: the least time between two changes of the ring; what comes sooner waits, and"
    " what comes back meanwhile is no change. 0: no wait. Long: a backend that left is"
    " dialled for that long."
)


def _not_negative(duration_ns: int) -> int:
    if duration_ns < 0:
        raise ValueError("must not be negative")
    return duration_ns


HoldDuration = Annotated[Duration, AfterValidator(_not_negative)]
