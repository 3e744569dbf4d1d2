"""The named doors by which data is lost after a stage became accountable for it.

Data that is refused at the door is not lost: its sender was told and still holds it.
"""

from __future__ import annotations

from enum import Enum

from tailring_pipeline.consumer import Refused, Rejected

__all__ = ["Door"]

# Reasons of a stage behind that stops itself.
_STOPPING = frozenset({"draining", "shutdown", "terminated"})


class Door(Enum):
    """Why data is gone; the value is the metric label and the log field."""

    # No retry was left and no sender was waiting for the answer.
    REFUSED = "refused"
    # The other side will never take it and no sender was waiting for the answer.
    REJECTED = "rejected"
    # The sender went away before its batch was sent on.
    ABANDONED = "abandoned"
    # The process stopped before it was delivered.
    TERMINATED = "terminated"
    # It was acknowledged and written, and the disk gave something else back.
    DAMAGED = "damaged"

    @classmethod
    def of(cls, answer: Refused | Rejected) -> Door:
        """The door of data that was sent and answered so, with nobody to be told."""
        if isinstance(answer, Rejected):
            return cls.REJECTED
        if answer.reason == "abandoned":
            return cls.ABANDONED
        return cls.TERMINATED if answer.reason in _STOPPING else cls.REFUSED
