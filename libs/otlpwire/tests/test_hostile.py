"""A table of hostile requests, the outcome of each, and what they may cost.

Cost is counted, not timed: the pure form of the modules runs over a buffer that counts
the bytes that are read and copied. A family of payloads is measured at two sizes, and
the work may grow no faster than the size.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tailring_otlpwire import (
    HeaderCache,
    WireError,
    chunk,
    count_spans,
    group,
    join_requests,
    span_times,
    split,
    validate,
)
from tailring_testkit.counting import CountingBytes
from tailring_testkit.pure import load_pure
from tailring_testkit.wire import field, number_field, tag, varint
from tailring_testkit.wire import group as group_field

TABLE: Final = list(range(64))
ENVELOPE_DEPTHS: Final = ((), (1,), (1, 2), (1, 2, 2), (1, 2, 2, 15))


def within(path: tuple[int, ...], content: bytes) -> bytes:
    for number in reversed(path):
        content = field(number, content)
    return content


def trace(number: int) -> bytes:
    """A span that has only a trace id."""
    return field(2, field(1, number.to_bytes(16, "big")))


def nested_groups(depth: int) -> bytes:
    return tag(9, 3) * depth + tag(9, 4) * depth


REFUSED: Final = {
    "a lone continuation bit": b"\x80",
    "a tag of five continuation bits": b"\x80" * 5,
    "a tag of six bytes": b"\x8a" + b"\x80" * 4 + b"\x00\x00",
    "a tag above 32 bits": varint(2**32 + 8) + b"\x00",
    "field number 0": b"\x00\x00",
    "field number 0 with a size": b"\x02\x00",
    "field number 0 in two bytes": b"\x80\x00\x00",
    "wire type 6": b"\x0e",
    "wire type 7": b"\x0f",
    "a tag without a value": b"\x0a",
    "a size beyond the end": b"\x0a\x01",
    "a size of 2 GiB": b"\x0a" + varint(2**31),
    "a size of 2**32 that wraps": b"\x0a" + varint(2**32),
    "a size of 2**63": b"\x0a" + varint(2**63),
    "a size of 2**64 - 1": b"\x0a" + varint(2**64 - 1),
    "a size of 2**64 that wraps": b"\x0a" + varint(2**64),
    "a size of 1000 bytes": b"\x0a" + b"\x80" * 1000 + b"\x00",
    "a varint of eleven bytes": tag(9, 0) + b"\x80" * 10 + b"\x00",
    "a varint of 2**64": tag(9, 0) + varint(2**64),
    "an endless varint": tag(9, 0) + b"\xff" * 100_000,
    "a fixed32 cut off": tag(9, 5) + bytes(3),
    "a fixed64 cut off": tag(9, 1) + bytes(7),
    "a group not ended": tag(9, 3),
    "a group ended twice": group_field(9) + tag(9, 4),
    "a group ended by another": tag(9, 3) + tag(8, 4),
    "groups that overlap": tag(9, 3) + tag(8, 3) + tag(9, 4) + tag(8, 4),
    "a group ended outside its message": field(1, tag(9, 3)) + tag(9, 4),
    "an end without a group": tag(9, 4),
    "a bad field in a group": group_field(9, b"\x00\x00"),
    "a long field number 0 in a group": group_field(9, b"\x80\x00\x00"),
    "a tag above 32 bits in a group": group_field(9, varint(2**32 + 8) + b"\x00"),
    "a size in a group beyond the end": group_field(9, b"\x0a\x7f"),
    "groups nested 101 deep": nested_groups(101),
    "a bomb of a million groups": tag(9, 3) * 1_000_000,
    "a bomb of matched groups": nested_groups(500_000),
    "plain text": b"GET / HTTP/1.1\r\nHost: collector\r\n\r\n",
    "JSON": b'{"resourceSpans":[]}',
    "gzip": bytes.fromhex("1f8b0800000000000003"),
    "all ones": b"\xff" * 64,
    "all zeros": bytes(64),
}

REFUSED_IN_PLACE: Final = {
    "a start time cut off": within((1, 2, 2), tag(7, 1) + bytes(7)),
    "a resource larger than its message": field(1, b"\x0a\x05abc"),
    "a span that ends in its size": within((1, 2), b"\x12\x85"),
    "a status that is cut off": within((1, 2, 2), b"\x7a\x02\x18\x80"),
    "a status code without a value": within((1, 2, 2), b"\x7a\x01\x18"),
}

ACCEPTED: Final = {
    "nothing": (b"", 0),
    "an empty resource": (field(1, b""), 0),
    "an empty scope": (within((1, 2), b""), 0),
    "an empty span": (within((1, 2, 2), b""), 1),
    "a tag of five bytes": (b"\x8a\x80\x80\x80\x00\x00", 0),
    "a size of five bytes": (b"\x0a\x80\x80\x80\x80\x00", 0),
    "a varint of ten bytes": (tag(9, 0) + b"\x80" * 9 + b"\x01", 0),
    "the largest field number": (tag(2**29 - 1, 0) + b"\x00", 0),
    "groups nested 100 deep": (nested_groups(100), 0),
    "a million groups side by side": (group_field(9) * 1_000_000, 0),
    "a resource of wire type 0": (number_field(1, 5), 0),
    "a trace id of wire type 0": (within((1, 2, 2), number_field(1, 5)), 1),
    "a start time of wire type 0": (within((1, 2, 2), number_field(7, 5)), 1),
    "a status of wire type 0": (within((1, 2, 2), number_field(15, 5)), 1),
    "a resource as a group": (group_field(1), 0),
    "a thousand trace ids": (within((1, 2, 2), field(1, bytes(16)) * 1000), 1),
    "spans that look like scopes": (within((1, 2, 2, 9), field(1, b"")), 1),
    "text that is not UTF-8": (within((1, 2, 2), field(5, b"\xff\xfe")), 1),
}

READERS: Final[dict[str, Callable[[bytes], object]]] = {
    "validate": validate,
    "split": lambda buf: split(buf, TABLE),
    "group": lambda buf: group(buf, HeaderCache(8)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", REFUSED | REFUSED_IN_PLACE)
def test_refused(name: str, reader: str) -> None:
    """Malformed bytes raise WireError with an offset inside the buffer."""
    payload = (REFUSED | REFUSED_IN_PLACE)[name]
    with pytest.raises(WireError) as caught:
        READERS[reader](payload)
    assert 0 <= caught.value.offset <= len(payload)
    assert caught.value.reason


@pytest.mark.parametrize("path", ENVELOPE_DEPTHS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_every_depth(name: str, path: tuple[int, ...]) -> None:
    """What is malformed in the request is malformed in each message inside it."""
    with pytest.raises(WireError):
        validate(within(path, REFUSED[name]))


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    """Odd but well-formed bytes are read, and every reader sees the same spans."""
    payload, spans = ACCEPTED[name]
    assert validate(payload) == count_spans(payload) == spans
    assert sum(part.spans for part in split(payload, TABLE)) == spans
    assert sum(each.span_count for each in group(payload, HeaderCache(8))) == spans
    assert validate(join_requests([payload])) == spans
    assert sum(validate(each) for each in chunk(payload, 1)) == spans


@pytest.mark.parametrize("path", ENVELOPE_DEPTHS)
def test_nesting_counts_messages(path: tuple[int, ...]) -> None:
    """Messages and groups together are at most 100 deep, as in protobuf's decoders."""
    deepest = 100 - len(path)
    assert validate(within(path, nested_groups(deepest))) >= 0
    with pytest.raises(WireError, match="too deeply"):
        validate(within(path, nested_groups(deepest + 1)))


