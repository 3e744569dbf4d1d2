"""Writing a request that takes items out of another one.

A `RequestBuilder` collects byte ranges of the source: neighbouring items become one
range, a header is a reference to one bytes object, and `payload()` copies everything
once. Resources, scopes and metrics are opened lazily by the first item that needs them,
therefore a builder writes none that is empty. Sizes stand before what they measure on
the wire, so a metric moves into its scope, that into its resource, and that into the
request, when closed.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.fields import varint
from tailring_otlpwire.fragments import Fragments

_RESOURCE: Final = b"\x0a"
_SCOPE: Final = b"\x12"
_METRIC: Final = b"\x12"


@mypyc_attr(acyclic=True)
class MetricHeads:
    """What a metric has beside its points: its header, tag and header of its data."""

    def __init__(self, metric: bytes, tag: bytes, data: bytes) -> None:
        self.metric = metric
        self.tag = tag
        self.data = data

    @property
    def size(self) -> int:
        """The bytes that are repeated in each part that has points of the metric."""
        return len(self.metric) + len(self.data)


@mypyc_attr(acyclic=True)
class RequestBuilder:
    """One request in the making; `buf` is the source of its items."""

    def __init__(self, buf: bytes, owner: i64) -> None:
        self.buf = buf
        self.owner: i64 = owner
        self.items: i64 = 0
        self.resource_open: bool = False
        self.scope_open: bool = False
        self.metric_open: bool = False
        self._request = Fragments()
        self._resource = Fragments()
        self._scope = Fragments()
        self._metric = Fragments()
        self._run_start: i64 = 0
        self._run_end: i64 = 0
        self._points_start: i64 = 0
        self._points_end: i64 = 0

    def add(self, at: i64, end: i64) -> None:
        """Take the span or record whose field lies in [at, end) of the source.

        The caller has opened the scope and the resource by setting their flags.
        """
        self.items += 1
        if at != self._run_end:
            self._end_run()
            self._run_start = at
        self._run_end = end

    def add_several(self, at: i64, end: i64, items: i64) -> None:
        """Take a span, a record or a whole metric, which has `items` items."""
        self.add(at, end)
        self.items += items - 1

    def add_point(self, at: i64, end: i64) -> None:
        """Take the data point whose field lies in [at, end) of the source.

        The caller has opened the metric too.
        """
        self.items += 1
        if at != self._points_end:
            self._end_points()
            self._points_start = at
        self._points_end = end

    def _end_run(self) -> None:
        start = self._run_start
        end = self._run_end
        if end > start:
            self._scope.add(self.buf[start:end])
        self._run_start = end

    def _end_points(self) -> None:
        start = self._points_start
        end = self._points_end
        if end > start:
            self._metric.add(self.buf[start:end])
        self._points_start = end

    def close_metric(self, heads: "MetricHeads") -> None:
        """End the open metric."""
        self._end_run()
        self._end_points()
        data_bytes: i64 = len(heads.data) + self._metric.size
        prefix = heads.tag + varint(data_bytes)
        size: i64 = len(heads.metric) + len(prefix) + data_bytes
        self._scope.add(_METRIC + varint(size) + heads.metric + prefix + heads.data)
        self._scope.take_all(self._metric)
        self.metric_open = False

    def close_scope(self, header: bytes) -> None:
        """End the open scope; `header` is everything in it but the items."""
        self._end_run()
        self._resource.add(_SCOPE + varint(len(header) + self._scope.size))
        self._resource.add(header)
        self._resource.take_all(self._scope)
        self.scope_open = False

    def close_resource(self, header: bytes) -> None:
        """End the open resource; `header` is everything in it but the scopes."""
        self._request.add(_RESOURCE + varint(len(header) + self._resource.size))
        self._request.add(header)
        self._request.take_all(self._resource)
        self.resource_open = False

    def add_scope(self, at: i64, end: i64, items: i64) -> None:
        """Take a whole scope, whose field lies in [at, end); the resource is open."""
        self.items += items
        self._resource.add(self.buf[at:end])

    def add_resource(self, at: i64, end: i64, items: i64) -> None:
        """Take a whole resource, whose field lies in [at, end) of the source."""
        self.items += items
        self._request.add(self.buf[at:end])

    def add_unknown(self, fields: bytes) -> None:
        """Append fields of the request that are not known."""
        self._request.add(fields)

    def payload(self) -> bytes:
        """Return the request; everything must be closed."""
        return self._request.value()
