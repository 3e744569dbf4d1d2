"""The summary reads the metrics pages and gives an honest verdict."""

from __future__ import annotations

from tailring_cli.demo.figures import Figures, Votes, figures
from tailring_cli.demo.ledger import Totals
from tailring_cli.demo.scrape import Page
from tailring_cli.demo.summary import good, summary

_ROUTER = Page(
    """\
# TYPE otelcol_receiver_accepted_spans_total counter
otelcol_receiver_accepted_spans_total{receiver="otlp",transport="grpc"} 60
otelcol_receiver_accepted_spans_total{receiver="otlp",transport="http"} 40
# TYPE otelcol_exporter_sent_spans_total counter
otelcol_exporter_sent_spans_total{exporter="load_balancing"} 100
otelcol_exporter_sent_spans_total{exporter="load_balancing/127.0.0.1:4001"} 70
otelcol_exporter_sent_spans_total{exporter="load_balancing/127.0.0.1:4002"} 30
"""
)
_VOTES = "otelcol_processor_tail_sampling_count_traces_sampled_total"
_LEFT = "tailring_sampler_spans_left_total"
_GLOBAL = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"


def _sampler(accepted: int, sent: int, traces: int) -> Page:
    lost = accepted - sent - 1
    return Page(
        f"""\
# TYPE otelcol_receiver_accepted_spans_total counter
otelcol_receiver_accepted_spans_total{{receiver="otlp"}} {accepted}
# TYPE otelcol_exporter_sent_spans_total counter
otelcol_exporter_sent_spans_total{{exporter="otlp"}} {sent}
# TYPE {_VOTES} counter
{_VOTES}{{policy="slow",sampled="true",decision="sampled"}} 1
{_VOTES}{{policy="slow",sampled="false",decision="not_sampled"}} {traces - 1}
# TYPE {_GLOBAL} counter
{_GLOBAL}{{sampled="true",decision="sampled"}} 1
{_GLOBAL}{{sampled="false",decision="not_sampled"}} {traces - 1}
# TYPE {_LEFT} counter
{_LEFT}{{processor="tail_sampling",door="decided",decision="sampled"}} {sent}
{_LEFT}{{processor="tail_sampling",door="late",decision="not_sampled"}} 1
{_LEFT}{{processor="tail_sampling",door="decided",decision="not_sampled"}} {lost}
# TYPE tailring_sampler_traces_pending gauge
tailring_sampler_traces_pending{{processor="tail_sampling"}} 4
"""
    )


def _moment(totals: Totals) -> Figures:
    return figures(
        at_s=1.0,
        totals=totals,
        failed_spans=0,
        routers=[_ROUTER],
        samplers=[_sampler(70, 8, 7), _sampler(30, 4, 3)],
    )


def _whole() -> Totals:
    return Totals(
        traces_sent=10, spans_sent=100, spans_received=12, kept_whole=2, dropped=8
    )


def test_the_page_is_read_per_backend_and_per_policy() -> None:
    """Spans are counted per backend, once, and votes are summed over samplers."""
    moment = _moment(_whole())
    assert moment.routers[0].accepted_spans == 100
    assert moment.to_backend("127.0.0.1:4001") == 70
    assert moment.to_backend("127.0.0.1:4002") == 30
    assert moment.votes == {"slow": Votes(keep=2, drop=8)}
    assert moment.held_traces == 8


def test_whole_traces_and_even_counters_pass() -> None:
    """The verdict is PASS when every kept trace is whole and each hop is even."""
    moment = _moment(_whole())
    assert good(moment)
    assert "PASS: 2 of 2 kept traces are whole" in summary(moment)


def test_an_incomplete_trace_fails() -> None:
    """One kept trace that is not whole fails the demo and is named."""
    totals = _whole()
    totals.kept_whole, totals.kept_incomplete = 1, 1
    assert not good(_moment(totals))
    assert "FAIL: 1 kept traces are not whole" in summary(_moment(totals))


def test_uneven_counters_fail() -> None:
    """A span that the routers never counted fails the demo and shows in its line."""
    totals = _whole()
    totals.spans_sent = 101
    text = summary(_moment(totals))
    assert not good(_moment(totals))
    assert "sent by the SDKs 101 ≠ 100 accepted by routers" in text
    assert "the counters do not balance" in text


def test_a_span_that_no_decision_took_fails() -> None:
    """A sampler whose decisions do not add up to what it accepted fails the demo."""
    moment = figures(
        at_s=1.0,
        totals=_whole(),
        failed_spans=0,
        routers=[_ROUTER],
        samplers=[_sampler(71, 8, 7), _sampler(30, 4, 3)],
    )
    assert not good(moment)
    assert "sent to samplers 100 ≠ 101 accepted by samplers" in summary(moment)


def test_a_process_that_never_answered_counts_nothing() -> None:
    """An empty page is all zeros and no policies."""
    moment = figures(
        at_s=0.0, totals=Totals(), failed_spans=0, routers=[Page("")], samplers=[]
    )
    assert moment.routers[0].accepted_spans == 0
    assert moment.votes == {}
