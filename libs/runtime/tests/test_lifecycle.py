"""Start against the flow, drain along it, stop at once when told twice."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Iterator

import pytest
import structlog.testing

from tailring_runtime import lifecycle
from tailring_runtime.config import CollectorConfig, ServiceConfig
from tailring_runtime.errors import StartError
from tailring_runtime.health import State
from tailring_runtime.lifecycle import Stage, Stages, StopRequests, run, serve
from tailring_runtime.losses import Loss
from tailring_runtime.process import Identity
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry

SETTINGS = Settings(
    drain_timeout_s=8, health_endpoint="", metrics_endpoint="", gc_threshold=700
)


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Recorder(Stage):
    """A stage that writes down what it is told."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self.diary = diary
        self.join_s = 0.0
        self.timeout_s = -1.0
        self.fail_at = ""
        self.start_s = 0.0

    def write(self, what: str) -> None:
        self.diary.append(f"{what} {self.name}")
        if self.fail_at == what:
            raise StartError(f"{self.name} cannot {what}")

    async def start(self) -> None:
        await asyncio.sleep(self.start_s)
        self.write("start")

    def close(self) -> None:
        self.write("close")

    async def join(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        await asyncio.sleep(min(self.join_s, timeout_s))
        self.write("join")

    async def terminate(self) -> None:
        self.write("terminate")


def telemetry_of(settings: Settings = SETTINGS) -> Telemetry:
    config = CollectorConfig(service=ServiceConfig({}))
    return Telemetry(config, settings, identity=Identity("svc", "1"))


async def live(
    stages: Stages,
    *,
    settings: Settings = SETTINGS,
    telemetry: Telemetry | None = None,
    requests: int = 1,
) -> int:
    """Run until running, then ask to stop; a second time 50 ms later if wanted."""
    stop = StopRequests()
    shown = telemetry if telemetry is not None else telemetry_of(settings)
    started = asyncio.Event()
    shown.health.follow(lambda _state: started.set())

    async def ask() -> None:
        await started.wait()
        for _ in range(requests):
            stop.request()
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        return await serve(stages, telemetry=shown, settings=settings, stop=stop)


async def test_start_is_in_reverse_and_drain_in_data_order() -> None:
    """The last stage starts first; each is closed and joined before the next."""
    diary: list[str] = []
    a, b, c = (Recorder(name, diary) for name in "abc")
    with structlog.testing.capture_logs():
        assert await live([a, b, c]) == 0
    assert diary == [
        *("start c", "start b", "start a"),
        *("close a", "join a", "close b", "join b", "close c", "join c"),
        *("terminate a", "terminate b", "terminate c"),
    ]


async def test_stages_side_by_side_are_drained_together() -> None:
    """Two stages of one group are closed both before either is joined."""
    diary: list[str] = []
    a, b, c = (Recorder(name, diary) for name in "abc")
    a.join_s = 0.02
    with structlog.testing.capture_logs():
        assert await live([[a, b], c]) == 0
    assert diary[3:7] == ["close a", "close b", "join b", "join a"]
    assert diary[7:9] == ["close c", "join c"]


async def test_health_follows_the_life() -> None:
    """The process is running between start and drain, and stopped at the end."""
    states: list[State] = []
    telemetry = telemetry_of()
    telemetry.health.follow(states.append)
    with structlog.testing.capture_logs():
        await live([Recorder("a", [])], telemetry=telemetry)
    assert states == [State.RUNNING, State.DRAINING, State.STOPPED]


async def test_receivers_leave_half_of_the_time() -> None:
    """The first gets half of the time, the middle all but a reserve, the last all."""
    diary: list[str] = []
    a, b, c = (Recorder(name, diary) for name in "abc")
    with structlog.testing.capture_logs():
        await live([a, b, c])
    assert a.timeout_s == pytest.approx(4, abs=0.5)
    assert b.timeout_s == pytest.approx(8 - 1.6, abs=0.5)
    assert c.timeout_s == pytest.approx(8, abs=0.5)


async def test_the_reserve_is_shared_by_those_behind() -> None:
    """When the middle has used its time, those behind it divide what was reserved."""
    diary: list[str] = []
    a, b, c, d = (Recorder(name, diary) for name in "abcd")
    b.join_s = 60
    settings = SETTINGS.model_copy(update={"drain_timeout_s": 1.0})
    with structlog.testing.capture_logs():
        assert await live([a, b, c, d], settings=settings) == 0
    assert b.timeout_s == pytest.approx(0.8, abs=0.1)
    assert c.timeout_s == pytest.approx(0.1, abs=0.05)
    assert d.timeout_s == pytest.approx(0.2, abs=0.1)


class Loser(Recorder):
    """A stage that was told of data, and loses what is left when it is terminated."""

    def __init__(self, name: str, diary: list[str], *, holds: Loss) -> None:
        super().__init__(name, diary)
        self.holds = holds
        self.loss = Loss(spans=7)

    async def terminate(self) -> None:
        await super().terminate()
        self.loss += self.holds


async def test_a_loss_is_an_error_and_not_clean() -> None:
    """What a stage lost by stopping has a line with counts and makes the code 1."""
    stages = [
        Loser("a/b", [], holds=Loss(spans=30, traces=2)),
        Loser("c", [], holds=Loss(spans=4)),
        Loser("d", [], holds=Loss()),
    ]
    with structlog.testing.capture_logs() as lines:
        assert await live(stages) == 1
    event = "acknowledged data was lost by stopping"
    assert [line for line in lines if line["event"] == event] == [
        {
            "event": event,
            "log_level": "error",
            "stage": "a/b",
            "spans": 30,
            "traces": 2,
        },
        {"event": event, "log_level": "error", "stage": "c", "spans": 4},
    ]
    assert lines[-1] == {
        "event": "service stopped",
        "log_level": "info",
        "clean": False,
    }


async def test_a_deadline_without_a_loss_is_clean() -> None:
    """When the deadline passes all is terminated; without a loss the code is 0."""
    diary: list[str] = []
    a = Loser("a", diary, holds=Loss())
    a.join_s = 60
    settings = SETTINGS.model_copy(update={"drain_timeout_s": 0.05})
    with structlog.testing.capture_logs() as lines:
        assert await live([a], settings=settings) == 0
    assert diary[-1] == "terminate a"
    assert "the drain ran into its deadline" in [line["event"] for line in lines]


async def test_all_are_told_to_hurry_when_the_drain_begins() -> None:
    """Stages that can hurry are told before the first is closed."""
    diary: list[str] = []

    class Hurrier(Recorder):
        """Can hurry."""

        def hurry(self) -> None:
            self.write("hurry")

    stages = [Recorder("a", diary), Hurrier("b", diary), Hurrier("c", diary)]
    with structlog.testing.capture_logs():
        assert await live(stages) == 0
    assert diary[3:6] == ["hurry b", "hurry c", "close a"]


async def test_a_second_request_stops_at_once() -> None:
    """Asked twice, the drain is abandoned and the exit code is 1."""
    diary: list[str] = []
    a, b = Recorder("a", diary), Recorder("b", diary)
    a.join_s = 60
    with structlog.testing.capture_logs() as lines:
        async with asyncio.timeout(5):
            assert await live([a, b], requests=2) == 1
    assert diary[2:] == ["close a", "terminate a", "terminate b"]
    assert "second signal, the drain is abandoned" in [line["event"] for line in lines]


class Hanging(Recorder):
    """Never flushes, never ends."""

    async def join(self, timeout_s: float) -> None:
        await asyncio.sleep(60)

    async def terminate(self) -> None:
        self.write("terminate")
        await asyncio.sleep(60)


async def test_a_stage_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A join that breaks its promise cannot keep the process."""
    monkeypatch.setattr(lifecycle, "OVERRUN_MAX_S", 0.05)
    diary: list[str] = []
    settings = SETTINGS.model_copy(update={"drain_timeout_s": 0.05})
    with structlog.testing.capture_logs() as lines:
        stages = [Hanging("a", diary), Recorder("b", diary)]
        assert await live(stages, settings=settings) == 1
    assert diary[-1] == "terminate b"
    assert "stage failed to flush" in [line["event"] for line in lines]
    assert "stage failed to terminate" in [line["event"] for line in lines]


async def test_overruns_have_one_bound_together() -> None:
    """However many stages hang, the stop ends within one overrun of its deadline."""
    diary: list[str] = []
    settings = SETTINGS.model_copy(update={"drain_timeout_s": 0.5})
    stages = [Hanging(name, diary) for name in "abcd"]
    began_s = time.monotonic()
    with structlog.testing.capture_logs():
        assert await live(stages, settings=settings) == 1
    # One overrun is 3 s, eight are 24 s; a busy machine may double the one.
    assert time.monotonic() - began_s < 0.5 + 2 * lifecycle.OVERRUN_MAX_S
    assert diary[4:] == [
        *("close a", "close b", "close c", "close d"),
        *("terminate a", "terminate b", "terminate c", "terminate d"),
    ]


@pytest.mark.parametrize("step", ["close", "join", "terminate"])
async def test_a_stage_that_fails_does_not_stop_the_others(step: str) -> None:
    """An exception of one stage is logged, the others are drained, the code is 1."""
    diary: list[str] = []
    a, b = Recorder("a", diary), Recorder("b", diary)
    a.fail_at = step
    with structlog.testing.capture_logs() as lines:
        assert await live([a, b]) == 1
    assert diary[-1] == "terminate b"
    assert {"close b", "join b"} <= set(diary)
    assert [line for line in lines if line["log_level"] == "error"]


async def test_a_failed_start_terminates_what_was_begun() -> None:
    """The error goes to the caller after all begun stages were released."""
    diary: list[str] = []
    a, b, c = (Recorder(name, diary) for name in "abc")
    b.fail_at = "start"
    telemetry = telemetry_of()
    with pytest.raises(StartError, match="b cannot start"):
        await serve([a, b, c], telemetry=telemetry, settings=SETTINGS)
    assert diary == ["start c", "start b", "terminate b", "terminate c"]
    assert telemetry.health.state is State.STOPPED


async def test_a_request_while_starting_ends_the_start() -> None:
    """A stop that comes before the start is over is obeyed at once, cleanly."""
    diary: list[str] = []
    a, b = Recorder("a", diary), Recorder("b", diary)
    a.start_s = 60
    stop = StopRequests()
    asyncio.get_running_loop().call_later(0.02, stop.request)
    with structlog.testing.capture_logs():
        async with asyncio.timeout(5):
            code = await serve(
                [a, b], telemetry=telemetry_of(), settings=SETTINGS, stop=stop
            )
    assert code == 0
    assert diary == ["start b", "terminate a", "terminate b"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_ask_for_the_drain(number: signal.Signals) -> None:
    """SIGTERM and SIGINT drain a process that runs, on the loop of the service."""
    diary: list[str] = []

    class Killed(Recorder):
        """Sends the signal to this process once it runs."""

        async def start(self) -> None:
            await super().start()
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)

    async def main() -> int:
        stages = [Killed("a", diary)]
        return await serve(stages, telemetry=telemetry_of(), settings=SETTINGS)

    with structlog.testing.capture_logs():
        assert run(main, settings=SETTINGS) == 0
    assert diary == ["start a", "close a", "join a", "terminate a"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_error_of_the_loop_is_logged() -> None:
    """What a callback raises is a log line of ours, not a print of asyncio's."""

    def boom() -> None:
        raise ValueError("in a callback")

    async def main() -> int:
        asyncio.get_running_loop().call_soon(boom)
        await asyncio.sleep(0.01)
        return 7

    with structlog.testing.capture_logs() as lines:
        assert run(main, settings=SETTINGS) == 7
    assert [line["event"] for line in lines] == ["event loop error"]
