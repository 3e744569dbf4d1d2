"""The words for what happens to a trace: its decision and the door it leaves by.

The same word stands in metric labels, log fields and test names.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["JUDGED", "Decision", "Door"]


class Decision(Enum):
    """What is known about a trace; the value is upstream's ``decision`` label."""

    PENDING = "pending"
    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"
    DROPPED = "dropped"

    # Members are singletons; Enum's own hash is a Python call for each look-up.
    __hash__ = object.__hash__


class Door(Enum):
    """How spans leave the sampler's hold; each span leaves by exactly one door."""

    # Judged on time, whole as far as it arrived.
    DECIDED = "decided"
    # Judged before its time because memory was short.
    DECIDED_EARLY_PRESSURE = "decided_early_pressure"
    # Judged before its time because the process stops.
    DECIDED_EARLY_SHUTDOWN = "decided_early_shutdown"
    # Came after the decision and followed it.
    LATE = "late"
    # The oldest, pushed out by `num_traces` before it was judged.
    EVICTED = "evicted"
    # Among the heaviest, thrown away unjudged because memory was short.
    EVICTED_PRESSURE = "evicted_pressure"
    # Given to another sampler, which owns the trace now.
    HANDED_OFF = "handed_off"
    # `drop_pending_traces_on_shutdown` threw it away.
    DISCARDED = "discarded"
    # Still held when the time to drain was over.
    ABANDONED = "abandoned"

    __hash__ = object.__hash__


# The doors at which the policies were asked.
JUDGED = (Door.DECIDED, Door.DECIDED_EARLY_PRESSURE, Door.DECIDED_EARLY_SHUTDOWN)
