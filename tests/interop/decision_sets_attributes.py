"""Sets of policies that look at attributes, at the number of spans and at the trace
context, for `test_decisions`: `SETS` maps a name, which becomes that of a pipeline, to
the further keys of ``tail_sampling``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["SETS"]


def _numbers() -> Iterator[dict[str, Any]]:
    key = "http.status_code"
    for bounds in (
        {"min_value": 500, "max_value": 599},
        {"min_value": 1},
        {"max_value": -1},
        {"min_value": 600, "max_value": 500},
        {"max_value": 599},
        {"min_value": -(2**63), "max_value": -1},
    ):
        yield {"key": key, **bounds}
        yield {"key": key, "invert_match": True, **bounds}
    yield {"key": "missing", "min_value": 1, "invert_match": True}


def _texts() -> Iterator[dict[str, Any]]:
    for values in (["a"], ["", "checkout", "größe"], []):
        yield {"key": "tag", "values": values}
        yield {"key": "tag", "values": values, "invert_match": True}
    yield {"key": "straße", "values": ["a", "A"]}
    for values in (
        ["health"],
        ["v[0-9]+.HealthCheck$"],
        [".*"],
        [""],
        [],
        ["^gr.{1,2}e$", r"^\pL+$"],
        ["(?i)^a$"],
    ):
        pattern = {"key": "tag", "values": values, "enabled_regex_matching": True}
        yield pattern
        yield {**pattern, "invert_match": True, "cache_max_size": 2}


def _blocks() -> Iterator[tuple[str, dict[str, Any]]]:
    for block in _numbers():
        yield "numeric_attribute", block
    for block in _texts():
        yield "string_attribute", block
    for value in (True, False):
        for inverted in (True, False):
            block = {"key": "on", "value": value, "invert_match": inverted}
            yield "boolean_attribute", block
    for least, most in ((2, 20), (2, 0), (0, 0), (3, 3), (0, -1), (9, 2), (-5, 1)):
        yield "span_count", {"min_spans": least, "max_spans": most}
    for key, values in (
        ("k", ["v"]),
        ("k", [" v", "w"]),
        ("t@s", ["v"]),
        ("1t@s", ["v", ""]),
        ("k", ["v" * 200]),
        ("k", []),
    ):
        yield "trace_state", {"key": key, "values": values}
    yield "trace_flags", {}


SETS = {
    f"{kind.replace('_', '')}{at}": {
        "policies": [{"name": "p", "type": kind, **({kind: block} if block else {})}]
    }
    for at, (kind, block) in enumerate(_blocks())
}
