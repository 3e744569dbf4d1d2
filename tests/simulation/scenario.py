"""What a seed stands for: sizes, limits, faults and events, all drawn from it.

A scenario is plain frozen data, so that it can be printed with a failure, changed by
hand (`dataclasses.replace`) and run again. Nothing here knows the services.

One seed in four is *calm*: no answer is lost, nobody gives up waiting, no machine and
no ring changes, and routers retry without end. One in six is *orderly*: the network is
good and clients are patient, but rings change and machines are restarted, each with all
the time that it needs. There the strongest facts must hold.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

__all__ = [
    "Events",
    "Faults",
    "RouterKnobs",
    "SamplerKnobs",
    "Scenario",
    "Traffic",
    "draw",
]


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault of a link is, for one call; the rest arrives."""

    unreachable: float = 0.0
    unavailable: float = 0.0
    throttled: float = 0.0
    forbidden: float = 0.0
    """Refused for good, whatever is in it."""
    request_lost: float = 0.0
    answer_lost: float = 0.0
    """Taken, and the caller hears of a failure or of nothing."""
    partial: float = 0.0
    delay_max_s: float = 0.02


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients send and how patient they are."""

    clients: int
    traces: int
    spans_per_trace_max: int
    spans_per_request_max: int
    spread_s: float
    """Requests begin within so long."""
    attempts_max: int
    patience_s: float
    """How long a client waits for an answer before it cancels."""
    impatient: float
    """Share of attempts that wait for a moment only."""
    answer_lost: float
    error_share: float
    poison_router: float
    """Share of traces with a span that samplers refuse for good."""
    poison_backend: float
    verbatim: bool
    """Whether a request is repeated byte by byte, as real clients do."""


@dataclass(frozen=True, slots=True)
class RouterKnobs:
    """Configuration of the routers."""

    routers: int
    batch: bool
    """Whether the batch processor stands before everything."""
    acknowledges_early: bool
    blocks_when_full: bool
    level1_queue: int
    """Requests that wait before they are routed; 0: no such queue."""
    level1_waits: bool
    """Whether that queue acknowledges only what was delivered."""
    level1_retry: bool
    level2_retry: bool
    retry_interval_s: float
    retry_elapsed_s: float
    """0: without end."""
    deadline_s: float
    timeout_s: float
    retire_timeout_s: float
    queue_max: int
    sends_max: int
    linger_s: float
    gather_bytes: int
    request_bytes_max: int
    generation: int


@dataclass(frozen=True, slots=True)
class SamplerKnobs:
    """Configuration of the samplers and of what stands behind them."""

    samplers: int
    backends: int
    """How many exporters each sampler has; every one gets all that is kept."""
    decision_wait_s: float
    from_last: bool
    num_traces: int
    decision_cache: int
    drop_pending: bool
    kept_percent: float
    held_bytes_max: int
    batch_spans_max: int
    exporter: str
    """``link``: straight to the backend; ``queue``: the exporter's queue and retry
    before it; ``batch``: the batch processor before those."""


@dataclass(frozen=True, slots=True)
class Events:
    """How often machines and rings change while the clients send."""

    ring_changes: int = 0
    sampler_restarts: int = 0
    sampler_kills: int = 0
    sampler_rolls: int = 0
    """All samplers are restarted, one after the other."""
    router_restarts: int = 0
    router_rolls: int = 0
    backend_outages: int = 0
    partitions: int = 0
    flaps: int = 0
    """A sampler refuses, and takes, and refuses again."""
    slow_samplers: int = 0
    throttling_samplers: int = 0
    """A sampler asks everybody to wait, for a while."""
    removals: int = 0
    """A sampler becomes slow, and leaves the list while requests are in flight."""
    silent_resolvers: int = 0
    """The resolver of a router answers nothing, also to one that starts anew."""

    @property
    def change_rings(self) -> bool:
        """Whether routers hear of different samplers at different times."""
        return bool(
            self.ring_changes
            or self.sampler_restarts
            or self.sampler_kills
            or self.sampler_rolls
            or self.removals
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run, whole."""

    seed: int
    calm: bool
    orderly: bool
    traffic: Traffic
    router: RouterKnobs
    sampler: SamplerKnobs
    to_sampler: Faults
    to_backend: Faults
    events: Events

    def rng(self, purpose: str) -> random.Random:
        """A stream of its own for each purpose, so that one does not shift another."""
        return random.Random(f"{self.seed}/{purpose}")


def draw(seed: int) -> Scenario:
    """The scenario of a seed; always the same."""
    rng = random.Random(f"{seed}/scenario")
    scenario = Scenario(
        seed=seed,
        calm=False,
        orderly=False,
        traffic=_traffic(rng),
        router=_router(rng),
        sampler=_sampler(rng),
        to_sampler=_faults(rng),
        to_backend=_faults(rng),
        events=_events(rng),
    )
    kind = rng.random()
    if kind < 0.25:
        return calmed(scenario)
    return ordered(scenario, rng) if kind < 0.4 else scenario


def calmed(scenario: Scenario) -> Scenario:
    """The same without lost answers, cancellations and changes."""
    scenario = _patient(scenario)
    return replace(
        scenario,
        calm=True,
        to_sampler=replace(scenario.to_sampler, answer_lost=0.0, request_lost=0.0),
        to_backend=replace(scenario.to_backend, answer_lost=0.0, request_lost=0.0),
        events=Events(backend_outages=scenario.events.backend_outages),
    )


