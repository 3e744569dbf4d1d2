"""Policy `trace_state`: a trace is kept by a member of a span's tracestate.

A tracestate that breaks a rule of W3C's Trace Context does not count at all, as
upstream: a key or a value of other characters or too long, a key that comes twice, a
member without value, more than 32 members. Empty members are passed over. Blanks and
tabs count neither left of a key nor right of a value.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import Field

from tailring_otlpwire import trace_states
from tailring_runtime.config import ConfigModel, Text, TextList
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["TRACE_STATE", "TraceState", "TraceStateConfig", "members"]

MEMBERS_MAX: Final = 32
# Values are ignored that would not fit into a member, as upstream counts.
MEMBER_BYTES_MAX: Final = 256
_BLANKS: Final = b" \t"
_KEY: Final = re.compile(
    rb"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
)
# 0x20 to 0x7e but for the comma and the equals sign; the last one is no blank.
_VALUE: Final = re.compile(
    rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class TraceStateConfig(ConfigModel):
    """Keeps a trace with one of these values in a span's tracestate."""

    key: Text = Field(default="", description="Key of the member.")
    values: TextList = Field(default=(), description="Values of which any will do.")


class TraceState:
    """Votes by one member of the spans' tracestates."""

    needs: Final = Needs.SPANS

    def __init__(self, config: TraceStateConfig) -> None:
        self._key = config.key.encode()
        self._values = frozenset(
            value
            for value in (one.encode() for one in config.values)
            if value and len(self._key) + len(value) < MEMBER_BYTES_MAX
        )
        # Stands in every tracestate that may fit.
        self._part = self._key + b"="

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when any span has one of the values."""
        if not self._values:
            return NOT_SAMPLED
        for piece in trace.pieces:
            for state in trace_states(piece.spans, self._part):
                found = members(state)
                if found is not None and found.get(self._key) in self._values:
                    return SAMPLED
        return NOT_SAMPLED


def members(state: bytes) -> dict[bytes, bytes] | None:
    """The members of a tracestate by key; None when it breaks a rule."""
    found: dict[bytes, bytes] = {}
    for member in state.split(b","):
        if not member:
            continue
        key, _, value = member.partition(b"=")
        key, value = key.lstrip(_BLANKS), value.rstrip(_BLANKS)
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value) or key in found:
            return None
        found[key] = value
        if len(found) > MEMBERS_MAX:
            return None
    return found


TRACE_STATE = PolicyType("trace_state", TraceStateConfig, TraceState)
