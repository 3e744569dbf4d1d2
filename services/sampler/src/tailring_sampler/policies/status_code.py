"""Policy `status_code`: a trace is kept when any span has one of the listed codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from pydantic import Field, field_validator

from tailring_runtime.config import ConfigModel, TextList
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["STATUS_CODE", "StatusCode", "StatusCodeConfig"]

# OTLP `Status.StatusCode`; the bit of the summary's mask is 1 << code.
_CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}


class StatusCodeConfig(ConfigModel):
    """Keeps a trace with a span of one of these status codes."""

    supported: ClassVar[str] = "OK, ERROR, UNSET"

    status_codes: TextList = Field(
        default=(),
        validate_default=True,
        description="`OK`, `ERROR`, `UNSET`, in capitals; at least one.",
    )

    @field_validator("status_codes", mode="after")
    @classmethod
    def _known(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if not codes:
            raise ValueError("expected at least one status code to filter on")
        for code in codes:
            if code not in _CODES:
                raise ValueError(
                    f'unknown status code "{code}", supported: {cls.supported}'
                )
        return codes


def _names(mask: int) -> str:
    known = [name for name, code in _CODES.items() if mask >> code & 1]
    return ", ".join(known) or "none of the known codes"


class StatusCode:
    """Votes for traces with a span of one of the codes of ``mask``."""

    needs: Final = Needs.SUMMARY

    def __init__(self, codes: Iterable[str]) -> None:
        self._mask = sum({1 << _CODES[code] for code in codes})

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when the trace's status mask and ours meet."""
        if trace.summary.status_mask & self._mask:
            return SAMPLED
        return NOT_SAMPLED

    def fact(self, trace: Trace) -> int:
        """The codes of all spans, a bit for each."""
        mask: int = trace.summary.status_mask
        return mask

    def why(self, trace_id: bytes, fact: int) -> str:
        """The codes that were there against those that are asked for."""
        return f"spans have {_names(fact)}, kept for {_names(self._mask)}"


STATUS_CODE = PolicyType(
    "status_code", StatusCodeConfig, lambda config: StatusCode(config.status_codes)
)
