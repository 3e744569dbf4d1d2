"""A demo from start to end.

Start against the flow of the data (sink, samplers, routers, shop), show it, end
along it: the shop stops, the SDKs send what they have, the samplers decide what they
hold, routers and then samplers are ended, and only then is counted. Whatever goes
wrong, the children that were started are ended.

Everything but the SDKs' own exporters runs in one event loop; the ledger has this
one owner.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import aiohttp

from tailring_cli.demo.figures import Figures, figures
from tailring_cli.demo.fleet import Door, Fleet
from tailring_cli.demo.layout import Layout
from tailring_cli.demo.ledger import Ledger
from tailring_cli.demo.processes import Child, ChildSpec, start_child
from tailring_cli.demo.scrape import Pages
from tailring_cli.demo.shop import visit
from tailring_cli.demo.sink import Sink
from tailring_cli.demo.summary import balances
from tailring_cli.demo.view import View
from tailring_cli.errors import BadEnd, CliError, Stopped

__all__ = ["Demo", "DemoOptions", "Specs"]

_GRACE_S = 2.0
_SETTLE_WAIT_S = 15.0
_READY_WAIT_S = 60.0
_END_WAIT_S = 30.0
_SHOW_EVERY_S = 1.0
# A trace is over when nothing happened to it for this long: far more than the
# SDKs' delays, the decision and every retry of a demo on one machine take.
_SETTLE_AFTER_NS = 90 * 1_000_000_000
# A demo that a busy machine held up does not make up for more than this.
_BEHIND_MAX_S = 0.5


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user asked for; ``seconds`` None runs until Ctrl-C."""

    seconds: float | None
    visits_per_s: float
    plain: bool
    seed: int | None


@dataclass(frozen=True, slots=True)
class Specs:
    """The processes of a demo and the folder where their output goes."""

    folder: Path
    samplers: tuple[ChildSpec, ...]
    routers: tuple[ChildSpec, ...]


