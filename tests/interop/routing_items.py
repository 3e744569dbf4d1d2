"""Random items of each kind, with every sort of attribute, and which of them arrived.

An item is known by a number that no routing key sees: the id of a span, the time of a
record or a point. Traces, streams and resources come several times.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tailring_testkit.lenient import LENIENT
from tailring_testkit.signal_requests import DATA, MESSAGES
from tailring_testkit.wire import field, split_fields

TRACES, LOGS, METRICS = range(3)

# How the fields of each kind are called.
_WORDS: Final = ("spans", "logs", "metrics")

NAMES: Final = ("service.name", "a", "b", "ключ", "span.kind", "log.severity", "")
_TEXTS: Final = (
    "",
    "checkout",
    "cart",
    "Zürich €",
    "日本",
    'a"b\\c\n\x01',
    "x=1|y",
    "v" * 200,
)
_DOUBLES: Final = (
    *(0.0, -0.0, 1.0, 1.5, 1e6, 123456.789, 1e20, 1e21, 1e-6, 1e-7, 5e-324),
    *(math.nan, math.inf, -math.inf, 1.7976931348623157e308),
)
_INTS: Final = (0, 1, -1, 42, 2**53 + 1, 2**63 - 1, -(2**63))


# Paths of field numbers from the request: resource and scope, and values below them.
_HEADS: Final = {(1, 1), (1, 2, 1)}
_VALUES: Final = {(1, 1, 1, 2), (1, 2, 1, 3, 2)}
_RESPELLED: Final = {(1,), (1, 2), (1, 1, 1), (1, 2, 1, 3)} | _HEADS | _VALUES


class Items:
    """Makes requests of one kind; the same ones for the same seed."""

    def __init__(self, kind: int, seed: int) -> None:
        self._kind = kind
        self._rng = random.Random(seed)
        self._made = 0
        self._trace_ids = [self._rng.randbytes(16) for _ in range(300)]

    def requests(self, items: int, *, per_request: int = 50) -> Iterator[bytes]:
        """Requests with exactly this many items in all."""
        while self._made < items:
            least = min(self._made + per_request, items)
            message = MESSAGES[self._kind]()
            while self._made < least:
                self._resource(message, least)
            yield message.SerializeToString()

    def _resource(self, message: Any, least: int) -> None:
        rng = self._rng
        resource = getattr(message, f"resource_{_WORDS[self._kind]}").add()
        resource.resource.attributes.extend(self._attributes(named=True))
        for _ in range(rng.randint(1, 3)):
            scope = getattr(resource, f"scope_{_WORDS[self._kind]}").add()
            scope.scope.name = rng.choice(_TEXTS)
            scope.scope.version = rng.choice(("", "1.0"))
            scope.scope.attributes.extend(self._attributes())
            for _ in range(rng.randint(0, 8)):
                if self._made < least:
                    self._item(scope, least)

    def _item(self, scope: Any, least: int) -> None:
        if self._kind == METRICS:
            self._metric(scope, points=min(self._rng.randint(1, 6), least - self._made))
        else:
            add = (self._span, self._record)
            add[self._kind](scope)

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _span(self, scope: Any) -> None:
        rng = self._rng
        scope.spans.add(
            trace_id=rng.choice(self._trace_ids[:5] + self._trace_ids),
            span_id=self._number().to_bytes(8, "big"),
            name=rng.choice(_TEXTS),
            kind=rng.randint(0, 7),
            attributes=self._attributes(),
        )

    def _record(self, scope: Any) -> None:
        rng = self._rng
        record = scope.log_records.add(
            time_unix_nano=self._number(),
            severity_text=rng.choice(("", "INFO", "Ошибка")),
            trace_id=rng.choice((*self._trace_ids, b"", bytes(16))),
            attributes=self._attributes(),
        )
        if rng.random() < 0.9:
            record.body.CopyFrom(self._value(2))

    def _metric(self, scope: Any, *, points: int) -> None:
        rng = self._rng
        metric = scope.metrics.add(
            name=rng.choice(("cpu", "http.requests", "", "é", f"m{rng.randrange(40)}")),
            unit=rng.choice(("", "1", "ms")),
            description=rng.choice(("", "what it is")),
        )
        which = rng.choice(DATA)
        data = getattr(metric, which)
        self._describe(metric, which)
        for _ in range(points):
            point = data.data_points.add(time_unix_nano=self._number())
            point.attributes.extend(self._attributes())
            if which in ("gauge", "sum"):
                point.as_double = rng.random()

    def _describe(self, metric: Metric, which: str) -> None:
        data = getattr(metric, which)
        if which not in ("gauge", "summary"):
            data.aggregation_temporality = self._rng.randint(0, 2)
        if which == "sum":
            data.is_monotonic = self._rng.random() < 0.5

    def _attributes(self, *, named: bool = False) -> list[KeyValue]:
        rng = self._rng
        names = list(rng.choices(NAMES, k=rng.randint(0, 3)))
        if named and rng.random() < 0.8:
            names.append("service.name")
        return [KeyValue(key=name, value=self._value(2)) for name in names]

    def _value(self, depth: int) -> AnyValue:
        rng = self._rng
        match rng.randrange(9 if depth else 7):
            case 0 | 1:
                return AnyValue(string_value=rng.choice(_TEXTS))
            case 2:
                return AnyValue(int_value=rng.choice(_INTS))
            case 3:
                return AnyValue(double_value=rng.choice((*_DOUBLES, rng.gauss(0, 1e9))))
            case 4:
                return AnyValue(bool_value=rng.random() < 0.5)
            case 5:
                return AnyValue(bytes_value=rng.randbytes(rng.randint(0, 4)))
            case 6:
                return AnyValue()
            case 7:
                values = [self._value(depth - 1) for _ in range(rng.randint(0, 3))]
                return AnyValue(array_value=ArrayValue(values=values))
        pairs = [
            KeyValue(key=rng.choice(NAMES), value=self._value(depth - 1))
            for _ in range(rng.randint(0, 3))
        ]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))


def respelled(payload: bytes, *, path: tuple[int, ...] = ()) -> bytes:
    """The request in a spelling that no library writes, of the same meaning.

    Resources and scopes come in two messages, of which the second stands last; values
    of their attributes are preceded by another one, which they overwrite; one of the
    texts is no UTF-8.
    """
    out: list[bytes] = []
    late: list[bytes] = []
    for number, encoded, content in split_fields(payload):
        inner = (*path, number)
        if content is None or inner not in _RESPELLED:
            out.append(encoded)
        elif inner in _HEADS:
            first, second = _halves(respelled(content, path=inner))
            out.append(field(number, first))
            late.append(field(number, second))
        elif inner in _VALUES:
            out += [field(number, field(1, b"overwritten")), encoded]
        else:
            out.append(field(number, respelled(content, path=inner)))
    return b"".join(out + late).replace(b"checkout", b"\xff\xfeeckout")


def _halves(message: bytes) -> tuple[bytes, bytes]:
    fields = [encoded for _, encoded, _ in split_fields(message)]
    middle = len(fields) // 2
    return b"".join(fields[:middle]), b"".join(fields[middle:])


def numbers_in(payload: bytes, kind: int) -> list[int]:
    """The numbers of the items of a request, in their order."""
    message = LENIENT[kind].FromString(payload)
    if kind == TRACES:
        return [
            int.from_bytes(span.span_id, "big")
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    if kind == LOGS:
        return [
            record.time_unix_nano
            for resource in message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]
    return [
        point.time_unix_nano
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]
