"""What a request holds: spans, log records or data points.

The three kinds of requests have one envelope, with the same field numbers: a request
of resources (1), a resource of scopes (2), a scope of items (2). Only metrics put a
level between scope and item: their items are the data points inside a metric.
"""

from typing import Final

TRACES: Final = 0
LOGS: Final = 1
METRICS: Final = 2

_KINDS: Final = (TRACES, LOGS, METRICS)


def check_kind(kind: int) -> None:
    """Raise ValueError for a number that is none of the three."""
    if kind not in _KINDS:
        raise ValueError("a kind is one of TRACES, LOGS and METRICS")
