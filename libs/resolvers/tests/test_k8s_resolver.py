"""The k8s resolver: what it tells, keeps, counts and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tailring_resolvers import (
    K8sPlace,
    ResolutionError,
    k8s_resolver,
)
from tailring_testkit.fake_kube import FakeKube
from tailring_testkit.k8s_rig import Followed
from tailring_testkit.kube import endpoint
from tailring_testkit.process import eventually
from tailring_testkit.resolver_contract import ring_names

S = 1_000_000_000


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[Followed]:
    """A resolver and its server, which has two slices of three endpoints."""
    async with FakeKube(tmp_path) as server:
        await server.put("a", ["10.0.0.1", "10.0.0.2"])
        await server.put("b", ["10.0.0.3"])
        made = Followed(server)
        try:
            yield made
        finally:
            await made.resolver.stop()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_a_refusal_at_the_start_is_survived(
    followed: Followed, status: int
) -> None:
    """Start returns without a list, and the list is told once the server gives it."""
    followed.server.refuse = {"list": status}
    with capture_logs() as logs:
        await followed.start()
        assert followed.heard.lists == []
        assert followed.counted("num_resolutions", success="false") >= 1
        followed.server.refuse = {}
        await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3")
        await followed.watching()
        await eventually(
            lambda: (
                "the resolver follows the Kubernetes API again"
                in [one["event"] for one in logs]
            ),
            "the log of the recovery",
        )
    first = next(one for one in logs if one["event"] == "failed to resolve")
    assert str(status) in first["error"]


async def test_missing_host_names_are_passed_over(followed: Followed) -> None:
    """By host name, the endpoints that have one are used; the others are counted and
    logged in upstream's words."""
    followed.make(return_hostnames=True, ports=(4317,))
    await followed.server.put(
        "a", [endpoint("10.0.0.1", hostname="sampler-0"), endpoint("10.0.0.2")]
    )
    await followed.server.drop("b")
    with capture_logs() as logs:
        await followed.start()
    assert followed.heard.names() == [("sampler-0.sampler.shop:4317",)]
    assert followed.counted("num_resolutions", success="false") == 1
    (found,) = [
        one for one in logs if one["event"] == "EndpointSlice object missing hostnames"
    ]
    assert (found["slice"], found["endpoints_passed_over"]) == ("a", 1)


async def test_an_empty_service_empties_the_ring_after_the_hold(
    followed: Followed,
) -> None:
    """The last backends are kept for ``hold_empty`` and then given up."""
    followed.make(hold_empty=S // 10)
    with capture_logs() as logs:
        await followed.start()
        await followed.watching()
        await followed.server.drop("a")
        await followed.told("10.0.0.3")
        await followed.server.put("b", [endpoint("10.0.0.3", ready=False)])
        await eventually(
            lambda: (
                "the service has no ready endpoints" in [one["event"] for one in logs]
            ),
            "the log of the empty answer",
        )
        assert ring_names(followed.resolver.endpoints()) == ("10.0.0.3",)
        followed.now_ns = S
        await followed.told()
    events = [one["event"] for one in logs]
    assert events.count("the last backends are given up") == 1
    assert followed.counted("num_backends") == 0


async def test_an_empty_service_empties_the_ring_at_once(followed: Followed) -> None:
    """Without a hold an empty answer is told as it comes, as upstream does."""
    followed.make(hold_empty=0)
    await followed.start()
    await followed.watching()
    await followed.server.drop("a")
    await followed.server.drop("b")
    await followed.told()


async def test_a_change_that_is_held_down_is_told_later(followed: Followed) -> None:
    """With ``hold_down`` the second change waits, and then the newest list is told."""
    followed.make(hold_down=S // 10)
    await followed.start()
    await followed.watching()
    await followed.server.put("c", ["10.0.0.4"])
    await followed.server.put("c", ["10.0.0.5"])
    newest = str(followed.server.version)
    await eventually(lambda: followed.resolver.version == newest, "the events")
    assert len(followed.heard.lists) == 1
    followed.now_ns = S
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.5")
    assert len(followed.heard.lists) == 2


async def test_a_listener_that_fails_is_told_again(followed: Followed) -> None:
    """A mistake of the listener is logged, and the list is told again."""
    calls: list[int] = []

    def listener(endpoints: Any) -> None:
        """Fails once."""
        calls.append(len(endpoints))
        if len(calls) == 1:
            raise RuntimeError("a bug")

    await followed.resolver.start(listener)
    await eventually(lambda: len(calls) == 2, "the list is told again")
    assert calls == [3, 3]


async def test_a_listener_that_fails_in_a_watch_is_told_again(
    followed: Followed,
) -> None:
    """When the mistake is made over an event, a list follows at once and tells of the
    change, though the server would say nothing more about it."""
    heard: list[int] = []
    failing = True

    def listener(endpoints: Any) -> None:
        """Fails over the first change."""
        nonlocal failing
        if heard and failing:
            failing = False
            raise RuntimeError("a bug")
        heard.append(len(endpoints))

    await followed.resolver.start(listener)
    await followed.watching()
    await followed.server.put("c", ["10.0.0.9"])
    await eventually(lambda: heard == [3, 4], "the change")
    begun = [one for one in followed.server.lists if "continue" not in one]
    assert len(begun) == 2


async def test_nobody_answers_at_the_start(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start does not wait for ever for an API that takes no decision."""
    monkeypatch.setattr(k8s_resolver, "START_S", 0.1)
    followed.server.stalled = True
    with capture_logs() as logs:
        await followed.start()
    assert followed.heard.lists == []
    followed.server.stalled = False
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert "no answer of the Kubernetes API yet" in [one["event"] for one in logs]


async def test_resolve_says_why_there_is_nobody(followed: Followed) -> None:
    """Asking by hand for a Service without ready endpoints says what was found."""
    await followed.server.drop("a")
    await followed.server.put("b", [endpoint("10.0.0.3", ready=False)])
    with pytest.raises(ResolutionError, match="1 endpoints that are not ready"):
        await followed.resolver.resolve()
    await followed.server.drop("b")
    with pytest.raises(ResolutionError, match="no EndpointSlice belongs to it"):
        await followed.resolver.resolve()


async def test_no_credentials_are_a_failure_like_any_other(
    followed: Followed, tmp_path: Path
) -> None:
    """Without credentials start returns, says where it looked, and keeps trying."""
    followed.make(place=K8sPlace({}, home=tmp_path / "nobody"))
    with capture_logs() as logs:
        await followed.start()
        await eventually(lambda: len(followed.slept_s) > 1, "another try")
    assert "KUBECONFIG is not set" in logs[0]["error"]
