"""OTLP requests as encoded bytes: count, split, group, join, chunk.

Traces, logs and metrics are told apart by a *kind*; their items are spans, log records
and data points. Grouping is of traces only.

Nothing is decoded that need not be and nothing is re-serialised, so unknown fields,
schema URLs and the order of fields survive. Pure: no I/O, no clock, no logging, and
safe on bytes from anyone: malformed input raises WireError, in linear time and memory.
"""

from tailring_otlpwire import fields as _fields
from tailring_otlpwire.attributes import (
    Attribute,
    SpanAttributes,
    resource_attribute,
)
from tailring_otlpwire.chunk import chunk
from tailring_otlpwire.errors import WireError
from tailring_otlpwire.group import HeaderCache, group
from tailring_otlpwire.join import join, join_requests
from tailring_otlpwire.kinds import LOGS, METRICS, TRACES
from tailring_otlpwire.legacy import modernised
from tailring_otlpwire.marks import marked, unmarked
from tailring_otlpwire.owners import Part
from tailring_otlpwire.pieces import (
    Piece,
    Summary,
    TraceSlice,
    TraceSummary,
    lasts_within,
    span_times,
)
from tailring_otlpwire.rule import RoutingRule
from tailring_otlpwire.scope_attributes import TRUE as SCOPE_TRUE
from tailring_otlpwire.scope_attributes import text_value as scope_text
from tailring_otlpwire.scope_attributes import with_scope_attributes
from tailring_otlpwire.split import split
from tailring_otlpwire.split_by import Split, routing_keys, split_by
from tailring_otlpwire.trace_context import (
    any_sampled_flag,
    trace_states,
    with_trace_states,
)
from tailring_otlpwire.validate import count, count_spans, validate

COMPILED: bool = not str(_fields.__file__).endswith(".py")

__all__ = [
    "COMPILED",
    "LOGS",
    "METRICS",
    "SCOPE_TRUE",
    "TRACES",
    "Attribute",
    "HeaderCache",
    "Part",
    "Piece",
    "RoutingRule",
    "SpanAttributes",
    "Split",
    "Summary",
    "TraceSlice",
    "TraceSummary",
    "WireError",
    "any_sampled_flag",
    "chunk",
    "count",
    "count_spans",
    "group",
    "join",
    "join_requests",
    "lasts_within",
    "marked",
    "modernised",
    "resource_attribute",
    "routing_keys",
    "scope_text",
    "span_times",
    "split",
    "split_by",
    "trace_states",
    "unmarked",
    "validate",
    "with_scope_attributes",
    "with_trace_states",
]
