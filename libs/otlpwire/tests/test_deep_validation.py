"""How deep logs and metrics are validated: as deep as the decoders behind us look."""

from typing import Final

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from tailring_otlpwire import LOGS, METRICS, WireError, validate
from tailring_testkit.lenient import LENIENT
from tailring_testkit.signal_requests import requests_of
from tailring_testkit.wire import field, number_field, tag

KINDS: Final = st.sampled_from([LOGS, METRICS])
REQUESTS: Final = KINDS.flatmap(
    lambda kind: st.tuples(st.just(kind), requests_of(kind))
)

STRICTER: Final = (
    "not 16 bytes long",
    "not 8 bytes long",
    "varint above 64 bits",
    "field number out of range in a group",
)
GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY = 5, 7, 9, 10, 11
# From the request to what lies in it, by field numbers.
RECORD: Final = (1, 2, 2)
METRIC: Final = (1, 2, 2)
ATTRIBUTES: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "of a resource of logs": (LOGS, (1, 1, 1)),
    "of a scope of logs": (LOGS, (1, 2, 1, 3)),
    "of a record": (LOGS, (*RECORD, 6)),
    "in the body of a record": (LOGS, (*RECORD, 5, 6, 1)),
    "of a resource of metrics": (METRICS, (1, 1, 1)),
    "of a scope of metrics": (METRICS, (1, 2, 1, 3)),
    "in the metadata of a metric": (METRICS, (*METRIC, 12)),
    "of a point of a gauge": (METRICS, (*METRIC, GAUGE, 1, 7)),
    "of a point of a sum": (METRICS, (*METRIC, SUM, 1, 7)),
    "of a point of a histogram": (METRICS, (*METRIC, HISTOGRAM, 1, 9)),
    "of a point of an exponential one": (METRICS, (*METRIC, EXPONENTIAL, 1, 1)),
    "of a point of a summary": (METRICS, (*METRIC, SUMMARY, 1, 7)),
    "of an exemplar": (METRICS, (*METRIC, HISTOGRAM, 1, 8, 7)),
}
EXEMPLARS: Final = {
    "gauge": (*METRIC, GAUGE, 1, 5),
    "sum": (*METRIC, SUM, 1, 5),
    "histogram": (*METRIC, HISTOGRAM, 1, 8),
    "exponential histogram": (*METRIC, EXPONENTIAL, 1, 11),
}


def within(path: tuple[int, ...], content: bytes) -> bytes:
    for number in reversed(path):
        content = field(number, content)
    return content


BROKEN_ATTRIBUTES: Final = {
    "a key that is cut off": b"\x0a\x05x",
    "a value that is cut off": field(1, b"x") + b"\x12\x05\x0a",
    "text that is cut off": field(2, b"\x0a\x05x"),
    "a number that is cut off": field(2, b"\x18\x80"),
    "a double that is cut off": field(2, b"\x21abc"),
    "a slice with a broken value": field(2, field(5, field(1, b"\x0a\x05"))),
    "a map with a broken key": field(2, field(6, field(1, b"\x0a\x05"))),
}


@pytest.mark.parametrize("broken", BROKEN_ATTRIBUTES)
@pytest.mark.parametrize("where", ATTRIBUTES)
def test_broken_attributes_are_refused(where: str, broken: str) -> None:
    """Attributes are looked into wherever OTLP has them."""
    kind, path = ATTRIBUTES[where]
    assert validate(within(path, field(1, b"x") + field(2, field(1, b"y"))), kind) <= 1
    with pytest.raises(WireError):
        validate(within(path, BROKEN_ATTRIBUTES[broken]), kind)


IDS: Final = [
    (LOGS, (*RECORD, 9), 16),
    (LOGS, (*RECORD, 10), 8),
    *((METRICS, (*path, 5), 16) for path in EXEMPLARS.values()),
    *((METRICS, (*path, 4), 8) for path in EXEMPLARS.values()),
]


