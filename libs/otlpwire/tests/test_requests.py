"""Plain facts of each function, on requests written by hand."""

import pytest

from tailring_otlpwire import (
    HeaderCache,
    Piece,
    WireError,
    chunk,
    count_spans,
    group,
    join,
    join_requests,
    span_times,
    split,
    validate,
)
from tailring_testkit.otlp import (
    request,
    resource_spans,
    span,
    spans_of,
    trace_ids,
)
from tailring_testkit.wire import field, number_field
from tailring_testkit.wire import group as group_field

A, B = trace_ids(2, seed=0)
# The owner of A is 0 and that of B is 1.
TABLE = [0, 1]
PARENT = b"\7" * 8


def two_traces() -> bytes:
    spans = [span(one, b"\1" * 8, parent=PARENT) for one in (A, B, A, B)]
    return request(*spans, resource={"service.name": "cart"}, scope="lib")


def test_the_table_of_these_tests() -> None:
    """The two traces of these tests have two owners."""
    owners = [part.owner for part in split(two_traces(), TABLE)]
    assert sorted(owners) == [0, 1]


def test_nothing_is_a_request() -> None:
    """The empty request is valid, has no spans and gives no output."""
    assert validate(b"") == count_spans(b"") == 0
    assert split(b"", TABLE) == []
    assert group(b"", HeaderCache(1)) == []
    assert chunk(b"", 1) == []
    assert join([]) == join_requests([]) == join_requests([b"", b""]) == b""
    assert span_times(b"") == []


def test_headers_without_spans_vanish() -> None:
    """A resource or a scope without spans is in no output."""
    bare = resource_spans([], resource={"service.name": "idle"}, scope="lib")
    payload = bare.SerializeToString()
    payload = field(1, payload)
    assert validate(payload) == 0
    assert split(payload, TABLE) == []
    assert join_requests([payload]) == b""
    parts = split(payload + two_traces(), TABLE)
    assert all(b"idle" not in part.payload for part in parts)


def test_unknown_fields_of_the_request_survive() -> None:
    """Unknown fields of the request itself are kept once, in whatever is written."""
    unknown = field(77, b"keep") + number_field(78, 5) + group_field(79)
    payload = field(77, b"keep") + two_traces() + number_field(78, 5) + group_field(79)
    assert b"".join(part.payload for part in split(payload, TABLE)).count(unknown) == 1
    assert join_requests([payload]).endswith(unknown)
    assert b"".join(chunk(payload, 3)).count(unknown) == 1


def test_headers_survive_verbatim() -> None:
    """Schema URLs, unknown fields and groups of headers are in every part as given."""
    resource = field(3, b"https://schema.test/r") + group_field(90, number_field(1, 7))
    scope = field(1, b"\x0a\x03lib") + field(3, b"https://schema.test/s")
    spans = [field(2, span(one, PARENT).SerializeToString()) for one in (A, B)]
    first, second = field(1, b""), number_field(91, 1)
    body = field(2, scope + b"".join(spans))
    payload = field(1, first + body + resource + second)
    for part in split(payload, TABLE):
        (piece,) = group(part.payload, HeaderCache(1))[0].pieces
        assert piece.resource == first + resource + second
        assert piece.scope == scope
        assert piece.spans in spans


def test_absent_trace_id_is_sixteen_zero_bytes() -> None:
    """Spans without a trace id and with an all-zero one are one ordinary trace."""
    payload = request(span(b"", PARENT), span(bytes(16), PARENT))
    (found,) = group(payload, HeaderCache(1))
    assert found.trace_id == bytes(16)
    assert found.span_count == 2
    (part,) = split(payload, list(range(100)))
    assert part.owner == 0xECBB4B55 % 100  # the CRC-32 of 16 zero bytes


@pytest.mark.parametrize("parent", [b"", bytes(8)])
def test_root_has_no_parent(parent: bytes) -> None:
    """A span whose parent is absent or all zero is a root."""
    (found,) = group(request(span(A, PARENT, parent=parent)), HeaderCache(1))
    assert found.root_seen


@pytest.mark.parametrize("position", range(8))
def test_any_byte_makes_a_parent(position: int) -> None:
    """One byte that is not zero makes a parent span id."""
    parent = bytearray(8)
    parent[position] = 1
    (found,) = group(request(span(A, PARENT, parent=bytes(parent))), HeaderCache(1))
    assert not found.root_seen


def with_status(*fields: bytes) -> bytes:
    content = field(1, A) + b"".join(field(15, each) for each in fields)
    return field(1, field(2, field(2, content)))


