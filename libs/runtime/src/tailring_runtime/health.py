"""Whether this process may be sent work, and the HTTP answers that say so.

The life of a process is a table. It is *ready* while it is RUNNING and every condition
holds; a condition is a question that a part answers at once ("are there backends?").

    STARTING --> RUNNING --> DRAINING --> STOPPED
        \\------------\\-----------------------^

``/``, ``/health``, ``/readyz`` and ``/status`` answer 200 when ready and 503 when not;
``/livez`` answers 200 as long as the event loop answers at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from aiohttp import web

from tailring_runtime.config.durations import format_duration
from tailring_runtime.config.health_check import HealthCheckConfig

__all__ = ["Health", "State", "health_app"]

READY_PATHS: Final = ("/", "/health", "/readyz", "/status")
LIVE_PATH: Final = "/livez"


class State(Enum):
    """Where in its life the process is."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.STARTING: frozenset({State.RUNNING, State.STOPPED}),
    State.RUNNING: frozenset({State.DRAINING, State.STOPPED}),
    State.DRAINING: frozenset({State.STOPPED}),
    State.STOPPED: frozenset(),
}


class Health:
    """The state of the process and its conditions. Owned by the event loop."""

    def __init__(self) -> None:
        self._state = State.STARTING
        self._conditions: dict[str, Callable[[], bool]] = {}
        self._listeners: list[Callable[[State], None]] = []

    @property
    def state(self) -> State:
        """Where in its life the process is."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether the process may be sent work now."""
        return self._state is State.RUNNING and not self.unmet()

    def unmet(self) -> tuple[str, ...]:
        """The names of the conditions that do not hold now."""
        return tuple(name for name, holds in self._conditions.items() if not holds())

    def require(self, name: str, holds: Callable[[], bool]) -> None:
        """Be ready only while ``holds()``; it must not wait or raise."""
        self._conditions[name] = holds

    def follow(self, listener: Callable[[State], None]) -> None:
        """Call ``listener`` with each new state; it must not wait or raise."""
        self._listeners.append(listener)

    def move(self, state: State) -> None:
        """Go to ``state``; going where it is already changes nothing."""
        if state is self._state:
            return
        if state not in TRANSITIONS[self._state]:
            raise ValueError(f"no way from {self._state.value} to {state.value}")
        self._state = state
        for listener in self._listeners:
            listener(state)


def health_app(health: Health, config: HealthCheckConfig) -> web.Application:
    """The HTTP application that answers for ``health``."""
    answers = _Answers(health, config)
    app = web.Application()
    for path in dict.fromkeys((*READY_PATHS, config.path)):
        app.router.add_get(path, answers.ready)
    if config.path != LIVE_PATH:
        app.router.add_get(LIVE_PATH, answers.live)
    return app


class _Answers:
    """Makes the responses; knows since when the process is up."""

    def __init__(self, health: Health, config: HealthCheckConfig) -> None:
        self._health = health
        self._bodies = config.response_body
        self._since = datetime.now(UTC)

    async def ready(self, _request: web.Request) -> web.Response:
        """200 when the process may be sent work, 503 when not."""
        ready = self._health.ready
        status = 200 if ready else 503
        fixed = self._bodies.healthy if ready else self._bodies.unhealthy
        if fixed:
            return web.Response(text=fixed, status=status)
        uptime = datetime.now(UTC) - self._since
        body = {
            "status": "Server available" if ready else "Server not available",
            "upSince": self._since.isoformat().replace("+00:00", "Z"),
            "uptime": format_duration(int(uptime.total_seconds() * 1e9)),
            "state": self._health.state.value,
            "unmet": list(self._health.unmet()),
        }
        return web.json_response(body, status=status)

    async def live(self, _request: web.Request) -> web.Response:
        """200, because the event loop answers."""
        return web.json_response({"state": self._health.state.value})
