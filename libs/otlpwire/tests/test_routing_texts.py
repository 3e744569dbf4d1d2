"""The text of attributes, and odd ways to spell them, as upstream reads them."""

import pytest

from tailring_otlpwire import (
    LOGS,
    METRICS,
    TRACES,
    RoutingRule,
    WireError,
    routing_keys,
    split_by,
)
from tailring_testkit.wire import field, number_field
from tailring_testkit.wire_values import (
    EMPTY,
    FALSE,
    TRUE,
    Attributes,
    array,
    attributed,
    double,
    integer,
    mapping,
    pairs,
    request,
    text,
)

SERVICE: Attributes = {"service.name": text("checkout")}


def keys(payload: bytes, kind: int, key: str, *names: str) -> list[str]:
    rule = RoutingRule(kind, key, names)
    return [each.decode() for each in routing_keys(payload, rule)]


NUMBERS = [
    (0.0, "0"),
    (-0.0, "-0"),
    (1.0, "1"),
    (1.5, "1.5"),
    (-2.25, "-2.25"),
    (123456.789, "123456.789"),
    (1000000.0, "1000000"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"),
    (1.5e300, "1.5e+300"),
    (0.0001, "0.0001"),
    (1e-6, "0.000001"),
    (1.23e-6, "0.00000123"),
    (1e-7, "1e-7"),
    (-1.25e-7, "-1.25e-7"),
    (1e-10, "1e-10"),
    (5e-324, "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (float("nan"), "NaN"),
    (float("inf"), "Infinity"),
    (float("-inf"), "-Infinity"),
]

TEXTS: dict[str, tuple[bytes, str]] = {
    "text": (text("a=b|c"), "a=b|c"),
    "a number": (integer(-42), "-42"),
    "the least number": (integer(-(2**63)), "-9223372036854775808"),
    "the greatest number": (integer(2**63 - 1), "9223372036854775807"),
    "truth": (TRUE, "true"),
    "a lie": (FALSE, "false"),
    "bytes": (field(7, b"\x01\xff"), "Af8="),
    "no bytes": (field(7, b""), ""),
    "nothing": (EMPTY, ""),
    "an index of a table of profiles": (number_field(8, 5), ""),
    "a map": (
        mapping(
            {"b": integer(1), "a": text("x<y>&"), "c": double(1.0)}
            | {"d": field(7, b"hi"), "e": EMPTY}
        ),
        '{"a":"x<y>&","b":1,"c":1,"d":"aGk=","e":null}',
    ),
    "a slice": (
        array(text("a"), integer(2), EMPTY, FALSE, double(3.0)),
        '["a",2,null,false,3]',
    ),
    "an empty map": (mapping({}), "{}"),
    "an empty slice": (array(), "[]"),
    "empty bytes in a slice": (array(field(7, b"")), "[null]"),
    "NaN deep inside": (array(mapping({"a": double(float("nan"))})), ""),
    "an infinity after other values": (array(text("a"), double(float("inf"))), ""),
    "escapes": (
        array(text('\b\f\n\r\t"\\\x01\x1f\x7f/\u2028\u2029é')),
        r'["\b\f\n\r\t\"\\\u0001\u001f' + "\x7f/" + r'\u2028\u2029é"]',
    ),
    "keys in the order of their bytes": (
        mapping({"é": integer(1), "z": integer(2), "": integer(3), "Z": integer(4)}),
        '{"":3,"Z":4,"z":2,"é":1}',
    ),
    "no UTF-8 in a slice": (
        array(field(1, b"a\xff\xe2\x82b\xed\xa0\x80")),
        r'["a\ufffd\ufffd\ufffdb\ufffd\ufffd\ufffd"]',
    ),
    "of two types the last": (text("a") + integer(1), "1"),
    "an unknown field after the value": (text("a") + number_field(99, 1), "a"),
    "a map that replaces a map": (
        mapping({"a": integer(1)}) + mapping({"b": integer(2)}),
        '{"b":2}',
    ),
    "a key that comes twice in a map": (
        field(
            6,
            b"".join(field(1, each) for each in pairs({"a": integer(1)}) * 2)
            + field(1, field(1, b"a") + field(2, integer(2))),
        ),
        '{"a":2}',
    ),
}


@pytest.mark.parametrize(("number", "written"), NUMBERS)
def test_text_of_numbers(number: float, written: str) -> None:
    """Floating numbers are written as ECMAScript writes them, in JSON too."""
    payload = request({"x": double(number), "y": array(double(number))}, b"", b"")
    finite = "N" not in written and "I" not in written
    inner = f"[{written}]" if finite else ""
    assert keys(payload, LOGS, "attributes", "x", "y") == [f"x={written}|y={inner}|"]


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_values(name: str) -> None:
    """The text of a value is the Collector's, wherever the attribute stands."""
    value, written = TEXTS[name]
    expected = [f"x={written}|"]
    in_resource = request({"x": value}, b"", b"")
    in_scope = request({}, attributed(3, {"x": value}), b"")
    for kind in (TRACES, LOGS):
        assert keys(in_resource, kind, "attributes", "x") == expected
        assert keys(in_scope, kind, "attributes", "x") == expected
    in_record = request({}, b"", attributed(6, {"x": value}))
    assert keys(in_record, LOGS, "attributes", "x") == expected
    in_span = request({}, b"", attributed(9, {"x": value}))
    assert keys(in_span, TRACES, "attributes", "x") == expected
    body = request({}, b"", field(5, value))
    assert keys(body, LOGS, "attributes", "log.body") == [f"log.body={written}|"]


def test_text_that_is_not_utf8_is_taken_as_it_is() -> None:
    """The bytes of text go into the key unchanged."""
    payload = request({"service.name": field(1, b"\xff\xfe")}, b"", b"")
    assert routing_keys(payload, RoutingRule(LOGS, "service")) == [b"\xff\xfe"]
    expected = [b"service.name=\xff\xfe|"]
    assert routing_keys(payload, RoutingRule(TRACES, "service")) == expected


def gauge(name: str, *points: bytes) -> bytes:
    return field(1, name.encode()) + field(
        5, b"".join(field(1, each) for each in points)
    )


def test_of_two_attributes_the_first_counts() -> None:
    """Of attributes with one key the first is found; a hash has it twice."""
    twice = [*pairs({"a": text("1")}), *pairs({"a": text("2")})]
    resource = b"".join(field(1, each) for each in twice)
    payload = field(1, field(1, resource) + field(2, field(2, b"")))
    assert keys(payload, LOGS, "attributes", "a") == ["a=1|"]
    again = b"".join(field(1, each) for each in [twice[0]] * 2)
    same = field(1, field(1, again) + field(2, field(2, b"")))
    assert keys(payload, LOGS, "resource") == keys(same, LOGS, "resource")
    once = request({"a": text("1")}, b"", b"")
    assert keys(payload, LOGS, "resource") != keys(once, LOGS, "resource")


def test_a_resource_in_several_messages() -> None:
    """Messages of a resource, wherever they stand, are one."""
    first, second = (field(1, attributed(1, {name: text("1")})) for name in "ab")
    payload = field(1, first + field(2, field(2, b"")) + second)
    assert keys(payload, LOGS, "attributes", "b", "a") == ["b=1|a=1|"]
    whole = request({"b": text("1"), "a": text("1")}, b"", b"")
    assert keys(payload, LOGS, "resource") == keys(whole, LOGS, "resource")


def test_a_value_in_several_messages() -> None:
    """The value of an attribute may come in several messages, of which the last."""
    several = (
        field(1, b"a") + field(2, text("1")) + field(2, integer(2)) + field(2, b"")
    )
    payload = field(1, field(1, field(1, several)) + field(2, field(2, b"")))
    assert keys(payload, LOGS, "attributes", "a") == ["a=2|"]


def test_the_last_data_of_a_metric_counts() -> None:
    """Of several kinds of points in one metric only the last are items."""
    metric = gauge("m", b"", b"") + field(7, field(1, b"") + number_field(2, 1))
    payload = request(SERVICE, b"", metric)
    assert len(routing_keys(payload, RoutingRule(METRICS, "streamID"))) == 1


@pytest.mark.parametrize("attribute", [b"\x0a\x05x", field(1, b"x") + b"\x12\x7f"])
def test_broken_attributes_are_refused(attribute: bytes) -> None:
    """An attribute that a key needs and that is cut off makes the request invalid."""
    resource = field(1, field(1, attribute))
    payload = field(1, resource + field(2, field(2, b"")))
    for kind, key in ((TRACES, "attributes"), (LOGS, "attributes"), (LOGS, "resource")):
        rule = RoutingRule(kind, key, ["x"] if key == "attributes" else [])
        with pytest.raises(WireError):
            split_by(payload, [0], rule)


def nested(depth: int) -> bytes:
    value = text("x")
    for _ in range(depth):
        value = array(value)
    return value


@pytest.mark.parametrize("key", ["attributes", "resource"])
def test_nesting_of_values_has_a_limit(key: str) -> None:
    """Values that protobuf could not read are not read either."""
    names = ["x"] if key == "attributes" else []
    rule = RoutingRule(LOGS, key, names)
    assert routing_keys(request({"x": nested(40)}, b"", b""), rule)
    with pytest.raises(WireError, match="too deeply"):
        routing_keys(request({"x": nested(60)}, b"", b""), rule)
