"""Policy `ottl_condition`: a trace is kept when a span or an event meets a condition.

Span by span in stored order: first the conditions of `span`, then for each event those
of `spanevent`; the first that holds keeps the trace. A condition that fails (a type
that does not fit, an index out of bounds) is, by `error_mode`, false, or an error of
the policy, which then casts no vote although a later condition might hold.

The core logs nothing: what failed under `ignore` is kept for whoever logs, as a count
and the newest text, so that failures of every span need no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from pydantic import Field, field_validator, model_validator

from tailring_otlpwire import Piece
from tailring_ottl import (
    Condition,
    ConditionError,
    EvalError,
    OttlError,
    View,
    compile_condition,
)
from tailring_runtime.config import ConfigModel, TextList
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["OTTL_CONDITION", "OttlCondition", "OttlConditionConfig"]

_MODES = ("ignore", "silent", "propagate")


class OttlConditionConfig(ConfigModel):
    """Keeps a trace with a span or an event that meets a condition."""

    error_mode: str = Field(
        default="silent",
        description="What a failing condition is: `ignore` and `silent`: false; "
        "`propagate`: an error of the policy, which then casts no vote.",
    )
    span: TextList = Field(
        default=(), description="OTTL conditions asked of every span, joined by or."
    )
    spanevent: TextList = Field(
        default=(), description="OTTL conditions asked of every event, joined by or."
    )

    @field_validator("error_mode", mode="after")
    @classmethod
    def _known(cls, mode: str) -> str:
        if mode.lower() not in _MODES:
            raise ValueError(f"unknown error mode {mode}")
        return mode.lower()

    @field_validator("span", mode="after")
    @classmethod
    def _spans(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        _compiled(texts, "span")
        return texts

    @field_validator("spanevent", mode="after")
    @classmethod
    def _events(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        _compiled(texts, "spanevent")
        return texts

    @model_validator(mode="after")
    def _some(self) -> OttlConditionConfig:
        if not self.span and not self.spanevent:
            raise ValueError("expected at least one OTTL condition to filter on")
        return self


class OttlCondition:
    """Votes for traces in which a condition holds."""

    needs: Final = Needs.SPANS

    def __init__(self, config: OttlConditionConfig) -> None:
        self._span = _compiled(config.span, "span")
        self._event = _compiled(config.spanevent, "spanevent")
        self._propagates = config.error_mode == "propagate"
        self._reports = config.error_mode == "ignore"
        self._failed = 0
        self._failure = ""

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep at the first condition that holds; EvalError under `propagate`."""
        for piece in trace.pieces:
            for view in _views(piece):
                if self._holds(self._span, view) or self._event_holds(view):
                    return SAMPLED
        return NOT_SAMPLED

    def take_failures(self) -> tuple[int, str]:
        """Failures to be logged since the last call: how many, and the newest."""
        taken = (self._failed, self._failure)
        self._failed, self._failure = 0, ""
        return taken

    def _event_holds(self, view: View) -> bool:
        if not self._event:
            return False
        for index, event in enumerate(view.span.events):
            view.event, view.event_index = event, index
            if self._holds(self._event, view):
                return True
        return False

    def _holds(self, conditions: Sequence[tuple[str, Condition]], view: View) -> bool:
        for text, condition in conditions:
            try:
                if condition(view):
                    return True
            except EvalError as error:
                failure = f"failed to eval condition: {text}, {error}"
                if self._propagates:
                    raise EvalError(failure) from error
                if self._reports:
                    self._failed, self._failure = self._failed + 1, failure
        return False


def _compiled(texts: Sequence[str], context: str) -> tuple[tuple[str, Condition], ...]:
    found = []
    for text in texts:
        try:
            found.append((text, compile_condition(text, context)))
        except ConditionError as error:
            raise ValueError(
                f'unable to parse OTTL condition "{text}": {error}'
            ) from error
    return tuple(found)


def _views(piece: Piece) -> Iterator[View]:
    try:
        above = ResourceSpans.FromString(piece.resource)
        below = ScopeSpans.FromString(piece.scope + piece.spans)
    except DecodeError as error:  # text that is no UTF-8, which Go would let pass
        raise OttlError(f"a span cannot be decoded: {error}") from error
    for span in below.spans:
        yield View(
            above.resource,
            below.scope,
            span,
            resource_schema_url=above.schema_url,
            scope_schema_url=below.schema_url,
        )


OTTL_CONDITION = PolicyType("ottl_condition", OttlConditionConfig, OttlCondition)
