"""Policy `probabilistic`: a share of the traces, chosen by their id.

h = FNV-1a 64 over the salt and the 16 bytes of the trace id; a trace is kept when
h <= T, T = floor((2**64 - 1) * percentage / 100). The ratio is a float64; the product
must be exact, as a float product is off by one at many percentages. Nothing but the id
and the salt matters, so two samplers with the same salt choose alike.

With `use_tracestate` the randomness R of the trace decides instead, by T <= R with the
56-bit threshold of the percentage, so that others who sample by R choose consistently.

Ids that differ only in the last byte are nearly always decided alike: the hash spreads
its last byte over the low 48 bits only. Real trace ids are random.
"""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from tailring_otlpwire import trace_states
from tailring_runtime.config import ConfigModel, Float, Text
from tailring_sampler.fnv import fnv1a_64
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType
from tailring_sampler.tracestate import parse, randomness_of, threshold_of

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

    def __init__(self, percentage: float, salt: str = "") -> None:
        self._percentage = percentage
        self.needs = Needs.SUMMARY
        self.threshold = threshold_of(percentage)
        self._by_randomness = False
        self._always = False
        self._hash_max = threshold(percentage)
        self._salted = fnv1a_64((salt or _DEFAULT_SALT).encode())

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep by the id alone, or by the randomness; see the module's rules."""
        if self._by_randomness:
            randomness = randomness_in(trace, always=self._always)
            if randomness is not None:
                return SAMPLED if self.threshold <= randomness else NOT_SAMPLED
        if fnv1a_64(trace.trace_id, self._salted) <= self._hash_max:
            return SAMPLED
        return NOT_SAMPLED

    def why(self, trace_id: bytes, fact: int) -> str:
        """The hash of the id against the threshold, as shares of all hashes."""
        place = 100 * fnv1a_64(trace_id, self._salted) / _HASH_MAX
        said = f"hash at {place:.4f} %, kept up to {self._percentage:g} %"
        if self._by_randomness:
            return f"{said}; a tracestate with rv or th decides by randomness instead"
        return said

    def use_tracestate(self, *, always: bool) -> None:
        """Decide by the randomness where tracestates speak of it, or always."""
        self.needs = Needs.SPANS
        self._by_randomness = True
        self._always = always


def randomness_in(trace: Trace, *, always: bool) -> int | None:
    """The randomness of a trace: the first ``rv`` of a span, else that of its id.

    None when no tracestate has ``rv`` or ``th``, unless ``always``.
    """
    spoken = always
    for piece in trace.pieces:
        for state in trace_states(piece.spans, b"ot="):
            found = parse(state)
            if found is None:
                continue
            if found.randomness is not None:
                return found.randomness
            spoken = spoken or found.threshold is not None
    return randomness_of(trace.trace_id) if spoken else None


PROBABILISTIC = PolicyType(
    "probabilistic",
    ProbabilisticConfig,
    lambda config: Probabilistic(config.sampling_percentage, config.hash_salt),
)
