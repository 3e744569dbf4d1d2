"""Items in the field where OTLP had them before 0.15."""

import pytest
from hypothesis import given, settings

from tailring_otlpwire import LOGS, METRICS, WireError, modernised, validate
from tailring_testkit import otlp
from tailring_testkit.requests import requests
from tailring_testkit.wire import field, number_field, with_unknown_fields

OLD = 1000
SPAN = field(2, field(1, b"t" * 16) + field(5, b"old"))
NEW_SPAN = field(2, field(1, b"u" * 16) + field(5, b"new"))
LIBRARY = field(1, field(1, b"library") + field(2, b"1.0"))
RESOURCE = field(1, field(1, field(1, b"key")))


def test_old_spans_stand_where_spans_stand_today() -> None:
    """Old spans become scope_spans; library, resource and schema URL stay theirs."""
    schema = field(3, b"https://schema.test/1")
    old = field(1, field(OLD, LIBRARY + SPAN) + RESOURCE + schema)
    new = field(1, field(2, LIBRARY + SPAN) + RESOURCE + schema)
    assert validate(old) == 0
    assert otlp.spans_of(modernised(old)) == otlp.spans_of(new)
    assert validate(modernised(old)) == 1


def test_old_spans_beside_new_ones_are_dropped() -> None:
    """A ResourceSpans with scope_spans loses its old spans, as in the Collector."""
    mixed = field(1, field(OLD, SPAN) + field(2, NEW_SPAN) + RESOURCE)
    assert modernised(mixed) == field(1, field(2, NEW_SPAN) + RESOURCE)


def test_each_resource_decides_for_itself() -> None:
    """Old and new ResourceSpans of one request keep all of their spans."""
    new = field(1, field(2, NEW_SPAN))
    both = modernised(new + field(1, field(OLD, SPAN) * 2) + field(9, b"x"))
    assert both == new + field(1, field(2, SPAN) * 2) + field(9, b"x")


def test_another_wire_type_is_not_old_spans() -> None:
    """Field 1000 as a number is an unknown field, which stays."""
    odd = field(1, number_field(OLD, 1) + field(2, NEW_SPAN))
    assert modernised(odd) is odd


@pytest.mark.parametrize("cut", [b"\x0a\x7f", field(1, b"\xc2\x3e\x05x")])
def test_a_broken_structure_is_refused(cut: bytes) -> None:
    """What is cut off above the scopes raises, before and after old spans."""
    for broken in (cut, field(1, field(OLD, SPAN)) + cut):
        with pytest.raises(WireError):
            modernised(broken)


def test_what_old_spans_hold_is_validated_after_they_moved() -> None:
    """Old spans that are malformed are found in their new place."""
    moved = modernised(field(1, field(OLD, field(2, field(1, b"short")))))
    with pytest.raises(WireError, match="16 bytes"):
        validate(moved)


@given(requests().flatmap(with_unknown_fields))
@settings(deadline=None)
def test_requests_of_today_are_returned_as_they_are(payload: bytes) -> None:
    """Without old spans the request is the very same object."""
    if b"\xc2\x3e" not in payload:
        assert modernised(payload) is payload


@pytest.mark.parametrize("kind", [LOGS, METRICS])
def test_logs_and_metrics_moved_too(kind: int) -> None:
    """Old log records and metrics stood in the same field, and move as spans do."""
    item = field(5, field(1, b"")) if kind == METRICS else field(3, b"INFO")
    old = field(1, field(OLD, LIBRARY + field(2, item)) + RESOURCE)
    assert validate(old, kind) == 0
    assert modernised(old) == field(1, RESOURCE + field(2, LIBRARY + field(2, item)))
    assert validate(modernised(old), kind) == 1
    both = field(1, field(OLD, field(2, item)) + field(2, field(2, item) * 2))
    assert validate(modernised(both), kind) == 2
