"""What is refused: the verdict of the protobuf library on damaged requests.

The oracle is a message class that declares just the fields that the scanner looks
into. We refuse what it refuses and accept what it accepts, with three exceptions where
Go and the Collector are stricter than the library: an id of a wrong length, a varint
whose tenth byte has bits above the 64th (the library drops them), and field number 0
inside a group that is skipped. Below the envelope (attributes, events, links, invalid
UTF-8 in names) nothing is judged here.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

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
from tailring_testkit.requests import requests, respelled_requests
from tailring_testkit.wire import Envelope, field, unknown_fields, with_unknown_fields

PAYLOADS = st.one_of(
    requests(), respelled_requests(), requests().flatmap(with_unknown_fields)
)
TABLE = [0, 1, 2]
STRICTER = (
    "not 16 bytes long",
    "not 8 bytes long",
    "varint above 64 bits",
    "field number out of range in a group",
)
PROPERTY = settings(max_examples=150, deadline=None)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A request with one to three places changed, cut out or put in."""
    buf = bytearray(draw(PAYLOADS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(buf)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(buf):
                buf[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del buf[at : at + draw(st.integers(1, 9))]
            case 2:
                buf[at:at] = draw(st.binary(max_size=9))
            case 3:
                buf[at:at] = draw(unknown_fields())
            case _:
                del buf[at:]
    return bytes(buf)


def parsed(payload: bytes) -> Any:
    """The envelope as the library reads it; None when it refuses."""
    try:
        return Envelope.FromString(payload)
    except DecodeError:
        return None


def spans_in(message: Any) -> Iterator[Any]:
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def refusal(
    payload: bytes, *, by: Callable[[bytes], object] = validate
) -> WireError | None:
    """Why we refuse a request; None when we accept it."""
    try:
        by(payload)
    except WireError as error:
        return error
    return None


def assert_same_verdict(payload: bytes) -> None:
    message = parsed(payload)
    error = refusal(payload)
    if error is None:
        assert message is not None, "accepted what protobuf refuses"
        assert validate(payload) == sum(1 for _ in spans_in(message))
    else:
        assert message is None or error.reason.endswith(STRICTER)


@PROPERTY
@given(damaged())
def test_damaged_requests(payload: bytes) -> None:
    """A damaged request is refused exactly when protobuf refuses its envelope."""
    assert_same_verdict(payload)


@PROPERTY
@given(st.binary(max_size=60))
def test_arbitrary_bytes(payload: bytes) -> None:
    """Bytes without any meaning get protobuf's verdict."""
    assert_same_verdict(payload)


@PROPERTY
@given(st.binary(max_size=60))
def test_arbitrary_spans(content: bytes) -> None:
    """A span without any meaning gets protobuf's verdict."""
    assert_same_verdict(field(1, field(2, field(2, content))))


@PROPERTY
@given(damaged())
def test_one_verdict(payload: bytes) -> None:
    """Split and group refuse exactly what validate refuses."""
    readers: list[Callable[[bytes], object]] = [
        validate,
        lambda buf: split(buf, TABLE),
        lambda buf: group(buf, HeaderCache(10)),
    ]
    assert len({refusal(payload, by=reader) is None for reader in readers}) == 1


@PROPERTY
@given(damaged())
def test_shallow_readers_refuse_no_more(payload: bytes) -> None:
    """What validate accepts is also counted, joined and cut."""
    if refusal(payload):
        return
    spans = validate(payload)
    assert count_spans(payload) == spans
    assert validate(join_requests([payload])) == spans
    assert sum(validate(each) for each in chunk(payload, 2)) == spans


@PROPERTY
@given(damaged())
def test_values_agree(payload: bytes) -> None:
    """The last occurrence counts: ids, parent, status and times are protobuf's."""
    if refusal(payload):
        return
    message = parsed(payload)
    slices = group(payload, HeaderCache(10))
    expected: dict[bytes, list[Any]] = {}
    for span in spans_in(message):
        expected.setdefault(span.trace_id or bytes(16), []).append(span)
    assert [each.trace_id for each in slices] == list(expected)
    for each, spans in zip(slices, expected.values(), strict=True):
        times = [time for piece in each.pieces for time in span_times(piece.spans)]
        assert times == [(span.start, span.end) for span in spans]
        assert each.root_seen == any(not any(span.parent_span_id) for span in spans)
        codes = {span.status.code for span in spans}
        assert each.status_mask == sum(1 << code for code in codes if 0 <= code <= 2)


@PROPERTY
@given(PAYLOADS, st.data())
def test_every_cut(payload: bytes, data: st.DataObject) -> None:
    """A request that is cut off anywhere gets protobuf's verdict."""
    assert_same_verdict(payload[: data.draw(st.integers(0, len(payload)))])


@pytest.mark.parametrize("size", [1, 7, 9, 15, 17])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_ids_have_one_length(number: int, size: int) -> None:
    """An id that is neither empty nor of its length is refused at its field."""
    payload = field(1, field(2, field(2, field(number, bytes(size)))))
    with pytest.raises(WireError, match="bytes long at byte 6") as caught:
        validate(payload)
    assert caught.value.offset == 6
    assert caught.value.reason in str(caught.value)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_every_occurrence_of_an_id_is_judged(number: int) -> None:
    """A wrong id is refused even when a right one follows and would count."""
    right = field(number, bytes(16 if number == 1 else 8))
    payload = field(1, field(2, field(2, field(number, b"x") + right)))
    with pytest.raises(WireError, match="bytes long"):
        validate(payload)
