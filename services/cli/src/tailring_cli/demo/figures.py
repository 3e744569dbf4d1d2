"""One moment of the demo as plain numbers, read out of the metrics pages.

Pure: pages and totals in, a `Figures` out. Counters count from the start; rates are
differences of two `Figures`, made where they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailring_cli.demo.ledger import Totals
from tailring_cli.demo.scrape import Page

__all__ = ["Figures", "RouterFigures", "SamplerFigures", "Votes", "figures"]

_ACCEPTED = "otelcol_receiver_accepted_spans"
_SENT = "otelcol_exporter_sent_spans"
_VOTES = "otelcol_processor_tail_sampling_count_traces_sampled"
_DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled"
# Not upstream's sampling_traces_on_memory, which counts decided traces too.
_HELD = "tailring_sampler_traces_pending"
_LEFT = "tailring_sampler_spans_left"


@dataclass(frozen=True, slots=True)
class RouterFigures:
    """Spans that a router took in, and sent to each backend (by its endpoint)."""

    accepted_spans: int
    sent_spans: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SamplerFigures:
    """Spans and traces of one sampler.

    Every span that it accepted is held, kept or dropped; what was kept it has sent.
    """

    accepted_spans: int
    sent_spans: int
    held_traces: int
    decided_traces: int
    kept_spans: int
    dropped_spans: int


@dataclass(frozen=True, slots=True)
class Votes:
    """How often a policy was for keeping a trace, and how often not."""

    keep: int
    drop: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All numbers of one moment; ``at_s`` is seconds since the load began."""

    at_s: float
    totals: Totals
    failed_spans: int
    routers: tuple[RouterFigures, ...]
    samplers: tuple[SamplerFigures, ...]
    votes: Mapping[str, Votes]

    def to_backend(self, endpoint: str) -> int:
        """Spans that all routers together sent to one backend."""
        return sum(router.sent_spans.get(endpoint, 0) for router in self.routers)

    @property
    def held_traces(self) -> int:
        """Traces that all samplers together hold."""
        return sum(sampler.held_traces for sampler in self.samplers)


def figures(
    *,
    at_s: float,
    totals: Totals,
    failed_spans: int,
    routers: Sequence[Page],
    samplers: Sequence[Page],
) -> Figures:
    """The numbers on these pages."""
    return Figures(
        at_s=at_s,
        totals=totals,
        failed_spans=failed_spans,
        routers=tuple(_router(page) for page in routers),
        samplers=tuple(_sampler(page) for page in samplers),
        votes=_votes(samplers),
    )


def _router(page: Page) -> RouterFigures:
    # The series of a backend is labelled <component id>/<endpoint>; the series of
    # the whole exporter has the component id alone and would count twice.
    sent = page.by_label(_SENT, "exporter")
    backends = {
        exporter.rpartition("/")[2]: spans
        for exporter, spans in sent.items()
        if ":" in exporter.rpartition("/")[2]
    }
    return RouterFigures(page.total(_ACCEPTED), backends)


def _sampler(page: Page) -> SamplerFigures:
    return SamplerFigures(
        accepted_spans=page.total(_ACCEPTED),
        sent_spans=page.total(_SENT),
        held_traces=page.total(_HELD),
        decided_traces=page.total(_DECIDED),
        kept_spans=page.total(_LEFT, decision="sampled"),
        dropped_spans=page.total(_LEFT, decision="not_sampled"),
    )


def _votes(pages: Sequence[Page]) -> dict[str, Votes]:
    names = sorted({name for page in pages for name in page.by_label(_VOTES, "policy")})
    return {
        name: Votes(
            keep=sum(page.total(_VOTES, policy=name, sampled="true") for page in pages),
            drop=sum(
                page.total(_VOTES, policy=name, sampled="false") for page in pages
            ),
        )
        for name in names
    }
