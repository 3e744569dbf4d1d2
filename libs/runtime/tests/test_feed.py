"""What a worker tells its supervisor, over a real socket pair."""

from __future__ import annotations

import asyncio
import pickle
import socket
from typing import Any, cast

from tailring_runtime.channel import Channel
from tailring_runtime.config.collector import Loaded
from tailring_runtime.feed import Answer, Ask, Reloaded, Report, WorkerFeed
from tailring_runtime.health import Health, State
from tailring_runtime.metrics import Metrics
from tailring_runtime.telemetry import Telemetry


class _Telemetry:
    """What a feed asks of it."""

    def __init__(self) -> None:
        self.health = Health()
        self.metrics = Metrics()


async def _answer(channel: Channel) -> Any:
    """The next answer; beats are passed over."""
    async with asyncio.timeout(10):
        while isinstance(message := await channel.receive(), Report):
            pass
    return message


async def test_a_worker_beats_and_answers() -> None:
    """Its first word is how it is; each question gets the answer with its number; it
    ends with its supervisor."""
    taken: list[Any] = []

    async def reload(loaded: Loaded) -> Reloaded:
        """Note it."""
        taken.append(loaded)
        return Reloaded(changed=False)

    ours, theirs = socket.socketpair()
    feed = WorkerFeed(theirs)
    channel = await Channel.over(ours)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(feed.follow(cast("Telemetry", _Telemetry()), reload))
        first = await channel.receive()
        channel.send(Ask(7, "metrics"))
        channel.send(Ask(8, "reload", pickle.dumps("a configuration")))
        answers = [await _answer(channel), await _answer(channel)]
        channel.close()
    assert (first.state, first.ready) == (State.STARTING, False)
    assert [answer.number for answer in answers] == [7, 8]
    assert answers[1] == Answer(8, Reloaded(changed=False))
    assert taken == ["a configuration"]
