"""Sizes of what is rare: odd encodings, entities, indexes, marks of ours."""

from __future__ import annotations

import pytest

from tailring_otlpwire import HeaderCache, group, marked
from tailring_testkit.wire import field, number_field

TRACE = bytes(15) + b"\x01"


@pytest.mark.parametrize(
    ("extra", "more"),
    [
        (number_field(99, 5), 0),
        (number_field(6, 2**64 - 1), 11),
        (number_field(6, 0), 0),
        (number_field(10, 2**32), 0),
        (number_field(10, 2**32 - 1), 6),
        (field(9, b""), 4),
        (field(9, field(2, number_field(8, 3))), 6),
        (field(9, field(2, number_field(8, 2**64 - 1))), 15),
        (field(9, field(2, field(1, b"ab") + number_field(8, 3))), 6),
        (field(9, field(2, number_field(8, 3) + field(1, b"ab"))), 8),
        (field(9, field(2, b"") + number_field(3, 7)), 6),
        (field(9, field(2, field(1, b""))), 6),
        (field(9, field(2, field(5, b"") + field(1, b"ab"))), 8),
        (field(9, field(2, number_field(3, 2**64 - 1))), 15),
        (field(13, b""), 6),
        (field(13, field(1, bytes(16))), 6),
        (field(1, TRACE), 0),
        (field(4, bytes(8)), 0),
        (field(15, field(2, b"no")) + field(15, field(2, b"none")), 6),
    ],
)
def test_odd_fields_of_a_span(extra: bytes, more: int) -> None:
    """Unknown ones vanish, empty ones stay where the Collector writes them, and an
    index of a profile's table is written as the number it is."""
    span = field(1, TRACE) + field(2, bytes(7) + b"s") + extra
    payload = field(1, field(2, field(2, span)))
    assert size_of(payload) == 42 + more


@pytest.mark.parametrize(
    ("entity", "more"),
    [
        (b"", 2),
        (field(1, b"u") + field(1, b"url"), 7),
        (field(2, b"host") + field(2, b""), 2),
        (field(3, b"a") + field(3, b"") + field(4, b"bc"), 11),
        (field(9, b"unknown") + field(2, b"host"), 8),
    ],
)
def test_the_entities_of_a_resource(entity: bytes, more: int) -> None:
    """Their texts count as others do, their keys each time they are there."""
    span = field(1, TRACE) + field(2, bytes(7) + b"s")
    resource = field(1, field(3, entity))
    assert size_of(field(1, resource + field(2, field(2, span)))) == 42 + more


@pytest.mark.parametrize("mark", [b"", b"tenant"])
def test_marks_of_ours_do_not_count(mark: bytes) -> None:
    """They are no part of what a sender has sent."""
    span = field(1, TRACE) + field(2, bytes(7) + b"s")
    payload = field(1, field(2, field(2, span)))
    assert size_of(marked(payload, mark)) == 42


def size_of(payload: bytes) -> int:
    """The size of the only trace of a request."""
    headers = HeaderCache(4)
    (only,) = group(payload, headers, measured=True)
    size: int = only.data_bytes
    return size
