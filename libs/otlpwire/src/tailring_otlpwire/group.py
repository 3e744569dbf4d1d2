"""Grouping a request by trace.

One pass over the request. The spans of a trace below one scope become one piece (a run
of neighbouring spans is one copy), pieces keep the order of the source, and equal
headers of different ResourceSpans are not merged, because the Collector's order of
spans decides some policies. Headers are interned across requests, so that a thousand
traces of one pod hold its resource once.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.canonical_size import framed, resource_size, scope_size
from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.fragments import Fragments
from tailring_otlpwire.header import header
from tailring_otlpwire.pieces import Piece, TraceSlice, time_at
from tailring_otlpwire.span import SpanScan

# A longer header is not shared: its like is rare, and a few thousand would fill memory.
HEADER_BYTES_MAX: Final = 8 * 1024
GENERATION_BYTES_MAX: Final = 32 * 1024 * 1024
STATUS_CODE_MAX: Final = 2


@mypyc_attr(acyclic=True)
class HeaderCache:
    """Gives equal headers the same bytes object; bounded, in two generations.

    A header that is used stays; one that was not used while a generation of others came
    is forgotten after at most two. A generation is full at `entries_max` headers or
    `bytes_max` bytes; a header above HEADER_BYTES_MAX is never kept.
    """

    def __init__(
        self, entries_max: int, *, bytes_max: int = GENERATION_BYTES_MAX
    ) -> None:
        if entries_max < 1:
            raise ValueError("a header cache needs room for one entry")
        self._entries_max: i64 = entries_max
        self._bytes_max: i64 = bytes_max
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._young_bytes: i64 = 0
        self._old_bytes: i64 = 0
        # Bytes of headers that came and were not known, all in all.
        self.new_bytes: i64 = 0

    def __len__(self) -> int:
        """The number of headers kept, at most 2 * entries_max."""
        return len(self._young) + len(self._old)

    @property
    def size_bytes(self) -> int:
        """The bytes of the headers kept, at most 2 * bytes_max and one header."""
        return self._young_bytes + self._old_bytes

    def intern(self, head: bytes) -> bytes:
        """Return the kept bytes that equal `head`, or keep it."""
        found = self._young.get(head)
        if found is not None:
            return found
        size: i64 = len(head)
        found = self._old.pop(head, head)
        if found is head:
            self.new_bytes += size
        else:
            self._old_bytes -= size
        if size > HEADER_BYTES_MAX:
            return head
        full = self._young_bytes + size > self._bytes_max
        if full or len(self._young) >= self._entries_max:
            self._old = self._young
            self._old_bytes = self._young_bytes
            self._young = {}
            self._young_bytes = 0
        self._young[found] = found
        self._young_bytes += size
        return found


def group(
    buf: bytes, headers: HeaderCache, *, measured: bool = False
) -> list[TraceSlice]:
    """Return one slice per trace, in the order of their first spans.

    ``measured``: also how large the Collector would find each; it costs about as much
    as the grouping itself.

    A span without a trace id belongs to the trace of 16 zero bytes. Unknown fields of
    the request itself are dropped, those of resources, scopes and spans are kept.
    Resources and scopes without spans vanish. Raises WireError for malformed bytes.

    Linear in time and memory: spans and headers are copied once or twice, whatever the
    number of traces; a trace costs some 400 bytes beside its spans, so that a hostile
    request of the smallest possible traces takes up to 20 times its size.
    """
    grouping = _Grouping(buf, headers, measured)
    request = Fields(buf, 0, len(buf), 0)
    while request.next():
        if request.tag == RESOURCE_SPANS:
            grouping.resource(request.body, request.pos)
    return grouping.slices


@mypyc_attr(acyclic=True)
class _OpenSlice:
    """A slice and its spans below the scope that is being read, not yet a piece."""

    def __init__(self, trace: TraceSlice) -> None:
        self.trace = trace
        self.runs: Fragments | None = None  # but the last run
        self.start: i64 = 0
        self.end: i64 = 0
        self.touched: bool = False
        # Canonical bytes of what is below the resource that is being read.
        self.below: i64 = 0


class _Grouping:
    def __init__(self, buf: bytes, headers: HeaderCache, measured: bool) -> None:
        self.buf = buf
        self.headers = headers
        self.measured = measured
        # Those that have something below the resource that is being read.
        self.measuring: list[_OpenSlice] = []
        self.scan = SpanScan()
        self.slices: list[TraceSlice] = []
        self.by_id: dict[bytes, _OpenSlice] = {}
        self.touched: list[_OpenSlice] = []

    def resource(self, pos: i64, end: i64) -> None:
        head: bytes | None = None
        fields = Fields(self.buf, pos, end, 1)
        while fields.next():
            if fields.tag != BODY:
                continue
            self.scope(fields.body, fields.pos)
            if self.touched and head is None:
                head = self.interned(header(self.buf, pos, end, 1))
            if head is not None:
                self.close(head, fields.body, fields.pos)
        if head is not None and self.measured:
            self.measure(head)

    def measure(self, head: bytes) -> None:
        """Charge each trace that has spans below a resource with its part of it."""
        around: i64 = resource_size(head)
        for each in self.measuring:
            size = around + each.below
            each.trace.resource_spans_bytes += size
            each.trace.data_bytes += framed(size)
            each.below = 0
        self.measuring = []

    def scope(self, pos: i64, end: i64) -> None:
        buf = self.buf
        fields = Fields(buf, pos, end, 2)
        last: _OpenSlice | None = None
        while fields.next():
            if fields.tag == BODY:
                self.scan.read(buf, fields.body, fields.pos)
                trace_id = self.scan.id_in(buf)
                if last is None or trace_id != last.trace.trace_id:
                    last = self.slice_of(trace_id)
                self.add(last, fields.at, fields.pos)

    def interned(self, head: bytes) -> bytes:
        """The header, shared if possible; a new one is charged to the first trace."""
        headers = self.headers
        known_bytes: i64 = headers.new_bytes
        found = headers.intern(head)
        self.touched[0].trace.header_bytes += headers.new_bytes - known_bytes
        return found

    def slice_of(self, trace_id: bytes) -> _OpenSlice:
        found = self.by_id.get(trace_id)
        if found is None:
            trace = TraceSlice(trace_id)
            self.slices.append(trace)
            found = _OpenSlice(trace)
            self.by_id[trace_id] = found
        return found

    def add(self, open_slice: _OpenSlice, at: i64, end: i64) -> None:
        if not open_slice.touched:
            open_slice.touched = True
            open_slice.start = at
            self.touched.append(open_slice)
        elif at != open_slice.end:
            if open_slice.runs is None:
                open_slice.runs = Fragments()
            open_slice.runs.add(self.buf[open_slice.start : open_slice.end])
            open_slice.start = at
        open_slice.end = end
        buf = self.buf
        scan = self.scan
        trace = open_slice.trace
        trace.span_count += 1
        trace.byte_count += end - at
        if 0 <= scan.status <= STATUS_CODE_MAX:
            trace.status_mask |= 1 << scan.status
        if not trace.root_seen:
            trace.root_seen = scan.is_root_in(buf)
        trace.fold_times(time_at(buf, scan.start), time_at(buf, scan.end))

    def close(self, resource: bytes, pos: i64, end: i64) -> None:
        """Make pieces of what the scope in [pos, end) brought, if anything."""
        if not self.touched:
            return
        scope = self.interned(header(self.buf, pos, end, 2))
        for each in self.touched:
            spans = self.buf[each.start : each.end]
            if each.runs is not None:
                each.runs.add(spans)
                spans = each.runs.value()
                each.runs = None
            each.trace.pieces.append(Piece(resource, scope, spans))
            if self.measured:
                if each.below == 0:
                    self.measuring.append(each)
                each.below += scope_size(scope, spans)
            each.touched = False
        self.touched = []
