"""Clock, ports and the reader of metrics pages."""

from __future__ import annotations

import socket

import pytest

from tailring_testkit import ports, prom
from tailring_testkit.clock import FakeClock

_PAGE = """\
# HELP otelcol_exporter_sent_spans_total Spans delivered.
# TYPE otelcol_exporter_sent_spans_total counter
otelcol_exporter_sent_spans_total{exporter="otlp",endpoint="a:4317"} 3.0
otelcol_exporter_sent_spans_total{exporter="otlp",endpoint="b:4317"} 4.0
# HELP up Up.
# TYPE up gauge
up 1.0
"""


def test_clock_moves_only_when_told() -> None:
    """Two readings are equal until `advance` adds to them."""
    clock = FakeClock(start_ns=5)
    assert clock.now_ns() == clock() == 5
    assert clock.advance(s=1, ms=2, ns=3) == 1_002_000_008


def test_clock_never_goes_back() -> None:
    """A negative step is a mistake of the test."""
    with pytest.raises(ValueError, match="never goes back"):
        FakeClock().advance(s=-1)


def test_ports_are_free_and_different() -> None:
    """Ports handed out together differ, and each can be bound."""
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    for port in found:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_used_port_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that a server listens on is passed over."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        used = server.getsockname()[1]
        server.listen()
        monkeypatch.setattr(ports, "_source", iter([used, ports.free_port()]))
        assert ports.free_port() != used


def test_page_is_asked_by_name_and_labels() -> None:
    """Totals, single values and sums by one label come from the parsed page."""
    page = prom.parse(_PAGE)
    name = "otelcol_exporter_sent_spans_total"
    assert page.total(name) == 7
    assert page.value(name, endpoint="a:4317") == 3
    assert page.by_label(name, "endpoint") == {"a:4317": 3, "b:4317": 4}
    assert page.total("otelcol_absent_total") == 0


def test_ambiguous_value_fails() -> None:
    """Asking for the value of two samples is an error that counts them."""
    with pytest.raises(AssertionError, match="2 samples"):
        prom.parse(_PAGE).value("otelcol_exporter_sent_spans_total")
