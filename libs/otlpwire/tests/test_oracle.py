"""Split, group, join and chunk against the protobuf library, on generated requests.

The requests are spelled in unusual ways (fields in any order, scalars repeated, long
varints) or carry unknown fields at every level; the library reads what goes in and
what comes out, and the two readings are compared.
"""

from collections import Counter
from collections.abc import Iterable
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_otlpwire import (
    HeaderCache,
    Piece,
    TraceSlice,
    chunk,
    count_spans,
    group,
    join,
    join_requests,
    span_times,
    split,
    validate,
)
from tailring_testkit.otlp import SpanRecord, spans_of
from tailring_testkit.requests import requests, respelled_requests
from tailring_testkit.wire import field, with_unknown_fields

PAYLOADS = st.one_of(respelled_requests(), requests().flatmap(with_unknown_fields))
TABLES = st.lists(st.integers(0, 4), min_size=1, max_size=9)
ZERO_ID = bytes(16)
# Most of the time goes into making the requests, not into reading them.
PROPERTY = settings(max_examples=50, deadline=None)


def trace_of(record: SpanRecord) -> bytes:
    return record.trace_id or ZERO_ID


def in_order_by_trace(payload: bytes) -> dict[bytes, list[SpanRecord]]:
    found: dict[bytes, list[SpanRecord]] = {}
    for record in spans_of(payload):
        found.setdefault(trace_of(record), []).append(record)
    return found


def pieces_of(slices: Iterable[TraceSlice]) -> list[Piece]:
    return [piece for each in slices for piece in each.pieces]


def request_of(piece: Piece) -> bytes:
    scope = field(2, piece.scope + piece.spans)
    return field(1, piece.resource + scope)


@PROPERTY
@given(PAYLOADS, TABLES)
def test_split_gives_each_owner_its_spans(payload: bytes, table: list[int]) -> None:
    """A part holds its owner's spans, in their order, below their own headers."""
    expected: dict[int, list[SpanRecord]] = {}
    for record in spans_of(payload):
        owner = table[crc32(trace_of(record)) % len(table)]
        expected.setdefault(owner, []).append(record)
    parts = split(payload, table)
    assert {part.owner: spans_of(part.payload) for part in parts} == expected
    assert [part.owner for part in parts] == list(expected)


@PROPERTY
@given(PAYLOADS, TABLES)
def test_split_counts_what_it_gives(payload: bytes, table: list[int]) -> None:
    """The span count of a part is the number of spans in its payload."""
    for part in split(payload, table):
        assert part.spans == len(spans_of(part.payload)) > 0


@PROPERTY
@given(PAYLOADS)
def test_single_owner_is_not_copied(payload: bytes) -> None:
    """The only part of a request with one owner is the request object itself."""
    for part in split(payload, [3]):
        assert part.payload is payload
        assert part.owner == 3


@PROPERTY
@given(PAYLOADS, TABLES)
def test_split_parts_merge_into_the_request(payload: bytes, table: list[int]) -> None:
    """Concatenated parts are the same multiset of spans as the request."""
    merged = b"".join(part.payload for part in split(payload, table))
    assert Counter(spans_of(merged)) == Counter(spans_of(payload))


@PROPERTY
@given(PAYLOADS)
def test_group_gives_each_trace_its_spans(payload: bytes) -> None:
    """A slice holds its trace's spans in source order, below their own headers."""
    slices = group(payload, HeaderCache(100))
    found = {
        each.trace_id: spans_of(b"".join(map(request_of, each.pieces)))
        for each in slices
    }
    expected = in_order_by_trace(payload)
    assert found == expected
    assert [each.trace_id for each in slices] == list(expected)


@PROPERTY
@given(PAYLOADS)
def test_pieces_know_their_spans(payload: bytes) -> None:
    """Counts and bytes of a slice are the sums over its pieces' spans."""
    for each in group(payload, HeaderCache(100)):
        assert each.span_count == sum(piece.span_count for piece in each.pieces)
        assert each.byte_count == sum(len(piece.spans) for piece in each.pieces)
        assert all(piece.span_count for piece in each.pieces)


def parsed_by_trace(payload: bytes) -> dict[bytes, list[Span]]:
    found: dict[bytes, list[Span]] = {}
    message = ExportTraceServiceRequest.FromString(payload)
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                found.setdefault(span.trace_id or ZERO_ID, []).append(span)
    return found


