"""Policy `boolean_attribute`: a trace is kept by a boolean attribute.

The value of a resource's or a span's attribute is compared; one that is no boolean
reads as false, as upstream.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from tailring_runtime.config import Bool, ConfigModel, Text
from tailring_sampler.policies.attribute_search import AttributeSearch
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["BOOLEAN_ATTRIBUTE", "BooleanAttribute", "BooleanAttributeConfig"]


class BooleanAttributeConfig(ConfigModel):
    """Keeps a trace with this value of a boolean attribute."""

    key: Text = Field(default="", description="Name of the attribute.")
    value: Bool = Field(
        default=False, description="An attribute that is no boolean reads as false."
    )
    invert_match: Bool = Field(
        default=False,
        description="Keep the trace unless it has the attribute with such a value.",
    )


class BooleanAttribute:
    """Votes by one value of one attribute."""

    needs: Final = Needs.SPANS

    def __init__(self, config: BooleanAttributeConfig) -> None:
        wanted = config.value
        self._search = AttributeSearch(config.key, lambda one: one.truth() is wanted)
        self._inverted = config.invert_match

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when the value is there, or when it is not if inverted."""
        kept = self._search.found(trace.pieces) is not self._inverted
        return SAMPLED if kept else NOT_SAMPLED


BOOLEAN_ATTRIBUTE = PolicyType(
    "boolean_attribute", BooleanAttributeConfig, BooleanAttribute
)