@pytest.mark.parametrize(("kind", "path", "size"), IDS)
def test_ids_have_their_length(kind: int, path: tuple[int, ...], size: int) -> None:
    """Ids of records and exemplars are whole or absent, as the Collector demands."""
    for right in (0, size):
        assert validate(within(path, bytes(right)), kind) == 1
    for wrong in (1, size - 1, size + 1, 2 * size):
        with pytest.raises(WireError, match=f"that is not {size} bytes"):
            validate(within(path, bytes(wrong)), kind)


@pytest.mark.parametrize("number", [6, 7])
def test_packed_numbers_of_histograms(number: int) -> None:
    """Counts and bounds are whole numbers of eight bytes, packed or one by one."""
    point = (*METRIC, HISTOGRAM, 1)
    for right in (field(number, bytes(24)), tag(number, 1) + bytes(8)):
        assert validate(within(point, right), METRICS) == 1
    with pytest.raises(WireError, match="cut off"):
        validate(within(point, field(number, bytes(23))), METRICS)


@pytest.mark.parametrize("number", [8, 9])
def test_packed_varints_of_exponential_histograms(number: int) -> None:
    """Counts of buckets are whole varints, packed or one by one."""
    buckets = (*METRIC, EXPONENTIAL, 1, number)
    for right in (field(2, b"\x01\xff\x7f"), number_field(2, 300)):
        assert validate(within(buckets, right), METRICS) == 1
    for wrong in (b"\x01\xff", b"\xff" * 11):
        with pytest.raises(WireError, match="varint"):
            validate(within(buckets, field(2, wrong)), METRICS)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (LOGS, (1, 1, 3)),  # an entity
        (METRICS, (1, 1, 3)),
        (METRICS, (*METRIC, SUMMARY, 1, 6)),  # a quantile
    ],
)
def test_other_messages_are_looked_into(kind: int, path: tuple[int, ...]) -> None:
    """Messages without a meaning to us are still messages."""
    assert validate(within(path, field(99, b"")), kind) <= 1
    with pytest.raises(WireError):
        validate(within(path, b"\x0a\x05x"), kind)


@pytest.mark.parametrize(("shape", "levels"), [(5, 2), (6, 3)])
def test_depth_has_a_limit(shape: int, levels: int) -> None:
    """Slices in slices and maps in maps are read as deep as protobuf reads them."""

    def nested(times: int) -> bytes:
        """A request with a body of so many slices or maps in each other."""
        value = b""
        for _ in range(times):
            inner = value if levels == 2 else field(2, value)
            value = field(shape, field(1, inner))
        return within((*RECORD, 5), value)

    depth = (100 - 4) // levels
    assert validate(nested(depth), LOGS) == 1
    assert LENIENT[LOGS].FromString(nested(depth)) is not None
    with pytest.raises(WireError, match="too deeply"):
        validate(nested(depth + 1), LOGS)
    with pytest.raises(DecodeError):
        LENIENT[LOGS].FromString(nested(depth + 1))


def refusal(payload: bytes, kind: int) -> str:
    """Why a request is refused; empty when it is not."""
    try:
        validate(payload, kind)
    except WireError as error:
        return error.reason
    return ""


def is_read(payload: bytes, kind: int) -> bool:
    """Whether protobuf's decoder takes a request."""
    try:
        LENIENT[kind].FromString(payload)
    except DecodeError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(REQUESTS, st.data())
def test_harmed_requests_are_judged_as_protobuf_judges_them(
    request: tuple[int, bytes], data: st.DataObject
) -> None:
    """Of requests with a few harmed bytes those pass that protobuf's decoder reads,
    but for what Go and the Collector are stricter about."""
    kind, payload = request
    harmed = bytearray(payload)
    for _ in range(data.draw(st.integers(0, 3))):
        if harmed:
            place = data.draw(st.integers(0, len(harmed) - 1))
            harmed[place] = data.draw(st.integers(0, 255))
    cut = bytes(harmed[: data.draw(st.integers(0, len(harmed)))])
    for broken in (bytes(harmed), cut):
        reason = refusal(broken, kind)
        if is_read(broken, kind):
            assert not reason or any(each in reason for each in STRICTER)
        else:
            assert reason
