"""The feature gates of tail sampling, by upstream's names."""

from __future__ import annotations

from typing import Final

from tailring_runtime.config import FeatureGate

__all__ = ["COUNT_SPANS", "GATES", "RECORD_POLICY", "USE_TRACESTATE"]

_PREFIX: Final = "processor.tailsamplingprocessor."

COUNT_SPANS: Final = _PREFIX + "metricstatcountspanssampled"
RECORD_POLICY: Final = _PREFIX + "recordpolicy"
USE_TRACESTATE: Final = _PREFIX + "usetracestate"

GATES: Final = (
    FeatureGate(
        COUNT_SPANS,
        "The metric count_spans_sampled: votes of each policy, in spans.",
    ),
    FeatureGate(
        RECORD_POLICY,
        "Scopes of kept spans say which policy kept them, and whether they came late.",
    ),
    FeatureGate(
        USE_TRACESTATE,
        "Kept spans say their threshold (ot=th), probabilistic heeds rv and th.",
    ),
)
