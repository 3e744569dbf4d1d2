"""One measurement each: start, warm up, measure, end.

Every function starts its own processes, so that no measurement inherits the heap of
another, and returns one number for one side. Medians and ratios are made elsewhere.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.load import Sent
from bench.target import Target, pace, running_sinks, running_target, send

from bench import configs
from tailring_testkit import prom

__all__ = ["Case", "measure"]

_WARM_UP_SHARE = 10
_DECISION_WAIT_S = 2
_SETTLE_S = 2.0
_DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled"
_DECIDE_TIMEOUT_S = 60.0
_HOLD_S = 3600
_PACED_S = 8.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    ``kind`` is "router", "sampler" (both give microseconds of CPU a span), "memory"
    (bytes of memory held per byte received) or "latency" (milliseconds that a router
    at half load adds to the 99th percentile). ``compression`` and ``batch`` matter to
    the router, as does the number of ``backends``, ``scattered`` to the sampler.
    """

    kind: str
    size: int
    spans: int
    compression: str = "none"
    batch: bool = False
    scattered: bool = False
    backends: int = 4


def measure(case: Case, side: str, *, seed: int) -> float:
    """Measure ``case`` once on one side."""
    kinds = {
        "router": _router,
        "sampler": _sampler,
        "memory": _memory,
        "latency": _latency,
    }
    with tempfile.TemporaryDirectory(prefix="tailring-bench-") as folder:
        return kinds[case.kind](case, side, folder=Path(folder), seed=seed)


def _router(case: Case, side: str, *, folder: Path, seed: int) -> float:
    with running_sinks(case.backends, folder=folder) as sinks:
        config = partial(
            configs.router,
            backends=sinks.endpoints,
            compression=case.compression,
            batch=case.batch,
        )
        with running_target(side, "router", config=config, folder=folder) as target:
            warm = _load(case, target, spans=case.spans // _WARM_UP_SHARE, seed=seed)
            sinks.wait_spans(warm.spans)
            cpu_s = target.cpu_s()
            sent = _load(case, target, spans=case.spans, seed=seed + 1)
            sinks.wait_spans(warm.spans + sent.spans)
            return (target.cpu_s() - cpu_s) / sent.spans * 1e6


def _latency(case: Case, side: str, *, folder: Path, seed: int) -> float:
    """A request through the router, less one that goes straight to a backend.

    Half load is half of what one core can do, by the CPU time of a run without pause.
    """
    with running_sinks(case.backends, folder=folder) as sinks:
        config = partial(
            configs.router, backends=sinks.endpoints, compression="none", batch=False
        )
        with running_target(side, "router", config=config, folder=folder) as target:
            cpu_s = target.cpu_s()
            sent = _load(case, target, spans=case.spans, seed=seed)
            rate = 0.5 / ((target.cpu_s() - cpu_s) / sent.requests)
            direct, routed = (
                pace(endpoint, rate=rate, size=case.size, seconds=_PACED_S)
                for endpoint in (sinks.endpoints[0], target.endpoint)
            )
            return routed.p99_ms - direct.p99_ms


def _sampler(case: Case, side: str, *, folder: Path, seed: int) -> float:
    with running_sinks(1, folder=folder) as sinks:
        config = partial(
            configs.sampler,
            backend=sinks.endpoints[0],
            decision_wait_s=_DECISION_WAIT_S,
        )
        with running_target(side, "sampler", config=config, folder=folder) as target:
            warm = _load(case, target, spans=case.spans // _WARM_UP_SHARE, seed=seed)
            _decided(target, warm.traces)
            cpu_s = target.cpu_s()
            sent = _load(case, target, spans=case.spans, seed=seed + 1)
            end_s = _decided(target, warm.traces + sent.traces)
            _check_kept(side, sinks.spans() / (warm.spans + sent.spans))
            return (end_s - cpu_s) / sent.spans * 1e6


def _check_kept(side: str, share: float) -> None:
    """A sampler that keeps much more or less than 12.6 % did other work."""
    if not 0.06 < share < 0.25:
        raise RuntimeError(f"{side} kept {share:.1%} of the spans, not about 12.6 %")


def _decided(target: Target, traces: int) -> float:
    """Wait until ``traces`` are decided; the CPU time before that was asked for."""
    limit_s = time.monotonic() + _DECIDE_TIMEOUT_S
    time.sleep(_DECISION_WAIT_S + _SETTLE_S)
    while True:
        cpu_s = target.cpu_s()
        page = prom.scrape(target.ports.metrics)
        decided = page.total(_DECIDED) + page.total(f"{_DECIDED}_total")
        if decided >= traces:
            return cpu_s
        if time.monotonic() > limit_s:
            raise TimeoutError(f"{decided:.0f} of {traces} traces decided")
        time.sleep(1.0)


def _memory(case: Case, side: str, *, folder: Path, seed: int) -> float:
    with running_sinks(1, folder=folder) as sinks:
        config = partial(
            configs.sampler, backend=sinks.endpoints[0], decision_wait_s=_HOLD_S
        )
        with running_target(side, "sampler", config=config, folder=folder) as target:
            # The first requests load what a process needs once.
            _load(case, target, spans=case.size, seed=seed)
            time.sleep(1.0)
            before_bytes = target.rss_bytes()
            sent = _load(case, target, spans=case.spans, seed=seed + 1)
            time.sleep(_SETTLE_S)
            held_bytes = target.rss_bytes() - before_bytes
            target.child.kill()  # a drain would decide and export all of it
            return held_bytes / sent.wire_bytes


def _load(case: Case, target: Target, *, spans: int, seed: int) -> Sent:
    return send(
        target, spans=spans, size=case.size, scattered=case.scattered, seed=seed
    )
