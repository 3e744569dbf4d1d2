"""What hostile requests of logs and metrics, and hostile attributes, may cost.

Cost is counted, not timed, as for traces: the pure form of the modules runs over bytes
that count what is read and copied of them.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest

from tailring_otlpwire import (
    LOGS,
    METRICS,
    TRACES,
    RoutingRule,
    WireError,
    chunk,
    split_by,
    validate,
)
from tailring_testkit.counting import CountingBytes
from tailring_testkit.pure import load_pure
from tailring_testkit.wire import field, number_field
from tailring_testkit.wire_values import (
    array,
    attributed,
    integer,
    mapping,
    request,
    text,
)

TABLE: Final = list(range(16))
PURE: Final = load_pure("tailring_otlpwire")
NAMES: Final = ["service.name", "a", "log.body"]
RULES: Final[list[tuple[Any, ...]]] = [
    *((LOGS, key) for key in ("service", "traceID", "resource")),
    (LOGS, "attributes", NAMES),
    *((METRICS, key) for key in ("service", "resource", "metric", "streamID")),
    (METRICS, "attributes", NAMES),
    *((TRACES, "service"), (TRACES, "attributes", NAMES)),
]


def split_work(rule: tuple[Any, ...]) -> Callable[[bytes], object]:
    made = PURE.RoutingRule(*rule)
    return lambda buf: PURE.split_by(buf, TABLE, made)


WORKERS: Final[dict[str, Callable[[bytes], object]]] = {
    "validate logs": lambda buf: PURE.validate(buf, LOGS),
    "validate metrics": lambda buf: PURE.validate(buf, METRICS),
    "count points": lambda buf: PURE.count(buf, METRICS),
    "chunk points": lambda buf: PURE.chunk(buf, 100, METRICS),
    **{f"split by {rule[:2]}": split_work(rule) for rule in RULES},
}

NAME: Final = attributed(1, {"a": text("x")})


def named(number: int) -> bytes:
    """One attribute of an item, as a field with that number."""
    return field(number, field(1, b"k%d" % number) + field(2, text("v")))


def gauge(content: bytes) -> bytes:
    return field(2, field(5, content))


FAMILIES: Final[dict[str, Callable[[int], bytes]]] = {
    "empty items": lambda n: request({}, b"", *[b""] * n),
    "attributes of a resource": lambda n: request(
        {f"k{i}": integer(i) for i in range(n)}, b"", b""
    ),
    "one attribute of a resource again and again": lambda n: field(
        1, field(1, NAME * n) + field(2, field(2, b""))
    ),
    "messages of a resource": lambda n: field(
        1, field(1, NAME) * n + field(2, field(2, b""))
    ),
    "messages of a scope": lambda n: field(
        1, field(2, field(1, attributed(3, {"a": text("x")})) * n + field(2, b""))
    ),
    "a resource for each item": lambda n: request({"a": text("x")}, b"", b"") * n,
    "attributes of an item": lambda n: request({}, b"", named(6) * n, named(7) * n),
    "items with attributes": lambda n: request({}, b"", *[named(6) + named(7)] * n),
    "bodies of a record": lambda n: request({}, b"", field(5, text("x")) * n),
    "values of an attribute": lambda n: request(
        {}, b"", field(6, field(1, b"a") + field(2, text("x")) * n)
    ),
    "a wide slice": lambda n: request({"a": array(*[integer(1)] * n)}, b"", b""),
    "a wide map": lambda n: request(
        {"a": mapping({f"k{i}": integer(i) for i in range(n)})}, b"", b""
    ),
    "points of a metric": lambda n: field(1, field(2, gauge(field(1, named(7)) * n))),
    "metrics of a point": lambda n: field(1, field(2, gauge(field(1, b"")) * n)),
    "data of a metric": lambda n: field(1, field(2, field(2, field(5, b"") * n))),
    "names of a metric": lambda n: field(
        1, field(2, field(2, field(1, b"m") * n + field(5, field(1, b""))))
    ),
    "exemplars of a point": lambda n: field(
        1, field(2, gauge(field(1, field(5, number_field(9, 1)) * n)))
    ),
}


def work_of(worker: str, payload: bytes) -> int:
    counting = CountingBytes(payload)
    with suppress(PURE.WireError):  # a payload may be of one kind only
        WORKERS[worker](counting)
    return counting.work


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_work_is_linear(family: str, worker: str) -> None:
    """A payload four times as large costs at most about four times the work."""
    small, large = FAMILIES[family](200), FAMILIES[family](800)
    cost_small, cost_large = work_of(worker, small), work_of(worker, large)
    assert cost_large <= 4.6 * cost_small + 1000
    assert cost_large <= 16 * len(large)


def test_a_key_that_comes_again_with_a_large_value() -> None:
    """What a hash repeats for attributes with one key has a limit."""
    large = attributed(1, {"a": text("x" * 10_000)})
    payload = field(1, field(1, large + NAME * 1000) + field(2, field(2, b"")))
    rule = RoutingRule(LOGS, "resource")
    assert split_by(payload, [0], rule).parts
    with pytest.raises(WireError, match="too large to repeat"):
        split_by(payload, [0], rule, copies_bytes_max=9_000_000)


@pytest.mark.parametrize(
    ("kind", "item"), [(TRACES, b""), (LOGS, b""), (METRICS, field(5, field(1, b"")))]
)
def test_a_large_value_in_the_key_of_each_item(kind: int, item: bytes) -> None:
    """What the resource gives to the keys of items is repeated within a limit."""
    ids = (field(1, number.to_bytes(16, "big")) for number in range(3000))
    items = [each if kind == TRACES else item for each in ids]
    payload = request({"a": text("x" * 100_000)}, b"", *items)
    rule = RoutingRule(kind, "attributes", ["a", "n"])
    with pytest.raises(WireError, match="too large to repeat"):
        split_by(payload, [0], rule)
    assert split_by(payload, [0], RoutingRule(kind, "attributes", ["a"])).parts


def test_headers_of_metrics_are_repeated_within_a_limit() -> None:
    """A metric with a large description cannot be blown up by cutting it."""
    points = [attributed(7, {"n": integer(number)}) for number in range(64)]
    data = b"".join(field(1, each) for each in points)
    metric = field(2, b"d" * 1000) + field(5, data)
    payload = request({}, b"", metric)
    rule = RoutingRule(METRICS, "streamID")
    assert len(split_by(payload, TABLE, rule).parts) > 8
    with pytest.raises(WireError, match="too large to repeat"):
        split_by(payload, TABLE, rule, copies_bytes_max=5000)
    assert len(chunk(payload, 8, METRICS)) == 8
    with pytest.raises(WireError, match="too large to repeat"):
        chunk(payload, 8, METRICS, copies_bytes_max=5000)


@pytest.mark.parametrize("inside", [False, True])
def test_maps_that_are_sorted_have_a_limit(inside: bool) -> None:
    """A map of more than 100,000 attributes is valid and not routed by."""
    many = {f"{number}": b"" for number in range(100_001)}
    payload = request({"a": mapping(many)} if inside else many, b"", b"")
    assert validate(payload, LOGS) == 1
    with pytest.raises(WireError, match="more attributes"):
        split_by(payload, [0], RoutingRule(LOGS, "resource"))
    assert split_by(payload, [0], RoutingRule(LOGS, "service")).parts
