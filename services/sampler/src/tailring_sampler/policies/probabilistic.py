"""Policy `probabilistic`: a share of the traces, chosen by their id.

h = FNV-1a 64 over the salt and the 16 bytes of the trace id; a trace is kept when
h <= T, T = floor((2**64 - 1) * percentage / 100). The ratio is a float64; the product
must be exact, as a float product is off by one at many percentages. Nothing but the id
and the salt matters, so two samplers with the same salt choose alike.

Ids that differ only in the last byte are nearly always decided alike: the hash spreads
its last byte over the low 48 bits only. Real trace ids are random.
"""

from __future__ import annotations

import math
from typing import Final

from pydantic import Field, field_validator

from tailring_runtime.config import ConfigModel, Float, Text
from tailring_sampler.fnv import fnv1a_64
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["PROBABILISTIC", "Probabilistic", "ProbabilisticConfig", "threshold"]

_HASH_MAX = (1 << 64) - 1
_DEFAULT_SALT = "default-hash-seed"


class ProbabilisticConfig(ConfigModel):
    """Keeps a share of the traces, by a hash of their ids."""

    sampling_percentage: Float = Field(
        default=0.0, description="Percent of the traces; 100 and more keeps all."
    )
    hash_salt: Text = Field(
        default="",
        description="Changes which traces are kept; the same in all samplers of a"
        " fleet. Empty: upstream's own.",
    )

    @field_validator("sampling_percentage", mode="after")
    @classmethod
    def _number(cls, percentage: float) -> float:
        if math.isnan(percentage):
            raise ValueError("must be a number, not NaN")
        return percentage


def threshold(percentage: float) -> int:
    """The greatest hash that is kept at ``percentage``."""
    ratio = percentage / 100
    if ratio <= 0:
        return 0
    if ratio >= 1:
        return _HASH_MAX
    numerator, denominator = ratio.as_integer_ratio()
    return _HASH_MAX * numerator // denominator


class Probabilistic:
    """Votes for the traces whose hash is at most the threshold."""

    needs: Final = Needs.SUMMARY

    def __init__(self, percentage: float, salt: str = "") -> None:
        self._percentage = percentage
        self._threshold = threshold(percentage)
        self._salted = fnv1a_64((salt or _DEFAULT_SALT).encode())

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep by the id alone."""
        if fnv1a_64(trace.trace_id, self._salted) <= self._threshold:
            return SAMPLED
        return NOT_SAMPLED

    def why(self, trace_id: bytes, fact: int) -> str:
        """The hash of the id against the threshold, as shares of all hashes."""
        place = 100 * fnv1a_64(trace_id, self._salted) / _HASH_MAX
        return f"hash at {place:.4f} %, kept up to {self._percentage:g} %"


PROBABILISTIC = PolicyType(
    "probabilistic",
    ProbabilisticConfig,
    lambda config: Probabilistic(config.sampling_percentage, config.hash_salt),
)