@PROPERTY
@given(PAYLOADS)
def test_summary_agrees_with_parsed_spans(payload: bytes) -> None:
    """Status mask and root of a slice are those of the parsed spans."""
    parsed = parsed_by_trace(payload)
    for each in group(payload, HeaderCache(100)):
        spans = parsed[each.trace_id]
        codes = {span.status.code for span in spans}
        mask = sum(1 << code for code in codes if 0 <= code <= 2)
        assert each.status_mask == mask
        assert each.root_seen == any(not any(s.parent_span_id) for s in spans)


@PROPERTY
@given(PAYLOADS)
def test_span_times_agree_with_parsed_spans(payload: bytes) -> None:
    """The times read from pieces are the parsed ones, all 64 bits of them."""
    parsed = parsed_by_trace(payload)
    for each in group(payload, HeaderCache(100)):
        times = [time for piece in each.pieces for time in span_times(piece.spans)]
        assert times == [
            (span.start_time_unix_nano, span.end_time_unix_nano)
            for span in parsed[each.trace_id]
        ]


@PROPERTY
@given(PAYLOADS)
def test_join_of_pieces_loses_nothing(payload: bytes) -> None:
    """Group then join is the same multiset of spans with resource and scope."""
    joined = join(pieces_of(group(payload, HeaderCache(100))))
    assert Counter(spans_of(joined)) == Counter(spans_of(payload))


def assert_merged(joined: bytes) -> None:
    """No resource is there twice, and no scope twice within one."""
    pieces = pieces_of(group(joined, HeaderCache(100)))
    message = ExportTraceServiceRequest.FromString(joined)
    resources = list(dict.fromkeys(piece.resource for piece in pieces))
    assert len(message.resource_spans) == len(resources)
    scopes = {(piece.resource, piece.scope) for piece in pieces}
    assert sum(len(each.scope_spans) for each in message.resource_spans) == len(scopes)


@PROPERTY
@given(PAYLOADS)
def test_join_merges_equal_headers(payload: bytes) -> None:
    """A joined request holds each distinct resource once, each scope once in it."""
    assert_merged(join(pieces_of(group(payload, HeaderCache(100)))))


@PROPERTY
@given(st.lists(PAYLOADS, max_size=3))
def test_join_requests_loses_nothing(payloads: list[bytes]) -> None:
    """Joined requests are merged and the same multiset of spans."""
    joined = join_requests(payloads)
    assert_merged(joined)
    assert Counter(spans_of(joined)) == Counter(spans_of(b"".join(payloads)))


def by_header(payload: bytes) -> dict[tuple[bytes, bytes], list[bytes]]:
    found: dict[tuple[bytes, bytes], list[bytes]] = {}
    for record in spans_of(payload):
        found.setdefault((record.resource, record.scope), []).append(record.span)
    return found


@PROPERTY
@given(st.lists(requests(), max_size=3))
def test_join_keeps_the_order_below_a_scope(payloads: list[bytes]) -> None:
    """Spans below equal headers stay in the order in which they came."""
    assert by_header(join_requests(payloads)) == by_header(b"".join(payloads))


@PROPERTY
@given(PAYLOADS, st.integers(1, 6))
def test_chunk_cuts_in_order(payload: bytes, spans_max: int) -> None:
    """Chunks hold the spans in order, all but the last as many as allowed."""
    chunks = chunk(payload, spans_max)
    records = [spans_of(each) for each in chunks]
    assert [one for each in records for one in each] == spans_of(payload)
    assert all(len(each) == spans_max for each in records[:-1])
    assert all(0 < len(each) <= spans_max for each in records)


@PROPERTY
@given(PAYLOADS)
def test_counts_agree(payload: bytes) -> None:
    """Both counts are the number of spans that the library sees."""
    assert validate(payload) == count_spans(payload) == len(spans_of(payload))


@PROPERTY
@given(PAYLOADS, TABLES)
def test_outputs_are_valid(payload: bytes, table: list[int]) -> None:
    """What this package writes, it accepts."""
    spans = validate(payload)
    slices = group(payload, HeaderCache(100))
    assert sum(validate(part.payload) for part in split(payload, table)) == spans
    assert validate(join(pieces_of(slices))) == spans
    assert sum(validate(each) for each in chunk(payload, 2)) == spans
