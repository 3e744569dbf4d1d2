"""How deep log records and data points are looked into, and looking.

A shape says of each field of a message what its bytes must be: a message of another
shape, an id of 16 or 8 bytes, packed numbers of eight bytes or packed varints, or
anything. Everything that OTLP knows below a ResourceLogs or a ResourceMetrics has a
shape, attributes and the values in them too, so that `check` refuses what the
Collector's decoder and protobuf's refuse: fields that are cut off, ids of a wrong
length, and messages more than NESTING_MAX deep (protobuf's limit; without one the
stack would be the sender's).

A field whose wire type is not the known one is unknown, as everywhere in this package.
Text is not checked for being UTF-8. What numbers mean is not known here.
"""

from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.errors import WireError
from tailring_otlpwire.fields import (
    BYTES,
    FIRST_TAG,
    NESTING_MAX,
    read_size,
    read_tag,
    skip_value,
    skip_varint,
)

ANY: Final = 0
ID16: Final = 1
ID8: Final = 2
FIXED64S: Final = 3
VARINTS: Final = 4

FLAT: Final = 5  # a message without messages in it
VALUE: Final = 6
ARRAY: Final = 7
KEY_VALUES: Final = 8
KEY_VALUE: Final = 9
RESOURCE: Final = 10
SCOPE: Final = 11
RECORD: Final = 12
SCOPE_LOGS: Final = 13
RESOURCE_LOGS: Final = 14
LOGS_REQUEST: Final = 15
EXEMPLAR: Final = 16
NUMBER_POINT: Final = 17
HISTOGRAM_POINT: Final = 18
BUCKETS: Final = 19
EXPONENTIAL_POINT: Final = 20
SUMMARY_POINT: Final = 21
NUMBERS: Final = 22
HISTOGRAM: Final = 23
EXPONENTIAL: Final = 24
SUMMARY: Final = 25
METRIC: Final = 26
SCOPE_METRICS: Final = 27
RESOURCE_METRICS: Final = 28
METRICS_REQUEST: Final = 29

_NUMBER_MAX: Final = 15  # the largest field number that has a rule


def _rules(numbers: dict[int, int]) -> bytes:
    return bytes(numbers.get(number, ANY) for number in range(_NUMBER_MAX + 1))


# By shape, then by field number. The comments name the fields.
_SHAPES: Final[list[bytes]] = [
    *([_rules({})] * VALUE),
    _rules({5: ARRAY, 6: KEY_VALUES}),  # array_value, kvlist_value
    _rules({1: VALUE}),  # values
    _rules({1: KEY_VALUE}),  # values
    _rules({2: VALUE}),  # value
    _rules({1: KEY_VALUE, 3: FLAT}),  # attributes, entity_refs
    _rules({3: KEY_VALUE}),  # attributes
    # body, attributes, trace_id, span_id
    _rules({5: VALUE, 6: KEY_VALUE, 9: ID16, 10: ID8}),
    _rules({1: SCOPE, 2: RECORD}),
    _rules({1: RESOURCE, 2: SCOPE_LOGS}),
    _rules({1: RESOURCE_LOGS}),
    # span_id, trace_id, filtered_attributes
    _rules({4: ID8, 5: ID16, 7: KEY_VALUE}),
    _rules({5: EXEMPLAR, 7: KEY_VALUE}),  # exemplars, attributes
    # bucket_counts, explicit_bounds, exemplars, attributes
    _rules({6: FIXED64S, 7: FIXED64S, 8: EXEMPLAR, 9: KEY_VALUE}),
    _rules({2: VARINTS}),  # bucket_counts
    # attributes, positive, negative, exemplars
    _rules({1: KEY_VALUE, 8: BUCKETS, 9: BUCKETS, 11: EXEMPLAR}),
    _rules({6: FLAT, 7: KEY_VALUE}),  # quantile_values, attributes
    *(
        _rules({1: point})  # data_points
        for point in (NUMBER_POINT, HISTOGRAM_POINT, EXPONENTIAL_POINT, SUMMARY_POINT)
    ),
    # gauge, sum, histogram, exponential_histogram, summary, metadata
    _rules(
        {5: NUMBERS, 7: NUMBERS, 9: HISTOGRAM}
        | {10: EXPONENTIAL, 11: SUMMARY, 12: KEY_VALUE}
    ),
    _rules({1: SCOPE, 2: METRIC}),
    _rules({1: RESOURCE, 2: SCOPE_METRICS}),
    _rules({1: RESOURCE_METRICS}),
]


def check(buf: bytes, pos: i64, end: i64, shape: i64, nesting: i64) -> None:
    """Refuse the message in buf[pos:end] unless it has the shape.

    `nesting` counts the messages around it. Raises WireError; linear in the bytes.
    """
    if nesting > NESTING_MAX:
        raise WireError(pos, "messages nested too deeply")
    rules: bytes = _SHAPES[shape]
    while pos < end:
        at = pos
        tag: i64 = buf[pos]
        if FIRST_TAG <= tag < 0x80:
            pos += 1
        else:
            tag, pos = read_tag(buf, pos, end)
        if tag & 7 != BYTES:
            pos = skip_value(buf, pos, end, tag, nesting)
            continue
        size, pos = read_size(buf, pos, end)
        number = tag >> 3
        if number <= _NUMBER_MAX:
            rule: i64 = rules[number]
            if rule >= FLAT:
                check(buf, pos, pos + size, rule, nesting + 1)
            elif rule != ANY:
                _check_bytes(buf, pos, pos + size, rule, at)
        pos += size


def _check_bytes(buf: bytes, pos: i64, end: i64, rule: i64, at: i64) -> None:
    size = end - pos
    if rule == ID16:
        if size not in (16, 0):
            raise WireError(at, "trace_id that is not 16 bytes long")
    elif rule == ID8:
        if size not in (8, 0):
            raise WireError(at, "span_id that is not 8 bytes long")
    elif rule == FIXED64S:
        if size & 7:
            raise WireError(at, "packed numbers that are cut off")
    else:
        while pos < end:
            pos = skip_varint(buf, pos, end)
