"""Which policy kept a trace, written into the scopes of its spans.

As upstream's gate `recordpolicy`: attributes of the instrumentation scope, not of
spans.

* ``tailsampling.policy``: the name as it is configured.
* ``tailsampling.composite_policy``: the sub-policy by which the last `composite` voted
  for the trace, whatever policy is recorded.
* ``tailsampling.cached_decision``: true on late spans that a decision cache answered
  for. Late spans of traces in the live map get no attributes.

Pure. Headers are shared by traces, so what was written into one is remembered, in
bounds: many traces cost one rewriting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tailring_otlpwire import (
    SCOPE_TRUE,
    Piece,
    WireError,
    scope_text,
    with_scope_attributes,
)
from tailring_sampler.threshold_writing import ThresholdWriter

__all__ = ["KeptWriters", "PolicyRecorder"]

POLICY: Final = "tailsampling.policy"
COMPOSITE_POLICY: Final = "tailsampling.composite_policy"
CACHED_DECISION: Final = "tailsampling.cached_decision"

# Scopes times policies; all are forgotten when there are more.
_REMEMBERED_MAX: Final = 4096
# Larger headers are written anew each time, so that memory stays in bounds.
_REMEMBERED_BYTES_MAX: Final = 4096


class PolicyRecorder:
    """Writes the attributes; see the module's rules."""

    def __init__(self) -> None:
        self._written: dict[tuple[bytes, str, str, bool], bytes] = {}

    def judged(
        self, pieces: Sequence[Piece], policy: str, composite: str = ""
    ) -> list[Piece]:
        """The pieces of a trace that was kept now; "" is not written."""
        return [self._piece(piece, (policy, composite, False)) for piece in pieces]

    def cached(self, pieces: Sequence[Piece], policy: str) -> list[Piece]:
        """Late pieces that a decision cache answered for; "" is not known."""
        return [self._piece(piece, (policy, "", True)) for piece in pieces]

    def _piece(self, piece: Piece, what: tuple[str, str, bool]) -> Piece:
        scope = piece.scope
        key = (scope, *what)
        written = self._written.get(key)
        if written is None:
            written = _written(scope, _attributes(*what))
            if len(self._written) >= _REMEMBERED_MAX:
                self._written.clear()
            if len(written) <= _REMEMBERED_BYTES_MAX:
                self._written[key] = written
        return Piece(piece.resource, written, piece.spans)


class KeptWriters(NamedTuple):
    """What is written into kept traces; None is not written."""

    recorder: PolicyRecorder | None = None
    thresholds: ThresholdWriter | None = None


def _attributes(policy: str, composite: str, cached: bool) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    if composite:
        found[COMPOSITE_POLICY] = scope_text(composite)
    if policy:
        found[POLICY] = scope_text(policy)
    if cached:
        found[CACHED_DECISION] = SCOPE_TRUE
    return found


def _written(scope: bytes, attributes: Mapping[str, bytes]) -> bytes:
    try:
        return with_scope_attributes(scope, attributes)
    except WireError:
        # Malformed inside, where no request is looked into: the backend decides on it,
        # as it does on every other span.
        return scope