class Demo:
    """A running demo; `run` once, `end_all` always."""

    def __init__(
        self,
        options: DemoOptions,
        *,
        layout: Layout,
        session: aiohttp.ClientSession,
        view: View,
    ) -> None:
        self._options = options
        self._layout = layout
        self._session = session
        self._view = view
        self._rng = Random(options.seed)
        self._ledger = Ledger(settle_after_ns=_SETTLE_AFTER_NS)
        self._sink = Sink(layout.sink_port, on_trace=self._on_trace)
        self._pages = Pages(
            [
                *(router.metrics_port for router in layout.routers),
                *(sampler.metrics_port for sampler in layout.samplers),
            ]
        )
        self._fleet: Fleet | None = None
        self._samplers: list[Child] = []
        self._routers: list[Child] = []
        self._began_ns = time.monotonic_ns()
        self._stop = asyncio.Event()
        self._insist = asyncio.Event()

    async def run(self, specs: Specs) -> Figures | None:
        """The whole demo; None when it was stopped before there was traffic.

        Raises `CliError` when a child dies or does not get ready, and `Stopped` when
        the user asks for the end twice.
        """
        try:
            with _signals(self._on_signal):
                return await self._guarded(specs)
        except BaseExceptionGroup as group:
            ours, others = group.split(CliError)
            if ours is None or others is not None:
                raise
            raise _first(ours) from None

    async def end_all(self) -> None:
        """End whatever still runs; safe twice."""
        if self._fleet is not None:
            self._fleet.abandon()
        for child in (*self._routers, *self._samplers):
            await child.end(within_s=_GRACE_S)
        await self._sink.stop()

    async def _guarded(self, specs: Specs) -> Figures | None:
        """The body, ended at once by a child's death or an insisting user."""
        await self._start(specs)
        async with asyncio.TaskGroup() as group:
            for child in (*self._samplers, *self._routers):
                group.create_task(child.watch())
            company = [group.create_task(self._give_up())]
            company.append(group.create_task(self._show()))
            last = await self._body()
            for task in company:
                task.cancel()
        return last

    async def _start(self, specs: Specs) -> None:
        self._view.say("starting the sink, 3 samplers and 2 routers")
        await self._sink.start()
        for spec in specs.samplers:
            self._samplers.append(await start_child(spec, folder=specs.folder))
        for spec in specs.routers:
            self._routers.append(await start_child(spec, folder=specs.folder))

    async def _body(self) -> Figures | None:
        for child in (*self._samplers, *self._routers):
            await child.wait_ready(
                self._session, for_s=_READY_WAIT_S, unless=self._stop
            )
        if self._stop.is_set():
            # Some may not know signals yet, so how they end says nothing.
            await self.end_all()
            return None
        doors = [
            Door(f"127.0.0.1:{it.grpc_port}", f"127.0.0.1:{it.http_port}")
            for it in self._layout.routers
        ]
        fleet = self._fleet = Fleet(doors, rng=self._rng, on_span=self._on_span)
        self._began_ns = time.monotonic_ns()
        self._view.say("the shop is open (Ctrl-C ends)")
        await self._load(fleet)
        self._view.say("the SDKs send what they have")
        await asyncio.to_thread(fleet.stop)
        self._view.say("the samplers decide what they hold")
        last = await self._settled()
        self._view.say("ending routers, then samplers")
        await self._end_children()
        return replace(last, totals=self._ledger.totals())

    async def _load(self, fleet: Fleet) -> None:
        """Visits at the asked rate, until the time is over or the user stops."""
        clock = asyncio.get_running_loop().time
        seconds = self._options.seconds
        end_s = clock() + seconds if seconds is not None else float("inf")
        due_s = clock()
        while not self._stop.is_set() and (now_s := clock()) < end_s:
            if due_s > now_s:
                await self._sleep(min(due_s, end_s) - now_s)
                continue
            call = visit(self._rng)
            # Wall time: span times are dates. The visit is told after it ended.
            fleet.play(call, start_ns=time.time_ns() - call.end_ns)
            due_s = max(due_s, now_s - _BEHIND_MAX_S)
            due_s += self._rng.expovariate(self._options.visits_per_s)
            await asyncio.sleep(0)

    async def _settled(self) -> Figures:
        """The figures once every trace is decided and has arrived, or time is up."""
        await asyncio.sleep(self._layout.decision_wait_s + _GRACE_S)
        clock = asyncio.get_running_loop().time
        limit_s = clock() + _SETTLE_WAIT_S
        last = await self._figures()
        while not all(it.even for it in balances(last)) and clock() < limit_s:
            await asyncio.sleep(_SHOW_EVERY_S / 2)
            last = await self._figures()
        return last

    async def _end_children(self) -> None:
        for child in (*self._routers, *self._samplers):
            code = await child.end(within_s=_END_WAIT_S)
            if code != 0:
                raise BadEnd(child.name, code=code, last_lines=child.last_lines())

    async def _show(self) -> None:
        before = await self._figures()
        while True:
            await asyncio.sleep(_SHOW_EVERY_S)
            self._ledger.settle(time.monotonic_ns())
            now = await self._figures()
            if self._fleet is not None:
                self._view.show(before, now)
            before = now

    async def _figures(self) -> Figures:
        pages = await self._pages.refresh(self._session)
        routers = len(self._layout.routers)
        return figures(
            at_s=(time.monotonic_ns() - self._began_ns) / 1e9,
            totals=self._ledger.totals(),
            failed_spans=self._fleet.failed_spans() if self._fleet is not None else 0,
            routers=pages[:routers],
            samplers=pages[routers:],
        )

    async def _give_up(self) -> None:
        await self._insist.wait()
        raise Stopped

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until the user stops the demo."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _on_trace(self, trace_id: int, span_ids: list[int]) -> None:
        self._ledger.received(trace_id, span_ids, now_ns=time.monotonic_ns())

    def _on_span(self, trace_id: int, span_id: int) -> None:
        self._ledger.sent(trace_id, span_id, now_ns=time.monotonic_ns())

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._insist.set()
        self._stop.set()


def _first(group: BaseExceptionGroup[CliError]) -> CliError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


@contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal call ``handler`` while this is open."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
