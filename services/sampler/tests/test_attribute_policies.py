"""What the policies say that look at attributes, spans and trace context."""

from __future__ import annotations

from typing import Any

import pytest
from services.sampler.tests.test_policies import TRACE, held

from tailring_otlpwire import Piece
from tailring_sampler.policies import Policy, Vote, build_policy, policy_types
from tailring_sampler.policies.attribute_search import (
    HEADER_BYTES_MAX,
    REMEMBERED_BYTES_MAX,
    AttributeSearch,
)
from tailring_sampler.policies.patterns import Pattern, to_utf8
from tailring_sampler.policies.trace_state import MEMBERS_MAX, members
from tailring_sampler.record import TraceRecord
from tailring_testkit import otlp

Attributes = otlp.Attributes


def made(kind: str, **block: Any) -> Policy:
    """The policy of a block, as the configuration makes it."""
    policy_type = policy_types()[kind]
    return build_policy(policy_type, policy_type.model.model_validate(block))


def trace(span: Attributes, resource: Attributes | None = None) -> TraceRecord:
    """A trace of one span."""
    built = otlp.span(TRACE, bytes(7) + b"\x01", attributes=span)
    return held([otlp.request(built, resource=resource)])


def keeps(policy: Policy, record: TraceRecord) -> bool:
    """Whether the policy votes for the trace."""
    return policy.evaluate(record, 0) is Vote.SAMPLED


RANGE = {"key": "code", "min_value": 500, "max_value": 599}


@pytest.mark.parametrize(
    ("value", "kept"),
    [(499, False), (500, True), (599, True), (600, False), (503.0, False)],
)
def test_numbers_lie_within_both_bounds(value: Any, kept: bool) -> None:
    """Bounds are included; a floating number is none, and inverted is the opposite."""
    record = trace({"code": value})
    assert keeps(made("numeric_attribute", **RANGE), record) is kept
    inverted = made("numeric_attribute", **RANGE, invert_match=True)
    assert keeps(inverted, record) is not kept


@pytest.mark.parametrize("value", ["x", True, 1.5, b"1", ["a"]])
def test_what_is_no_number_reads_as_zero(value: Any) -> None:
    """A bound that has 0 below it fits whatever is no whole number."""
    policy = made("numeric_attribute", key="code", max_value=599)
    assert keeps(policy, trace({"code": value}))


def test_a_number_needs_a_bound() -> None:
    """Upstream would end its process at the first trace."""
    with pytest.raises(ValueError, match="min_value or max_value must be set"):
        made("numeric_attribute", key="code")


@pytest.mark.parametrize("where", ["span", "resource"])
def test_a_resource_is_asked_as_a_span_is(where: str) -> None:
    """Either may carry the attribute; a missing key fits nothing."""
    there: Attributes = {"example": "value"}
    record = trace(
        there if where == "span" else {}, there if where == "resource" else None
    )
    policy = made("string_attribute", key="example", values=["value"])
    assert keeps(policy, record)
    other = made("string_attribute", key="other", values=["value"])
    assert not keeps(other, record)
    inverted = {"key": "other", "values": ["value"], "invert_match": True}
    assert keeps(made("string_attribute", **inverted), record)


@pytest.mark.parametrize(
    ("pattern", "text", "kept"),
    [
        ("v[0-9]+.HealthCheck$", "grpc.health.v1.HealthCheck", True),
        ("v[a-z]+.HealthCheck$", "grpc.health.v1.HealthCheck", False),
        ("health", "/x/healthz", True),
        ("", "x", True),
        (".*", "", False),
    ],
)
def test_patterns_occur_anywhere(pattern: str, text: str, kept: bool) -> None:
    """A search without anchors; on a span an empty text never fits."""
    policy = made(
        "string_attribute", key="k", values=[pattern], enabled_regex_matching=True
    )
    assert keeps(policy, trace({"k": text})) is kept
    # The second answer comes out of the memory.
    assert keeps(policy, trace({"k": text})) is kept


def test_on_a_resource_an_empty_text_may_match() -> None:
    """Also where the attribute is no text at all."""
    policy = made(
        "string_attribute", key="k", values=["^$"], enabled_regex_matching=True
    )
    assert keeps(policy, trace({}, {"k": ""}))
    assert keeps(policy, trace({}, {"k": 5}))
    assert not keeps(policy, trace({"k": 5}))
    assert not keeps(
        made("string_attribute", key="k", values=[""]), trace({}, {"k": ""})
    )


def test_every_bad_pattern_is_told() -> None:
    """Two of three are wrong, and both are named with upstream's words."""
    with pytest.raises(ValueError, match="invalid regex") as caught:
        made(
            "string_attribute",
            key="k",
            values=["[", "a", "(?P<"],
            enabled_regex_matching=True,
        )
    assert "invalid regex `[`" in str(caught.value)
    assert "invalid regex `(?P<`" in str(caught.value)


def test_one_byte_is_no_pattern_unless_quoted() -> None:
    r"""Go knows no \C; after \\ or between \Q and \E it is a letter."""
    with pytest.raises(ValueError, match="invalid escape sequence"):
        Pattern(r"a\C")
    assert Pattern(r"a\\C").found_in(rb"a\C")
    assert Pattern(r"\Qa\C\E").found_in(rb"a\C")