@pytest.mark.parametrize("reader", [span_times, count_spans, join_requests])
def test_shallow_readers_refuse_too(reader: Callable[[Any], object]) -> None:
    """Readers that look less deep raise the same error for what they see."""
    broken = b"\x12\x05"
    with pytest.raises(WireError):
        reader([broken] if reader is join_requests else broken)


# ---------------------------------------------------------------- cost


PURE: Final = load_pure("tailring_otlpwire")

WORKERS: Final[dict[str, Callable[[bytes], object]]] = {
    "validate": PURE.validate,
    "split": lambda buf: PURE.split(buf, TABLE),
    "group": lambda buf: PURE.group(buf, PURE.HeaderCache(8)),
    "join_requests": lambda buf: PURE.join_requests([buf]),
    "chunk": lambda buf: PURE.chunk(buf, 100),
}

HEADER: Final = field(1, b"h" * 2000)

FAMILIES: Final[dict[str, Callable[[int], bytes]]] = {
    "empty resources": lambda n: field(1, b"") * n,
    "empty scopes": lambda n: field(1, field(2, b"") * n),
    "empty spans": lambda n: within((1, 2), field(2, b"") * n),
    "spans of one trace": lambda n: within((1, 2), HEADER + trace(1) * n),
    "spans of many traces": lambda n: within(
        (1, 2), HEADER + b"".join(trace(i) for i in range(n))
    ),
    "two traces alternating": lambda n: within((1, 2), (trace(1) + trace(2)) * n),
    "a scope for each span": lambda n: within(
        (1,), HEADER + b"".join(field(2, trace(i)) for i in range(n))
    ),
    "a resource for each span": lambda n: b"".join(
        within((1, 2), trace(i)) for i in range(n)
    ),
    "headers between scopes": lambda n: within(
        (1,), (field(3, b"x") + field(2, trace(1))) * n
    ),
    "headers between spans": lambda n: within((1, 2), (field(3, b"x") + trace(1)) * n),
    "unknown fields": lambda n: number_field(9, 1) * n + within((1, 2), trace(1)),
    "unknown fields in a span": lambda n: within((1, 2, 2), number_field(9, 1) * n),
    "groups in a scope": lambda n: within((1, 2), group_field(9) * n + trace(1)),
    "status messages": lambda n: within((1, 2, 2), field(15, number_field(3, 1)) * n),
    "codes in one status": lambda n: within((1, 2, 2, 15), number_field(3, 1) * n),
    "long sizes": lambda n: within((1, 2), field(2, b"", padding=3) * n),
}


