"""The threshold of a kept trace, written into the tracestate of its spans.

Every span gets ``th`` in the member ``ot`` unless its own is stricter. Spans whose
tracestate is unparseable stay as they are and are counted. All else in a span stays
byte for byte. Late spans get nothing, as in upstream's v0.161.

Pure. Most spans of a service have no tracestate or a few, so what becomes of one is
remembered, in bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailring_otlpwire import Piece, with_trace_states
from tailring_sampler.tracestate import with_threshold

__all__ = ["ThresholdWriter"]

# Tracestates times thresholds; a tracestate that parses has at most a kilobyte.
_REMEMBERED_MAX: Final = 4096
_REMEMBERED_BYTES_MAX: Final = 1024


class ThresholdWriter:
    """See the module's rules."""

    def __init__(self) -> None:
        self.unparseable_spans = 0
        self._threshold = 0
        self._written: dict[tuple[bytes, int], bytes | None] = {}

    def write(self, pieces: Sequence[Piece], threshold: int) -> list[Piece]:
        """The pieces of a trace that was kept with this threshold, below `NEVER`."""
        self._threshold = threshold
        return [
            Piece(
                piece.resource,
                piece.scope,
                with_trace_states(piece.spans, self._change),
            )
            for piece in pieces
        ]

    def _change(self, state: bytes) -> bytes | None:
        key = (state, self._threshold)
        if key in self._written:
            written = self._written[key]
        else:
            written = with_threshold(state, self._threshold)
            if len(self._written) >= _REMEMBERED_MAX:
                self._written.clear()
            if len(state) <= _REMEMBERED_BYTES_MAX:
                self._written[key] = written
        if written is None:
            self.unparseable_spans += 1
        return None if written == state else written
