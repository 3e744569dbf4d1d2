"""The policy types that this version has, and what it says of upstream's others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from tailring_sampler.policies.all_of import AND, DROP, NOT
from tailring_sampler.policies.always_sample import ALWAYS_SAMPLE
from tailring_sampler.policies.boolean_attribute import BOOLEAN_ATTRIBUTE
from tailring_sampler.policies.bytes_limiting import BYTES_LIMITING
from tailring_sampler.policies.composite import COMPOSITE
from tailring_sampler.policies.latency import LATENCY
from tailring_sampler.policies.numeric_attribute import NUMERIC_ATTRIBUTE
from tailring_sampler.policies.ottl_condition import OTTL_CONDITION
from tailring_sampler.policies.probabilistic import PROBABILISTIC
from tailring_sampler.policies.rate_limiting import RATE_LIMITING
from tailring_sampler.policies.registry import (
    ENTRY_POINT_GROUP,
    AnyPolicyType,
    collect_types,
)
from tailring_sampler.policies.span_count import SPAN_COUNT
from tailring_sampler.policies.status_code import STATUS_CODE
from tailring_sampler.policies.string_attribute import STRING_ATTRIBUTE
from tailring_sampler.policies.trace_flags import TRACE_FLAGS
from tailring_sampler.policies.trace_state import TRACE_STATE

__all__ = ["BUILT_IN", "policy_types"]

BUILT_IN: tuple[AnyPolicyType, ...] = (
    ALWAYS_SAMPLE,
    STATUS_CODE,
    LATENCY,
    PROBABILISTIC,
    TRACE_STATE,
    TRACE_FLAGS,
    RATE_LIMITING,
    BYTES_LIMITING,
    AND,
    NOT,
    DROP,
    COMPOSITE,
    SPAN_COUNT,
    STRING_ATTRIBUTE,
    NUMERIC_ATTRIBUTE,
    BOOLEAN_ATTRIBUTE,
    OTTL_CONDITION,
)


@cache
def policy_types() -> Mapping[str, AnyPolicyType]:
    """Built-in types and those of installed plug-ins, looked up once a process.

    Raises `PluginError` when a plug-in cannot be used.
    """
    return collect_types(BUILT_IN, entry_points(group=ENTRY_POINT_GROUP))