def work_of(worker: str, payload: bytes) -> int:
    counting = CountingBytes(payload)
    WORKERS[worker](counting)
    return counting.work


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_work_is_linear(family: str, worker: str) -> None:
    """A payload four times as large costs at most about four times the work."""
    small, large = FAMILIES[family](500), FAMILIES[family](2000)
    cost_small, cost_large = work_of(worker, small), work_of(worker, large)
    assert cost_large <= 4.4 * cost_small + 1000
    assert cost_large <= 8 * len(large)


def test_header_is_copied_once_per_owner() -> None:
    """However many scopes and spans an owner has, its part holds each header once."""
    large = field(1, b"H" * 5000)
    scopes = b"".join(
        field(2, field(1, b"S" * 50) + b"".join(trace(100 * i + j) for j in range(100)))
        for i in range(20)
    )
    payload = field(1, large + scopes)
    parts = split(payload, TABLE)
    assert len(parts) == len(TABLE)
    assert all(part.payload.count(b"H" * 5000) == 1 for part in parts)
    total = sum(len(part.payload) for part in parts)
    copies = len(TABLE) * (len(large) + 20 * 60)
    assert total <= len(payload) + copies


def test_many_copies_of_headers_are_refused() -> None:
    """A cut that would repeat more bytes of headers than allowed is refused."""
    spans = b"".join(trace(number) for number in range(8))
    payload = field(1, field(1, bytes(1000)) + field(2, spans))
    assert len(split(payload, [0, 1], copies_bytes_max=1100)) == 2
    assert len(chunk(payload, 4, copies_bytes_max=1100)) == 2
    with pytest.raises(WireError, match="headers too large"):
        split(payload, [0, 1], copies_bytes_max=900)
    with pytest.raises(WireError, match="headers too large"):
        chunk(payload, 4, copies_bytes_max=900)


def test_copies_are_bounded_by_default() -> None:
    """A large resource above many small spans cannot be blown up without end."""
    resource = field(1, bytes(4_000_000))
    payload = field(1, resource + field(2, b"".join(trace(i) for i in range(2000))))
    with pytest.raises(WireError, match="headers too large"):
        split(payload, list(range(100)))
    with pytest.raises(WireError, match="headers too large"):
        chunk(payload, 1)
