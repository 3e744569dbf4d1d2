"""What a metric is: its declaration, and the kinds of series that it may have."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "DEFAULT_BUCKETS",
    "Across",
    "Callback",
    "Counter",
    "Family",
    "Gauge",
    "Histogram",
    "Key",
    "MetricKind",
    "MetricSpec",
    "Series",
]

MetricKind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max", "each"]

# The bounds that OpenTelemetry uses where an instrument names none.
DEFAULT_BUCKETS = (
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0,
    5000.0, 7500.0, 10000.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """The declaration of one metric: its name without suffixes, and what it tells.

    ``unit`` is a UCUM code ("s", "ms", "By", "{spans}"); ``labels`` are all label
    names; ``buckets`` are a histogram's upper bounds (empty: OpenTelemetry's own).
    ``across`` says what one number for several processes, or for a part and the one
    that replaces it, is: the sum, the largest, or none (a label ``worker`` then).
    """

    name: str
    kind: MetricKind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across = "sum"


class Counter:
    """A number that only grows. Hot code adds to ``value`` directly."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: int = 0

    def add(self, n: int = 1) -> None:
        """Count ``n`` more."""
        self.value += n


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Say what the number is now."""
        self.value = value

    def add(self, n: float = 1) -> None:
        """Move the number by ``n``, which may be negative."""
        self.value += n


class Histogram:
    """How often values fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def observe(self, value: float, times: int = 1) -> None:
        """Count one value in the unit of the spec, as often as it was met."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


class Callback:
    """A series whose value is asked for when it is exposed."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read

    @property
    def value(self) -> float:
        """The number now."""
        return self.read()


Series = Counter | Gauge | Histogram | Callback
# The values of a spec's labels, in its order.
Key = tuple[str, ...]
Family = tuple[MetricSpec, Mapping[Key, Series]]
