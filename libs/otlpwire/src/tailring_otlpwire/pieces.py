"""What grouping yields: pieces of encoded spans, slices of traces, their summaries.

A `Piece` is the spans of one trace below one scope, still encoded, with the headers of
its resource and scope; headers are shared between pieces. A `Summary` is what can be
known of spans without decoding them, and `TraceSummary` a fold: adding slices in the
order of their arrival gives the same as adding all their spans one by one.

The latency of a trace is the Collector's: a running least start and greatest end, in
which a stored 0 counts as unset and is replaced by the next span; after each span their
difference is a candidate, and the longest candidate is kept. Below a slice without a
zero start and with all times below 2**63 the candidates only grow, whatever came before
it, so the last one stands for all and the slice is added in constant time. Any other
slice is added span by span.

Timestamps are unsigned on the wire. They are kept as signed 64-bit numbers with the
same bits, compared with the sign bit flipped, and subtracted as the Collector does:
signed, saturating.

Instances are invisible to the garbage collector when compiled: they refer to bytes,
numbers and each other in one direction only.
"""

from collections.abc import Iterable
from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.fields import BODY, Fields, read_fixed64
from tailring_otlpwire.span import SpanScan
from tailring_otlpwire.validate import count_in_scope

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
UINT64_RANGE: Final = 2**64


@mypyc_attr(acyclic=True)
class Piece:
    """Spans of one trace below one resource and one scope, in their order.

    `resource` is every field of the ResourceSpans but the scopes, `scope` every field
    of the ScopeSpans but the spans, `spans` the `spans` fields, with tag and size; all
    verbatim and concatenated.
    """

    def __init__(self, resource: bytes, scope: bytes, spans: bytes) -> None:
        self.resource = resource
        self.scope = scope
        self.spans = spans

    @property
    def span_count(self) -> int:
        """The number of spans, counted anew each time to keep the piece small."""
        return count_in_scope(self.spans, 0, len(self.spans))


@mypyc_attr(acyclic=True)
class Summary:
    """What is known of some spans of one trace without decoding them.

    `byte_count` measures the encoded spans with tag and size, without headers. Bit i of
    `status_mask` says that some span has status code i (0 unset, 1 ok, 2 error; other
    codes set none). `root_seen` says that some span has no parent.

    `resource_spans_bytes` and `data_bytes` are what the Collector would count, if the
    grouping measured it: the sum of the trace's ResourceSpans, and that with their
    frames, as in a TracesData.
    """

    def __init__(self) -> None:
        self.span_count: i64 = 0
        self.byte_count: i64 = 0
        self.status_mask: i64 = 0
        self.root_seen: bool = False
        self.resource_spans_bytes: i64 = 0
        self.data_bytes: i64 = 0
        self._start: i64 = 0
        self._end: i64 = 0
        self._longest: i64 = INT64_MIN
        self._regular: bool = True

    @property
    def start_ns(self) -> int:
        """The running least start time, unsigned; 0 is unset."""
        return _unsigned(self._start)

    @property
    def end_ns(self) -> int:
        """The running greatest end time, unsigned; 0 is unset."""
        return _unsigned(self._end)

    @property
    def longest_ns(self) -> int:
        """The longest duration after any span so far; the least int64 without spans."""
        return self._longest

    def fold_times(self, start: i64, end: i64) -> None:
        """Take the times of the next span into the latency."""
        if start <= 0 or end < 0:
            self._regular = False
        self._widen(start, end)

    def _widen(self, start: i64, end: i64) -> None:
        if self._start == 0 or (start ^ INT64_MIN) < (self._start ^ INT64_MIN):
            self._start = start
        if (end ^ INT64_MIN) > (self._end ^ INT64_MIN):
            self._end = end
        duration = _difference(self._end, self._start)
        if duration > self._longest:  # noqa: PLR1730 -- max() would box both numbers
            self._longest = duration


@mypyc_attr(acyclic=True)
class TraceSlice(Summary):
    """The spans of one trace in one request, in their order, and their summary.

    `header_bytes` counts the headers that came with this trace first: those that the
    header cache did not know, each charged to one trace only.
    """

    def __init__(self, trace_id: bytes) -> None:
        super().__init__()
        self.trace_id = trace_id
        self.header_bytes: i64 = 0
        self.pieces: list[Piece] = []


@mypyc_attr(acyclic=True)
class TraceSummary(Summary):
    """The summary of a trace that arrives in slices."""

    def add(self, part: TraceSlice) -> None:
        """Take the next slice into the summary; later slices come later.

        Constant time for regular times, else linear in the bytes of the slice.
        """
        self.span_count += part.span_count
        self.byte_count += part.byte_count
        self.status_mask |= part.status_mask
        self.root_seen = self.root_seen or part.root_seen
        self.resource_spans_bytes += part.resource_spans_bytes
        self.data_bytes += part.data_bytes
        if part._regular:
            self._widen(part._start, part._end)
            return
        self._regular = False
        for piece in part.pieces:
            self._fold_spans(piece.spans)

    def _fold_spans(self, spans: bytes) -> None:
        scan = SpanScan()
        fields = Fields(spans, 0, len(spans), 2)
        while fields.next():
            if fields.tag == BODY:
                scan.read(spans, fields.body, fields.pos)
                self._widen(time_at(spans, scan.start), time_at(spans, scan.end))


def span_times(spans: bytes) -> list[tuple[int, int]]:
    """Return (start, end) in unsigned ns of each span in `Piece.spans`, in order.

    Raises WireError for bytes that are not such spans.
    """
    times: list[tuple[int, int]] = []
    scan = SpanScan()
    fields = Fields(spans, 0, len(spans), 2)
    while fields.next():
        if fields.tag == BODY:
            scan.read(spans, fields.body, fields.pos)
            start = _unsigned(time_at(spans, scan.start))
            times.append((start, _unsigned(time_at(spans, scan.end))))
    return times


def lasts_within(pieces: Iterable[Piece], least_ns: int, most_ns: int) -> bool:
    """Whether the running duration is in [least_ns, most_ns] after any of the spans.

    Reads no further than the first such span. Both bounds fit into a signed 64-bit
    number. Raises WireError for bytes that are not spans.
    """
    least: i64 = least_ns
    most: i64 = most_ns
    running = Summary()
    scan = SpanScan()
    for piece in pieces:
        spans = piece.spans
        fields = Fields(spans, 0, len(spans), 2)
        while fields.next():
            if fields.tag != BODY:
                continue
            scan.read(spans, fields.body, fields.pos)
            running._widen(time_at(spans, scan.start), time_at(spans, scan.end))
            duration = _difference(running._end, running._start)
            if least <= duration <= most:
                return True
    return False


def time_at(buf: bytes, at: i64) -> i64:
    """Read the time at a position of a SpanScan; 0 when it is absent."""
    return 0 if at < 0 else read_fixed64(buf, at)


def _unsigned(number: i64) -> int:
    value: int = number
    return value if value >= 0 else value + UINT64_RANGE


def _difference(end: i64, start: i64) -> i64:
    """Subtract as Go's time.Sub does: within the range of a signed 64-bit number."""
    if start < 0 and end >= 0 and end > INT64_MAX + start:
        return INT64_MAX
    if start > 0 and end < 0 and end < INT64_MIN + start:
        return INT64_MIN
    return end - start
