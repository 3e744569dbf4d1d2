"""Who tells a running service what to do: its own process, or a supervisor.

A `Feed` runs beside the service from its first moment to its last. It brings new
configurations and hands them to the service, which says what became of them.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tailring_runtime.channel import Channel
from tailring_runtime.config.collector import Loaded
from tailring_runtime.health import State
from tailring_runtime.merge import settled
from tailring_runtime.telemetry import Telemetry

__all__ = [
    "Answer",
    "Ask",
    "Feed",
    "Reload",
    "Reloaded",
    "Report",
    "WorkerFeed",
]

# How often a worker says how it is; also the sign that its event loop turns.
BEAT_S = 0.25


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What became of a new configuration; no problems: it is in force."""

    problems: tuple[str, ...] = ()
    changed: bool = True


Reload = Callable[[Loaded], Awaitable[Reloaded]]


class Feed(Protocol):
    """Runs beside a service."""

    async def follow(self, telemetry: Telemetry, reload: Reload | None) -> None:
        """Until cancelled: pass new configurations to ``reload``; None takes none."""


@dataclass(frozen=True, slots=True)
class Report:
    """A worker's beat."""

    state: State
    ready: bool
    unmet: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A supervisor's question; ``what`` is "metrics" or "reload"."""

    number: int
    what: str
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A worker's answer to the question of that number."""

    number: int
    value: Any


class WorkerFeed:
    """The worker's end of the channel to its supervisor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def follow(self, telemetry: Telemetry, reload: Reload | None) -> None:
        """Report health and answer questions, until the supervisor is gone."""
        channel = await Channel.over(self._sock)
        try:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(_beat(channel, telemetry))
                await _answer_all(channel, telemetry, reload)
                beat.cancel()
        finally:
            channel.close()


async def _beat(channel: Channel, telemetry: Telemetry) -> None:
    health = telemetry.health
    while True:
        channel.send(Report(health.state, health.ready, health.unmet()))
        await asyncio.sleep(BEAT_S)


async def _answer_all(
    channel: Channel, telemetry: Telemetry, reload: Reload | None
) -> None:
    while True:
        try:
            ask = await channel.receive()
        except EOFError:
            return
        if ask.what == "metrics":
            value: Any = settled(telemetry.metrics.families())
        else:
            assert ask.what == "reload", ask.what
            assert reload is not None, "a worker that takes no configuration"
            value = await reload(pickle.loads(ask.payload))
        channel.send(Answer(ask.number, value))