def test_a_byte_that_is_no_utf8_is_one_unknown_character() -> None:
    """As Go reads it: a point matches it."""
    text = to_utf8(b"a\xff\xe2\x82b")
    assert text == "a\ufffd\ufffd\ufffdb".encode()
    assert Pattern("^a...b$").found_in(text)
    assert to_utf8("größe".encode()) == "größe".encode()


def test_hostile_texts_take_linear_time() -> None:
    """A pattern that a backtracking search would never end on."""
    policy = made(
        "string_attribute", key="k", values=["(a+)+$"], enabled_regex_matching=True
    )
    assert not keeps(policy, trace({"k": "a" * 100_000 + "b"}))


@pytest.mark.parametrize(
    ("value", "wanted", "kept"),
    [
        (True, True, True),
        (True, False, False),
        (False, False, True),
        ("true", True, False),
        ("true", False, True),
        (1, False, True),
    ],
)
def test_what_is_no_boolean_reads_as_false(
    value: Any, wanted: bool, kept: bool
) -> None:
    """A text or a number of that key fits false; a missing key fits nothing."""
    policy = made("boolean_attribute", key="on", value=wanted)
    assert keeps(policy, trace({"on": value})) is kept
    assert not keeps(policy, trace({"off": value}))


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ((2, 20), [False, True, True, False]),
        ((2, 0), [False, True, True, True]),
        ((0, 0), [True, True, True, True]),
        ((0, -1), [False, False, False, False]),
    ],
)
def test_span_count_includes_both_bounds(
    bounds: tuple[int, int], kept: list[bool]
) -> None:
    """Asked of traces of 1, 2, 20 and 21 spans."""
    policy = made("span_count", min_spans=bounds[0], max_spans=bounds[1])
    records = [
        held(
            [otlp.request(*(otlp.span(TRACE, bytes(7) + bytes([n])) for n in range(c)))]
        )
        for c in (1, 2, 20, 21)
    ]
    assert [keeps(policy, record) for record in records] == kept


@pytest.mark.parametrize(
    ("flags", "kept"), [(0, False), (1, True), (0x301, True), (0x100, False)]
)
def test_trace_flags_is_the_lowest_bit(flags: int, kept: bool) -> None:
    """Other bits of the flags say nothing."""
    built = otlp.span(TRACE, bytes(8))
    built.flags = flags
    assert keeps(made("trace_flags"), held([otlp.request(built)])) is kept


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("k=v", True),
        ("k=v , a=b", True),
        (" k=v", True),
        (",k=v", True),
        ("k=v,", True),
        ("k=v,k=v", False),
        ("k= v", False),
        ("K=v", False),
        ("k=v, ,a=b", False),
        ("k", False),
        ("a=b;k=v", False),
        ("k=v2", False),
        ("", False),
    ],
)
def test_trace_state_needs_a_valid_state(state: str, kept: bool) -> None:
    """One bad member spoils the whole tracestate."""
    built = otlp.span(TRACE, bytes(8), trace_state=state)
    policy = made("trace_state", key="k", values=["v"])
    assert keeps(policy, held([otlp.request(built)])) is kept


def test_a_tracestate_has_at_most_32_members() -> None:
    """One more, and there are none."""
    many = b",".join(b"a%d=1" % n for n in range(MEMBERS_MAX))
    assert len(members(many) or ()) == MEMBERS_MAX
    assert members(many + b",b=1") is None


def test_answers_on_resources_are_bounded() -> None:
    """A sender that makes up resources does not fill the memory, with many or large."""
    search = AttributeSearch("k", lambda _: False)
    mark = varint_field(112_358)
    for n in range(30_000):
        body = n.to_bytes(4) * (2000 if n % 100 == 0 else 100)
        header = mark + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body
        assert not search.found([Piece(header, b"", b"")])
    held_bytes = sum(map(len, search._resources))
    assert 0 < held_bytes <= REMEMBERED_BYTES_MAX
    assert max(map(len, search._resources)) <= HEADER_BYTES_MAX


def varint_field(number: int) -> bytes:
    """The tag of a field of bytes."""
    tag, found = number << 3 | 2, bytearray()
    while tag > 0x7F:
        found.append(tag & 0x7F | 0x80)
        tag >>= 7
    return bytes([*found, tag])


def test_many_quoted_parts_are_read_once() -> None:
    """A pattern of thousands of quotes is looked through in no time."""
    assert Pattern(r"\Qx\E" * 5000).found_in(b"x" * 5000)


def test_a_pattern_takes_no_more_memory_than_it_needs() -> None:
    """Go counts a Unicode class once, the library each of its bytes."""
    plain, large = Pattern("[ab]{25}c"), Pattern(r"^\pL{1000}$")
    assert large.found_in("é".encode() * 1000)
    assert plain.memory_bytes < large.memory_bytes


@pytest.mark.parametrize("bound", ["min_value", "max_value"])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_bound_has_64_bits(bound: str, value: int) -> None:
    """As upstream, whose numbers are no larger."""
    with pytest.raises(ValueError, match=bound):
        made("numeric_attribute", key="code", **{bound: value})
