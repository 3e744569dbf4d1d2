"""Numbered spans through a whole fleet, and the books of every stage.

What holds at any moment for each process, and exactly so when all has come to rest:

    router    accepted = received by the exporter = held + left by each door
    between   sent to a backend, by all routers = accepted by that sampler
    sampler   accepted = received = held + left by each door; kept = sent on
    end       sent on by all samplers = received by the sink
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tailring_testkit import ports, prom
from tailring_testkit.numbered import Load, Tally, TallySink, deliver
from tailring_testkit.services import Service, router, sampler

__all__ = ["Fleet", "Passage", "check_books", "pass_through", "running_fleet"]

_ACCEPTED = "otelcol_receiver_accepted_spans_total"
_NOT_ACCEPTED = (
    "otelcol_receiver_refused_spans_total",
    "otelcol_receiver_failed_spans_total",
)
_SENT = "otelcol_exporter_sent_spans_total"
_NOT_SENT = (
    "otelcol_exporter_send_failed_spans_total",
    "otelcol_exporter_enqueue_failed_spans_total",
    "tailring_exporter_lost_spans_total",
)
_BALANCING = "loadbalancing"
_ALWAYS = ({"name": "all", "type": "always_sample"},)
# Counters of a sampler are carried over once a second.
_TICKS_S = 2.5


@dataclass(frozen=True, slots=True)
class Fleet:
    """Running routers and samplers, and the port where the samplers send to."""

    routers: Sequence[Service]
    samplers: Sequence[Service]
    sink_port: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What came of a load: the sink's tally and each process's metrics at rest."""

    tally: Tally
    routers: Sequence[prom.Scrape]
    samplers: Sequence[prom.Scrape]
    took_s: float


@contextmanager
def running_fleet(
    folder: Path, *, routers: int, samplers: int, num_traces: int
) -> Iterator[Fleet]:
    """Samplers with ``always_sample``, and routers over all of them."""
    sink_port = ports.free_port()
    with ExitStack() as stack:
        second_tier = [
            stack.enter_context(
                sampler(
                    folder,
                    backend=f"127.0.0.1:{sink_port}",
                    policies=_ALWAYS,
                    processor={"decision_wait": "2s", "num_traces": num_traces},
                )
            )
            for _ in range(samplers)
        ]
        resolver = {"static": {"hostnames": [it.target for it in second_tier]}}
        first_tier = [
            stack.enter_context(router(folder, resolver)) for _ in range(routers)
        ]
        yield Fleet(first_tier, second_tier, sink_port)


def pass_through(fleet: Fleet, load: Load, *, timeout_s: float) -> Passage:
    """Send a load through all routers and wait until nothing moves any more.

    Returns as soon as the whole load has arrived and the counters had time to be
    carried over, or after ``timeout_s`` with what is there.
    """
    began_s = time.monotonic()
    tally = asyncio.run(_drive(fleet, load, timeout_s=timeout_s))
    took_s = time.monotonic() - began_s
    return Passage(
        tally,
        [it.metrics() for it in fleet.routers],
        [it.metrics() for it in fleet.samplers],
        took_s,
    )


async def _drive(fleet: Fleet, load: Load, *, timeout_s: float) -> Tally:
    tally = Tally(load)
    async with TallySink(tally, fleet.sink_port) as sink:
        await deliver(load, [it.target for it in fleet.routers])
        await sink.wait_complete(timeout_s)
        await asyncio.sleep(_TICKS_S)
    return tally


def check_books(fleet: Fleet, load: Load, passage: Passage) -> None:
    """Assert that every stage's counters balance and nothing was lost or refused."""
    accepted = [page.total(_ACCEPTED) for page in passage.routers]
    assert sum(accepted) == load.spans
    for page, spans in zip(passage.routers, accepted, strict=True):
        _check_router(page, spans)
    for service, page in zip(fleet.samplers, passage.samplers, strict=True):
        backend = f"{_BALANCING}/{service.target}"
        sent = sum(it.total(_SENT, exporter=backend) for it in passage.routers)
        assert page.total(_ACCEPTED) == sent > 0
        _check_sampler(page)
    kept = sum(page.total(_SENT) for page in passage.samplers)
    assert kept == passage.tally.received == load.spans
    traces = sum(
        page.total("otelcol_processor_tail_sampling_new_trace_id_received_total")
        for page in passage.samplers
    )
    assert traces == load.traces


def _check_router(page: prom.Scrape, spans: float) -> None:
    doors = page.by_label("tailring_router_left_spans_total", "door")
    held = page.total("tailring_router_held_spans")
    assert page.total("tailring_router_received_spans_total") == spans
    assert sum(doors.values()) + held == spans
    assert doors["delivered"] == spans
    assert page.total(_SENT) == spans
    _check_nothing_lost(page)


def _check_sampler(page: prom.Scrape) -> None:
    spans = page.total(_ACCEPTED)
    doors = page.by_label("tailring_sampler_spans_left_total", "door")
    held = page.total("tailring_sampler_spans_held")
    assert page.total("tailring_sampler_spans_received_total") == spans
    assert sum(doors.values()) + held == spans
    kept = page.total("tailring_sampler_spans_left_total", decision="sampled")
    assert kept == page.total(_SENT) == spans
    _check_nothing_lost(page)


def _check_nothing_lost(page: prom.Scrape) -> None:
    for name in (*_NOT_ACCEPTED, *_NOT_SENT):
        assert page.total(name) == 0, name
