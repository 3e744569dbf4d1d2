"""Keys that were written down with upstream v0.161.0."""

import re

import pytest

from tailring_otlpwire import (
    LOGS,
    METRICS,
    TRACES,
    RoutingRule,
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


def test_attributes_of_traces_in_the_order_of_the_configuration() -> None:
    """Below traces the key has the names in the order that was configured."""
    span = field(5, b"GET /") + number_field(6, 2) + attributed(9, {"d": double(1.5)})
    scope = attributed(3, {"sc": text("v")})
    payload = request({**SERVICE, "n": integer(3)}, scope, span)
    names = ["span.kind", "sc", "service.name", "n", "d", "span.name", "none"]
    assert keys(payload, TRACES, "attributes", *names) == [
        "span.kind=Server|sc=v|service.name=checkout|n=3|d=1.5|span.name=GET /|none=|"
    ]


@pytest.mark.parametrize("number", range(7))
def test_kinds_of_spans(number: int) -> None:
    """Each kind of span has its word; numbers that are none have nothing."""
    words = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer", ""]
    kind = words[number]
    payload = request({}, b"", number_field(6, number))
    assert keys(payload, TRACES, "attributes", "span.kind") == [f"span.kind={kind}|"]


def test_a_resource_attribute_wins_over_a_pseudo_attribute() -> None:
    """Literal attributes of resource and scope come first; those of spans do not."""
    own = {"span.kind": text("own")}
    span = number_field(6, 3)
    in_resource = request(own, b"", span)
    in_scope = request({}, attributed(3, own), span)
    in_span = request({}, b"", span + attributed(9, own))
    for payload, found in (
        (in_resource, "own"),
        (in_scope, "own"),
        (in_span, "Client"),
    ):
        assert keys(payload, TRACES, "attributes", "span.kind") == [
            f"span.kind={found}|"
        ]


def test_service_of_traces() -> None:
    """Below traces the service is found on scope and span too, as any attribute."""
    assert keys(request(SERVICE, b"", b""), TRACES, "service") == [
        "service.name=checkout|"
    ]
    in_scope = request({}, attributed(3, SERVICE), b"")
    assert keys(in_scope, TRACES, "service") == ["service.name=checkout|"]
    assert keys(request({}, b"", b""), TRACES, "service") == ["service.name=|"]
    number = request({"service.name": integer(3)}, b"", b"")
    assert keys(number, TRACES, "service") == ["service.name=3|"]


def test_service_of_logs() -> None:
    """Below logs the service is the bare text; empty for anything else."""
    assert keys(request(SERVICE, b"", b""), LOGS, "service") == ["checkout"]
    assert keys(request({}, b"", b""), LOGS, "service") == [""]
    number = request({"service.name": integer(3)}, b"", b"")
    assert keys(number, LOGS, "service") == [""]


def test_attributes_of_logs_by_level() -> None:
    """Below logs the key has resource, scope and record in this order."""
    record = field(3, b"ERROR") + field(5, text("boom"))
    record += attributed(6, {"n": integer(3)})
    payload = request(SERVICE, attributed(3, {"sc": text("v")}), record)
    names = ["log.severity", "n", "service.name", "log.body", "sc", "none"]
    assert keys(payload, LOGS, "attributes", *names) == [
        "service.name=checkout|sc=v|log.severity=ERROR|n=3|log.body=boom|none=|"
    ]


def test_trace_ids_of_logs() -> None:
    """The key of a record is the text of its trace id, not the bytes of it."""
    record = field(9, bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"))
    found = keys(request({}, b"", record), LOGS, "traceID")
    assert found == ["4bf92f3577b34da6a3ce929d0e0e4736"]


# ---------------------------------------------------------------- metrics

MIXED: Attributes = {
    **SERVICE,
    "host.id": text("h1"),
    "n": integer(3),
    "f": double(1.5),
    "ok": TRUE,
}


def gauge(name: str, *points: bytes) -> bytes:
    return field(1, name.encode()) + field(
        5, b"".join(field(1, each) for each in points)
    )


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        (SERVICE, "resource/9d126046fdb6c015"),
        ({}, "resource/88201fb960ff6465"),
        (MIXED, "resource/1e5602e50c1e339"),
    ],
)
def test_identities_of_resources(resource: Attributes, key: str) -> None:
    """The identity of a resource is upstream's, of logs and of metrics."""
    assert keys(request(resource, b"", b""), LOGS, "resource") == [key]
    payload = request(resource, b"", gauge("cpu", b""))
    assert keys(payload, METRICS, "resource") == [key]


def test_identities_of_streams() -> None:
    """The identity of a stream is upstream's."""
    method = attributed(7, {"method": text("GET")})
    data = field(1, method) + number_field(2, 2) + number_field(3, 1)
    metric = field(1, b"http.requests") + field(3, b"1") + field(7, data)
    scope = field(1, b"lib") + field(2, b"1.0")
    assert keys(request(SERVICE, scope, metric), METRICS, "streamID") == [
        "stream/9e144f79347a7051"
    ]
    plain = request(SERVICE, b"", gauge("cpu", b""))
    assert keys(plain, METRICS, "streamID") == ["stream/77b782ba60020d08"]


