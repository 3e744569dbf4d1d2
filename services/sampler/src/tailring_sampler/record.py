"""One trace as the sampler holds it.

A trace scattered over many requests must cost little more than a gathered one. So a
record keeps its pieces as a flat list of bytes and makes `Piece` objects when somebody
asks, and pieces of the same resource and scope that follow each other become one.

Acyclic: a record can never reach itself, so the garbage collector need not walk it.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire import Piece, TraceSummary
from tailring_sampler.doors import Decision

__all__ = ["NEVER", "NOWHERE", "NO_CLASS", "PART_BYTES", "READY", "TraceRecord"]

# Pieces are joined while the first is smaller than this; more would copy too much.
JOIN_BYTES_MAX: Final = 4096

# Values of `TraceRecord.slot` that are no slot number of the time wheel.
READY: Final = -1  # among the due records
NOWHERE: Final = -2  # neither in the wheel nor due: held, or no longer pending

# `TraceRecord.size_class` of a record that is in no size class.
NO_CLASS: Final = -1

# What a piece costs beside its bytes: three slots in the list, the bytes object and
# what the allocator adds to it.
PART_BYTES: Final = 112

# A deadline that no clock reaches.
NEVER: Final = 2**63 - 1

_PENDING: Final = Decision.PENDING


@mypyc_attr(acyclic=True)
class TraceRecord:
    """One trace of the live map: what came and when, and what was decided."""

    __slots__ = (
        "decided_ns",
        "decision",
        "due_ns",
        "first_ns",
        "header_bytes",
        "held",
        "last_ns",
        "live",
        "parts",
        "root_due_ns",
        "size_class",
        "slot",
        "summary",
        "trace_id",
    )

    def __init__(self, trace_id: bytes, first_ns: i64) -> None:
        self.trace_id: bytes = trace_id
        # Resource, scope and spans of each piece in turn; see the module.
        self.parts: list[bytes] = []
        self.summary: TraceSummary = TraceSummary()
        # Of the headers that came with this trace first; others may share them by now.
        self.header_bytes: i64 = 0
        self.first_ns: i64 = first_ns
        self.last_ns: i64 = first_ns
        self.due_ns: i64 = 0
        # When the wait after its root ends; NEVER without a root or such a wait.
        self.root_due_ns: i64 = NEVER
        self.slot: i64 = NOWHERE
        # Where the valid entry among the size classes is.
        self.size_class: i64 = NO_CLASS
        self.decided_ns: i64 = 0
        self.decision: Decision = _PENDING
        # Kept past its deadline until it is let go.
        self.held: bool = False
        # Still in the live map.
        self.live: bool = True

    @property
    def size_bytes(self) -> int:
        """The encoded spans, and the headers that came with this trace first."""
        return self.summary.byte_count + self.header_bytes

    @property
    def part_count(self) -> int:
        """The pieces as they are held, joined where they could be."""
        return len(self.parts) // 3

    @property
    def weight_bytes(self) -> int:
        """What letting go of the trace would free, about."""
        return self.size_bytes + PART_BYTES * self.part_count

    @property
    def pieces(self) -> list[Piece]:
        """The encoded spans under their headers, in order of arrival; made anew."""
        parts = self.parts
        return [
            Piece(parts[at], parts[at + 1], parts[at + 2])
            for at in range(0, len(parts), 3)
        ]

    def append(self, piece: Piece) -> None:
        """Take one more piece, the newest."""
        parts = self.parts
        resource = piece.resource
        scope = piece.scope
        size = len(parts)
        if (
            size > 0
            and len(parts[size - 1]) < JOIN_BYTES_MAX
            and parts[size - 3] == resource
            and parts[size - 2] == scope
        ):
            parts[size - 1] += piece.spans
        else:
            parts.append(resource)
            parts.append(scope)
            parts.append(piece.spans)

    def release(self) -> None:
        """Let go of the spans and of everything that is known of them."""
        self.parts = []
        self.header_bytes = 0
        self.summary = _NO_SUMMARY
        self.slot = NOWHERE
        self.size_class = NO_CLASS


# Shared by all decided records, so that they cost no summary of their own.
_NO_SUMMARY: Final = TraceSummary()
