"""The policies: one module each, its configuration beside it."""

from tailring_sampler.policies.always_sample import AlwaysSample, AlwaysSampleConfig
from tailring_sampler.policies.built_in import BUILT_IN, policy_types
from tailring_sampler.policies.latency import Latency, LatencyConfig, LatencyWindow
from tailring_sampler.policies.policy import (
    Needs,
    Policy,
    Trace,
    Vote,
    failures_of,
    needs_of,
)
from tailring_sampler.policies.probabilistic import Probabilistic, ProbabilisticConfig
from tailring_sampler.policies.registry import (
    ENTRY_POINT_GROUP,
    PolicyType,
    build_policy,
    collect_types,
)
from tailring_sampler.policies.status_code import StatusCode, StatusCodeConfig

__all__ = [
    "BUILT_IN",
    "ENTRY_POINT_GROUP",
    "AlwaysSample",
    "AlwaysSampleConfig",
    "Latency",
    "LatencyConfig",
    "LatencyWindow",
    "Needs",
    "Policy",
    "PolicyType",
    "Probabilistic",
    "ProbabilisticConfig",
    "StatusCode",
    "StatusCodeConfig",
    "Trace",
    "Vote",
    "build_policy",
    "collect_types",
    "failures_of",
    "needs_of",
    "policy_types",
]
