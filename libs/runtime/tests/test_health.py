"""Health: a table of states, and what HTTP says of it."""

from __future__ import annotations

import aiohttp
import pytest

from tailring_runtime.config import HealthCheckConfig
from tailring_runtime.health import TRANSITIONS, Health, State, health_app
from tailring_runtime.web import WebServer


def running() -> Health:
    health = Health()
    health.move(State.RUNNING)
    return health


async def answers(health: Health, config: HealthCheckConfig, *paths: str) -> list[int]:
    server = WebServer(health_app(health, config), "127.0.0.1:0")
    await server.start()
    async with aiohttp.ClientSession(f"http://{server.address}") as session:
        found = [await status(session, path) for path in paths]
    await server.stop()
    return found


async def status(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as response:
        return response.status


def test_a_process_is_ready_only_while_it_runs() -> None:
    """Starting, draining and stopped are not ready."""
    health = Health()
    seen = []
    for state in (State.RUNNING, State.DRAINING, State.STOPPED):
        seen.append(health.ready)
        health.move(state)
    assert [*seen, health.ready] == [False, True, False, False]


@pytest.mark.parametrize("state", list(State))
def test_states_follow_the_table(state: State) -> None:
    """From each state only the ways of the table are open."""
    for target in set(State) - {state}:
        health = Health()
        health._state = state
        if target in TRANSITIONS[state]:
            health.move(target)
            assert health.state is target
        else:
            with pytest.raises(ValueError, match="no way from"):
                health.move(target)


def test_staying_is_no_move() -> None:
    """Moving to the present state changes and tells nothing."""
    health = running()
    told: list[State] = []
    health.follow(told.append)
    health.move(State.RUNNING)
    health.move(State.DRAINING)
    assert told == [State.DRAINING]


def test_a_condition_that_fails_takes_readiness() -> None:
    """The process is ready only while each condition holds; it names the others."""
    health = running()
    backends = [0]
    health.require("backends", lambda: backends[0] > 0)
    health.require("disk", lambda: True)
    assert not health.ready
    assert health.unmet() == ("backends",)
    backends[0] = 1
    assert health.ready


async def test_ready_paths_answer_200_when_ready() -> None:
    """All readiness paths and the configured one say yes."""
    config = HealthCheckConfig(path="/up")
    paths = ("/", "/health", "/readyz", "/status", "/livez", "/up")
    assert await answers(running(), config, *paths) == [200] * 6


async def test_ready_paths_answer_503_otherwise() -> None:
    """While draining readiness is denied and liveness is not."""
    health = running()
    health.move(State.DRAINING)
    paths = ("/", "/health", "/readyz", "/status", "/livez")
    found = await answers(health, HealthCheckConfig(), *paths)
    assert found == [503, 503, 503, 503, 200]


async def test_unknown_paths_are_404() -> None:
    """Other paths do not exist."""
    assert await answers(running(), HealthCheckConfig(), "/metrics") == [404]


async def test_body_is_upstreams_json() -> None:
    """The body says status, since when and how long, and what is missing."""
    health = running()
    health.require("backends", lambda: False)
    server = WebServer(health_app(health, HealthCheckConfig()), "127.0.0.1:0")
    await server.start()
    url = f"http://{server.address}/"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        body = await response.json()
    await server.stop()
    assert body["status"] == "Server not available"
    assert body["state"] == "running"
    assert body["unmet"] == ["backends"]
    assert body["upSince"].endswith("Z")
    assert body["uptime"]


@pytest.mark.parametrize(("ready", "text"), [(True, "fine"), (False, "bad")])
async def test_bodies_can_be_fixed(ready: bool, text: str) -> None:
    """Configured bodies replace the JSON."""
    config = HealthCheckConfig.model_validate(
        {"response_body": {"healthy": "fine", "unhealthy": "bad"}}
    )
    health = running() if ready else Health()
    server = WebServer(health_app(health, config), "127.0.0.1:0")
    await server.start()
    url = f"http://{server.address}/"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert await response.text() == text
    await server.stop()


async def test_the_configured_path_may_be_a_usual_one() -> None:
    """A path that exists anyway is no conflict, liveness included."""
    for path in ("/", "/health", "/livez"):
        config = HealthCheckConfig(path=path)
        assert await answers(running(), config, path) == [200]