@pytest.mark.parametrize(
    ("fields", "mask"),
    [
        ([], 1),
        ([b""], 1),
        ([number_field(3, 1)], 2),
        ([number_field(3, 2)], 4),
        ([number_field(3, 2, padding=4)], 4),
        ([number_field(3, 1) + number_field(3, 2)], 4),
        ([number_field(3, 2), field(2, b"message")], 4),
        ([number_field(3, 2), number_field(3, 0)], 1),
        ([number_field(3, 2**32 + 1)], 2),  # the low 32 bits count
        ([number_field(3, 2**64 - 1)], 0),  # -1
        ([number_field(3, 3)], 0),
        ([number_field(3, 127)], 0),
        ([field(3, b"\1")], 1),  # another wire type: not the code
    ],
)
def test_status(fields: list[bytes], mask: int) -> None:
    """The last code of all Status messages counts, as a 32-bit number."""
    (found,) = group(with_status(*fields), HeaderCache(1))
    assert found.status_mask == mask


def test_neighbours_are_one_piece() -> None:
    """A trace whose spans lie apart below one scope has one piece, two below two."""
    first, second = two_traces(), two_traces()
    slices = group(first + second, HeaderCache(10))
    assert [each.trace_id for each in slices] == [A, B]
    assert [piece.span_count for piece in slices[0].pieces] == [2, 2]


def test_headers_are_shared() -> None:
    """Equal headers of different requests are one object while the cache holds them."""
    cache = HeaderCache(10)
    (one, *_), (other, *_) = group(two_traces(), cache), group(two_traces(), cache)
    assert one.pieces[0].resource is other.pieces[0].resource
    assert one.pieces[0].scope is other.pieces[0].scope


def test_header_cache_is_bounded() -> None:
    """However many headers come, twice `entries_max` are kept."""
    cache = HeaderCache(8)
    for number in range(1000):
        cache.intern(b"%d" % number)
        assert len(cache) <= 16


def test_header_cache_keeps_what_is_used() -> None:
    """A header that is used all the time is never forgotten."""
    cache = HeaderCache(4)
    kept = cache.intern(b"kept")
    for number in range(100):
        cache.intern(b"%d" % number)
        assert cache.intern(b"ke" + b"pt") is kept


def test_header_cache_keeps_no_large_header() -> None:
    """A header above 8 KiB is passed through and not held."""
    cache = HeaderCache(4)
    cache.intern(bytes(8 * 1024 + 1))
    assert len(cache) == 0
    cache.intern(bytes(8 * 1024))
    assert len(cache) == 1


def test_header_cache_has_a_budget_of_bytes() -> None:
    """However large the headers are, two generations of `bytes_max` are kept."""
    cache = HeaderCache(1000, bytes_max=4096)
    for number in range(1000):
        cache.intern(number.to_bytes(1000, "big"))
        assert cache.size_bytes == 1000 * len(cache) <= 2 * 4096
    # One that came back from the old generation is counted in one place.
    cache.intern((996).to_bytes(1000, "big"))
    assert cache.size_bytes == 1000 * len(cache)


def test_a_new_header_is_charged_to_one_trace() -> None:
    """Header bytes count for the trace that brought them first, and for no other."""
    cache = HeaderCache(10)
    first, second = group(two_traces(), cache)
    piece = first.pieces[0]
    assert first.header_bytes == len(piece.resource) + len(piece.scope) > 0
    assert second.header_bytes == 0
    assert [each.header_bytes for each in group(two_traces(), cache)] == [0, 0]


def test_join_merges_across_requests() -> None:
    """Equal resources and scopes of several requests are one each."""
    joined = join_requests([two_traces(), two_traces()])
    assert len(joined) < 2 * len(two_traces())
    (first, _) = group(joined, HeaderCache(1))
    assert len(first.pieces) == 1
    assert len(spans_of(joined)) == 8


def test_join_takes_any_iterable() -> None:
    """Pieces made by hand and given by a generator become a request."""
    spans = field(2, field(1, A)) + field(2, field(1, B))
    joined = join(Piece(b"", b"", each) for each in (spans, spans))
    assert joined == field(1, field(2, spans + spans))


def test_small_request_is_one_chunk() -> None:
    """A request with no more spans than allowed is its own only chunk."""
    payload = two_traces()
    (only,) = chunk(payload, 4)
    assert only is payload


@pytest.mark.parametrize("spans_max", [0, -1])
def test_chunk_needs_a_size(spans_max: int) -> None:
    """Chunks of no spans are the caller's mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        chunk(two_traces(), spans_max)


@pytest.mark.parametrize("table", [[], [-1]])
def test_split_needs_owners(table: list[int]) -> None:
    """A table without owners, or with negative ones, is the caller's mistake."""
    with pytest.raises(ValueError, match="owner"):
        split(two_traces(), table)


def test_header_cache_needs_room() -> None:
    """A cache of no entries is the caller's mistake."""
    with pytest.raises(ValueError, match="one entry"):
        HeaderCache(0)


def test_offset_is_that_of_the_given_buffer() -> None:
    """The offset of an error deep in a request counts from the request's start."""
    payload = two_traces() + field(1, field(2, field(2, b"\x0a")))
    with pytest.raises(WireError) as caught:
        group(payload, HeaderCache(1))
    assert caught.value.offset == len(payload)
    assert isinstance(caught.value, ValueError)