def test_attributes_of_points() -> None:
    """Below metrics the resource comes first, then the point."""
    point = attributed(7, {"d": double(1e6)})
    payload = request({"service.name": integer(3)}, b"", gauge("cpu", point))
    assert keys(payload, METRICS, "attributes", "d", "service.name") == [
        "service.name=3|d=1000000|"
    ]


def test_metrics_by_name() -> None:
    """A metric goes by its name, which may be empty."""
    payload = request({}, b"", gauge("cpu", b"", b""), field(5, field(1, b"")))
    assert keys(payload, METRICS, "metric") == ["cpu", "cpu", ""]


UNROUTABLE: dict[str, tuple[Attributes, str]] = {
    "nothing": ({}, "map[]"),
    "every type": (
        MIXED | {"service.name2": EMPTY, "b": field(7, b"\x01\xff")},
        "map[b:[1 255] f:1.5 host.id:h1 n:3 ok:true service.name2:<nil>]",
    ),
    "maps and slices": (
        {"m": mapping({"y": integer(1), "x": array(text("a"), FALSE)})},
        "map[m:map[x:[a false] y:1]]",
    ),
    "numbers": (
        {"a": double(1e6), "b": double(1e-5), "c": double(123456.5)}
        | {"d": double(float("-inf")), "e": double(-0.0)},
        "map[a:1e+06 b:1e-05 c:123456.5 d:-Inf e:-0]",
    ),
}


@pytest.mark.parametrize("name", UNROUTABLE)
def test_metrics_without_a_service(name: str) -> None:
    """Points without a service are counted, and upstream's error says which."""
    resource, shown = UNROUTABLE[name]
    resource = {key: it for key, it in resource.items() if key != "service.name"}
    lost = request(resource, b"", gauge("cpu", b"", b""))
    kept = request(SERVICE, b"", gauge("cpu", b""))
    split = split_by(lost + kept, [0, 1], RoutingRule(METRICS, ""))
    assert (split.unroutable_items, [one.items for one in split.parts]) == (2, [1])
    assert split.parts[0].payload == kept
    assert split.unroutable == (
        f"unable to get service name from resource metric with attributes: {shown}"
    )


def test_a_long_complaint_is_cut() -> None:
    """However large the attributes are, the error stays short."""
    resource = {f"k{n}": text("x" * 1000) for n in range(50)}
    payload = request(resource | {"deep": mapping(resource)}, b"", gauge("cpu", b""))
    assert len(split_by(payload, [0], RoutingRule(METRICS, "")).unroutable) < 2200


def test_a_metric_that_is_cut_keeps_what_it_has() -> None:
    """Metadata, temporality and unknown fields are in each part of a cut metric."""
    points = [attributed(7, {"n": integer(number)}) for number in range(20)]
    data = number_field(2, 2) + number_field(3, 1) + field(77, b"of the data")
    data += b"".join(field(1, each) for each in points)
    metadata = field(12, pairs(SERVICE)[0])
    metric = field(1, b"m") + field(7, data) + metadata + field(78, b"of the metric")
    found = split_by(
        request({}, b"", metric), [0, 1, 2], RoutingRule(METRICS, "streamID")
    )
    assert sorted(part.owner for part in found.parts) == [0, 1, 2]
    for part in found.parts:
        assert metadata in part.payload
        assert number_field(2, 2) + number_field(3, 1) in part.payload
        assert b"of the data" in part.payload
        assert b"of the metric" in part.payload


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("kind", "key", "attributes", "message"),
    [
        (TRACES, "resource", [], "unsupported routing_key: resource"),
        (TRACES, "traceid", [], "unsupported routing_key: traceid"),
        (LOGS, "metric", [], 'unsupported routing_key: "metric"'),
        (METRICS, "traceID", [], 'unsupported routing_key: "traceID"'),
        (LOGS, "streamID", [], 'unsupported routing_key: "streamID"'),
        (
            *(LOGS, "attributes", []),
            'routing_attributes must be specified when routing_key is "attributes"',
        ),
        (
            *(TRACES, "service", ["a"]),
            'routing_attributes can only be used when routing_key is "attributes"; got '
            '"service". Remove routing_attributes or set routing_key to "attributes"',
        ),
        (7, "service", [], "a kind is one of TRACES, LOGS and METRICS"),
    ],
)
def test_rules_that_do_not_exist(
    kind: int, key: str, attributes: list[str], message: str
) -> None:
    """What a kind cannot be routed by is refused in upstream's words."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RoutingRule(kind, key, attributes)


def test_defaults() -> None:
    """Traces go by their ids, logs and metrics by their service."""
    defaults = [RoutingRule(kind, "").key for kind in (TRACES, LOGS, METRICS)]
    assert defaults == ["traceID", "service", "service"]
