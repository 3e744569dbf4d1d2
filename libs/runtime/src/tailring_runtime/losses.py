"""What a stage lost although it had been acknowledged.

A stage that answers for data before it is delivered (a queue that acknowledges early,
the sampler with its pending traces) implements `Losing`. The lifecycle asks it before
the drain and after `terminate`; what has grown meanwhile is logged and makes the stop
unclean.

Lost is what its sender was told is safe and nobody has. Not lost: what was refused to
a sender who still waited or had gone away, what the other side rejected for good, and
what the configuration says shall be thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Losing", "Loss"]


@dataclass(frozen=True, slots=True)
class Loss:
    """Acknowledged spans that are lost; ``traces`` where a stage knows traces."""

    spans: int = 0
    traces: int = 0

    def __bool__(self) -> bool:
        return self.spans > 0 or self.traces > 0

    def since(self, before: Loss) -> Loss:
        """What was lost after ``before`` was asked for."""
        return Loss(self.spans - before.spans, self.traces - before.traces)

    def __add__(self, other: Loss) -> Loss:
        return Loss(self.spans + other.spans, self.traces + other.traces)


@runtime_checkable
class Losing(Protocol):
    """A stage that can say what it lost; others are believed to lose nothing."""

    @property
    def name(self) -> str:
        """The component's id, for the log line."""

    @property
    def loss(self) -> Loss:
        """All that was lost since the stage was made; never shrinks."""
