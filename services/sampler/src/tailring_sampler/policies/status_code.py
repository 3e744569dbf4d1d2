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


STATUS_CODE = PolicyType(
    "status_code", StatusCodeConfig, lambda config: StatusCode(config.status_codes)
)