def ordered(scenario: Scenario, rng: random.Random) -> Scenario:
    """The same on a good network; changes are announced and take their time."""
    scenario = _patient(scenario)
    return replace(
        scenario,
        orderly=True,
        traffic=replace(
            scenario.traffic,
            attempts_max=200,
            spread_s=rng.choice([5.0, 30.0, 60.0]),
            poison_router=0.0,
            poison_backend=0.0,
        ),
        # Pieces of one request that do not fit into an empty queue never get in.
        router=replace(scenario.router, request_bytes_max=2 << 20),
        sampler=replace(scenario.sampler, samplers=rng.randint(2, 4), num_traces=1000),
        to_sampler=Faults(delay_max_s=0.02),
        to_backend=Faults(delay_max_s=0.02),
        events=Events(
            ring_changes=rng.choice([0, 2, 10]),
            sampler_restarts=rng.choice([0, 1, 4]),
            sampler_rolls=rng.choice([0, 1]),
            router_restarts=rng.choice([0, 1, 4]),
            router_rolls=rng.choice([0, 1]),
        ),
    )


def _patient(scenario: Scenario) -> Scenario:
    """Nobody gives up: neither a client nor a router."""
    return replace(
        scenario,
        traffic=replace(
            scenario.traffic, answer_lost=0.0, impatient=0.0, patience_s=7200.0
        ),
        router=replace(
            scenario.router,
            level2_retry=True,
            retry_elapsed_s=0.0,
            deadline_s=0.0,
            timeout_s=5.0,
        ),
    )


def _traffic(rng: random.Random) -> Traffic:
    return Traffic(
        clients=rng.randint(2, 6),
        traces=rng.randint(5, 40),
        spans_per_trace_max=rng.choice([1, 4, 8]),
        spans_per_request_max=rng.choice([1, 3, 8, 20]),
        spread_s=rng.choice([0.5, 5.0, 30.0]),
        attempts_max=rng.choice([2, 5, 20]),
        patience_s=rng.choice([2.0, 10.0, 60.0]),
        impatient=rng.choice([0.0, 0.0, 0.1, 0.5]),
        answer_lost=rng.choice([0.0, 0.0, 0.1]),
        error_share=rng.choice([0.0, 0.3, 1.0]),
        poison_router=rng.choice([0.0, 0.0, 0.1]),
        poison_backend=rng.choice([0.0, 0.0, 0.1]),
        verbatim=rng.random() < 0.5,
    )


def _router(rng: random.Random) -> RouterKnobs:
    return RouterKnobs(
        routers=2,
        batch=rng.random() < 0.2,
        acknowledges_early=rng.random() < 0.25,
        blocks_when_full=rng.random() < 0.25,
        level1_queue=rng.choice([0, 0, 2, 20]),
        level1_waits=rng.random() < 0.3,
        level1_retry=rng.random() < 0.5,
        level2_retry=rng.random() < 0.75,
        retry_interval_s=rng.choice([0.05, 0.5, 5.0]),
        retry_elapsed_s=rng.choice([0.0, 2.0, 20.0]),
        deadline_s=rng.choice([0.0, 0.0, 3.0]),
        timeout_s=rng.choice([0.05, 0.5, 5.0]),
        retire_timeout_s=rng.choice([0.1, 1.0, 5.0]),
        queue_max=rng.choice([1, 3, 1000]),
        sends_max=rng.choice([1, 2, 10]),
        linger_s=rng.choice([0.0, 0.003, 0.1]),
        gather_bytes=rng.choice([100, 1000, 256 << 10]),
        request_bytes_max=rng.choice([1, 1000, 2 << 20]),
        generation=rng.choice([1, 1, 1, 2, 3]),
    )


def _sampler(rng: random.Random) -> SamplerKnobs:
    return SamplerKnobs(
        samplers=rng.randint(1, 4),
        backends=rng.choice([1, 1, 1, 2]),
        decision_wait_s=rng.choice([1.0, 3.0, 10.0]),
        from_last=rng.random() < 0.25,
        num_traces=rng.choice([1, 5, 1000, 1000, 1000]),
        decision_cache=rng.choice([0, 0, 1000]),
        drop_pending=rng.random() < 0.1,
        kept_percent=rng.choice([0.0, 30.0, 100.0]),
        held_bytes_max=rng.choice([1, 2000, 64 << 20]),
        batch_spans_max=rng.choice([1, 10, 8192]),
        exporter=rng.choice(["link", "queue", "batch"]),
    )


def _faults(rng: random.Random) -> Faults:
    if rng.random() < 0.2:
        return Faults()
    worst = rng.choice([0.02, 0.1, 0.3])

    def likely() -> float:
        return rng.random() * worst if rng.random() < 0.5 else 0.0

    return Faults(
        unreachable=likely(),
        unavailable=likely(),
        throttled=likely(),
        forbidden=likely() / 5,
        request_lost=likely(),
        answer_lost=likely(),
        partial=likely() / 3,
        delay_max_s=rng.choice([0.0, 0.02, 0.4]),
    )


def _events(rng: random.Random) -> Events:
    return Events(
        ring_changes=rng.choice([0, 0, 2, 10]),
        sampler_restarts=rng.choice([0, 0, 1, 4]),
        sampler_kills=rng.choice([0, 0, 0, 2]),
        sampler_rolls=rng.choice([0, 0, 0, 1]),
        router_restarts=rng.choice([0, 0, 1, 3]),
        router_rolls=rng.choice([0, 0, 0, 1]),
        backend_outages=rng.choice([0, 0, 1, 3]),
        partitions=rng.choice([0, 0, 2, 6]),
        flaps=rng.choice([0, 0, 0, 3]),
        slow_samplers=rng.choice([0, 0, 0, 3]),
        throttling_samplers=rng.choice([0, 0, 0, 2]),
        removals=rng.choice([0, 0, 0, 2]),
        silent_resolvers=rng.choice([0, 0, 0, 2]),
    )
