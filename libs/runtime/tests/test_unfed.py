"""A service whose feed fails: with a supervisor, and without one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from functools import partial

import pytest
import structlog.testing

from tailring_runtime.config import CollectorConfig, ServiceConfig
from tailring_runtime.feed import Reload
from tailring_runtime.health import State
from tailring_runtime.lifecycle import StopRequests, serve
from tailring_runtime.process import Identity
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry

SETTINGS = Settings(health_endpoint="", metrics_endpoint="", gc_threshold=700)


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def _telemetry(settings: Settings) -> Telemetry:
    config = CollectorConfig(service=ServiceConfig({}))
    return Telemetry(config, settings, identity=Identity("svc", "1"))


class Stage:
    """Writes down what it is told."""

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary
        self.start_s = 0.0

    async def start(self) -> None:
        """Takes as long as it is set to."""
        await asyncio.sleep(self.start_s)
        self.diary.append("start")

    def close(self) -> None:
        """Noted."""
        self.diary.append("close")

    async def join(self, timeout_s: float) -> None:
        """Noted."""
        assert timeout_s > 0
        self.diary.append("join")

    async def terminate(self) -> None:
        """Noted."""
        self.diary.append("terminate")


class BrokenFeed:
    """Fails as soon as the service has the wanted state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.failed = asyncio.Event()

    async def follow(self, telemetry: Telemetry, _reload: Reload | None) -> None:
        """Fail."""
        while telemetry.health.state is not self._state:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        self.failed.set()
        raise RuntimeError("the feed has a bug")


@pytest.mark.parametrize(
    ("state", "diary"),
    [
        (State.STARTING, ["terminate"]),
        (State.RUNNING, ["start", "close", "join", "terminate"]),
    ],
)
async def test_a_worker_whose_feed_fails_drains_and_ends(
    state: State, diary: list[str]
) -> None:
    """Nobody has to ask: it ends by itself, and its exit code says that it failed."""
    seen: list[str] = []
    stage = Stage(seen)
    stage.start_s = 60 if state is State.STARTING else 0
    settings = SETTINGS.for_worker(0)
    with structlog.testing.capture_logs():
        async with asyncio.timeout(10):
            code = await serve(
                [stage],
                telemetry=_telemetry(settings),
                settings=settings,
                feed=BrokenFeed(state),
            )
    assert code == 1
    assert seen == diary


async def test_a_service_without_a_supervisor_goes_on_without_its_feed() -> None:
    """Nobody would start it again: it serves until it is asked to stop."""
    diary: list[str] = []
    stop = StopRequests()
    telemetry = _telemetry(SETTINGS)
    feed = BrokenFeed(State.RUNNING)
    with structlog.testing.capture_logs():
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            served = group.create_task(
                serve(
                    [Stage(diary)],
                    telemetry=telemetry,
                    settings=SETTINGS,
                    stop=stop,
                    feed=feed,
                )
            )
            await feed.failed.wait()
            failures = partial(
                telemetry.metrics.value, "tailring_task_failures", owner="feed"
            )
            while not failures():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            assert diary == ["start"]
            stop.request()
    assert served.result() == 0
