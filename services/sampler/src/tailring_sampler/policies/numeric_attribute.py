"""Policy `numeric_attribute`: a trace is kept by a whole number in an attribute.

Both bounds are inclusive. One that is 0 is not set, so that a bound of 0 cannot be
written, as upstream; without any bound upstream ends its process at the first trace,
which is refused here. A value that is no whole number (a floating one, a text) reads as
0, as upstream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field

from tailring_runtime.config import Bool, ConfigModel, Int, Text, rule
from tailring_sampler.policies.attribute_search import AttributeSearch
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["NUMERIC_ATTRIBUTE", "NumericAttribute", "NumericAttributeConfig"]

_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1

_Int64 = Annotated[Int, Field(ge=_INT64_MIN, le=_INT64_MAX)]


class NumericAttributeConfig(ConfigModel):
    """Keeps a trace with a number of these in an attribute."""

    key: Text = Field(default="", description="Name of the attribute.")
    min_value: _Int64 = Field(
        default=0, description="The least that fits; 0: no bound."
    )
    max_value: _Int64 = Field(default=0, description="The greatest; 0: no bound.")
    invert_match: Bool = Field(
        default=False,
        description="Keep the trace unless it has the attribute with such a value.",
    )

    @rule
    def _bounded(self) -> Iterator[str]:
        if not self.min_value and not self.max_value:
            yield "at least one of min_value or max_value must be set; 0 sets none"


class NumericAttribute:
    """Votes by a range of values of one attribute."""

    needs: Final = Needs.SPANS

    def __init__(self, config: NumericAttributeConfig) -> None:
        least = config.min_value or _INT64_MIN
        most = config.max_value or _INT64_MAX
        self._search = AttributeSearch(
            config.key, lambda one: least <= one.number() <= most
        )
        self._inverted = config.invert_match

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when such a number is there, or when it is not if inverted."""
        kept = self._search.found(trace.pieces) is not self._inverted
        return SAMPLED if kept else NOT_SAMPLED


NUMERIC_ATTRIBUTE = PolicyType(
    "numeric_attribute", NumericAttributeConfig, NumericAttribute
)
