"""Lists and watches of an API server that misbehaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tailring_resolvers import (
    k8s_api,
    k8s_follower,
)
from tailring_testkit.fake_kube import FakeKube
from tailring_testkit.k8s_rig import Followed
from tailring_testkit.kube import endpoint
from tailring_testkit.process import eventually

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


async def test_a_list_is_read_page_by_page(followed: Followed) -> None:
    """All pages together are the first list, and it is told once."""
    for number in range(5):
        await followed.server.put(f"more-{number}", [f"10.0.1.{number}"])
    await followed.start()
    assert [len(one) for one in followed.heard.names()] == [8]
    assert len(followed.server.lists) == 4
    assert {one["limit"] for one in followed.server.lists} == {"10"}
    selector = "kubernetes.io/service-name=sampler"
    assert {one["labelSelector"] for one in followed.server.lists} == {selector}


async def test_a_list_that_expires_between_pages_begins_anew(
    followed: Followed,
) -> None:
    """A version that is forgotten in the middle of a list costs a list, no failure."""
    await followed.server.put("c", ["10.0.0.4"])
    followed.server.expired_pages = 1
    await followed.start()
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
    assert len(followed.server.lists) == 4
    assert followed.counted("num_resolutions", success="false") == 0


async def test_events_are_told(followed: Followed) -> None:
    """A slice that is added, changed and deleted changes the list each time."""
    await followed.start()
    await followed.watching()
    await followed.server.put("c", ["10.0.0.9"])
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9")
    await followed.server.put("a", ["10.0.0.2", endpoint("10.0.0.1", ready=False)])
    await followed.told("10.0.0.2", "10.0.0.3", "10.0.0.9")
    await followed.server.drop("b")
    await followed.told("10.0.0.2", "10.0.0.9")
    assert len(followed.server.lists) == 1
    assert followed.counted("num_resolutions", success="true") == 4
    assert followed.counted("num_backends") == 2


async def test_the_watch_begins_where_the_list_ended(followed: Followed) -> None:
    """A watch asks for bookmarks, for a time, and for what came after the list."""
    version = str(followed.server.version)
    followed.make(timeout=90 * S)
    await followed.start()
    await followed.watching()
    assert followed.server.watches[0] == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": "90",
        "labelSelector": "kubernetes.io/service-name=sampler",
    }


async def test_a_watch_that_expires_is_opened_where_it_ended(
    followed: Followed,
) -> None:
    """When its time is up a watch goes on after the last bookmark, without a list."""
    followed.server.watch_s = 0.2
    await followed.start()
    await followed.watching()
    await followed.server.bookmark()
    version = str(followed.server.version)
    await eventually(lambda: followed.resolver.version == version, "the bookmark")
    await followed.watching(2)
    assert followed.server.watches[1]["resourceVersion"] == version
    assert len(followed.server.lists) == 1
    assert followed.counted("num_resolutions", success="false") == 0


async def test_watches_that_end_at_once_are_not_opened_in_a_rush(
    followed: Followed,
) -> None:
    """A server that ends every watch at once is asked after growing pauses."""
    followed.server.watch_s = 0.0
    await followed.start()
    await followed.watching(4)
    assert len(followed.slept_s) >= 3
    assert followed.slept_s[0] < 0.5 < followed.slept_s[2]


@pytest.mark.parametrize("in_stream", [True, False])
async def test_a_forgotten_version_is_listed_anew(
    followed: Followed, in_stream: bool
) -> None:
    """410, as the status or inside the stream, costs a list and nothing else."""
    await followed.start()
    await followed.watching()
    followed.server.gone_in_stream = in_stream
    followed.server.silent = True
    await followed.server.put("b", ["10.0.0.4"])
    followed.server.forget()
    followed.server.silent = False
    followed.server.cut()
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.4")
    await followed.watching(3)
    assert len(followed.server.lists) == 2
    assert followed.heard.names()[0] == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert len(followed.heard.lists) == 2


async def test_a_connection_that_is_cut_loses_nothing(followed: Followed) -> None:
    """After a cut the watch goes on where it was: what came meanwhile is told."""
    await followed.start()
    await followed.watching()
    followed.server.silent = True
    await followed.server.put("c", ["10.0.0.4"])
    followed.server.silent = False
    followed.server.cut()
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
    assert len(followed.server.lists) == 1
    assert followed.counted("num_resolutions", success="false") == 1


async def test_a_silent_watch_is_noticed(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that neither speaks nor ends is given up, and another one opened."""
    monkeypatch.setattr(k8s_api, "SILENCE_S", 0.1)
    followed.server.silent = True
    with capture_logs() as logs:
        await followed.start()
        await followed.watching(2)
    errors = [one["error"] for one in logs if one["event"] == "failed to resolve"]
    assert "fell silent" in errors[0]


@pytest.mark.parametrize(
    "line", [b"not json\n", b"[]\n", b'{"type": "ERROR", "object": {"code": 500}}\n']
)
async def test_a_broken_stream_is_a_failure(followed: Followed, line: bytes) -> None:
    """What cannot be understood ends the watch; the list stays and it goes on."""
    await followed.start()
    await followed.watching()
    await followed.server.send(line)
    await followed.watching(2)
    assert followed.counted("num_resolutions", success="false") >= 1
    assert len(followed.heard.lists) == 1


async def test_an_event_without_end_is_refused(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that is larger than any object can be does not fill the memory."""
    monkeypatch.setattr(k8s_api, "LINE_BYTES_MAX", 1000)
    await followed.start()
    await followed.watching()
    with capture_logs() as logs:
        await followed.server.send(b"x" * 2000)
        await followed.watching(2)
    assert any("more than 1000 bytes" in str(one.get("error")) for one in logs)


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "ADDED", "object": {"kind": "Pod"}},
        {"type": "ADDED"},
        {"type": "MODIFIED", "object": {"metadata": {"name": "x"}, "endpoints": 1}},
    ],
)
async def test_an_unexpected_object_is_counted(
    followed: Followed, odd: dict[str, Any]
) -> None:
    """An object that is no slice is a failed resolution; the watch goes on."""
    await followed.start()
    await followed.watching()
    await followed.server.send(odd)
    await followed.server.put("c", ["10.0.0.4"])
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
    assert followed.counted("num_resolutions", success="false") == 1
    assert len(followed.server.watches) == 1


async def test_a_token_that_may_not_watch_polls(followed: Followed) -> None:
    """Without the verb watch every try lists, so changes are still seen."""
    followed.server.refuse = {"watch": 403}
    await followed.start()
    await followed.server.put("c", ["10.0.0.4"])
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
    assert len(followed.server.lists) >= 2


async def test_a_busy_server_is_given_the_time_that_it_asks_for(
    followed: Followed,
) -> None:
    """Retry-After is a least pause, and what is known stays known."""
    await followed.start()
    await followed.watching()
    followed.server.headers = {"Retry-After": "7"}
    followed.server.refuse = {"watch": 429}
    followed.server.cut()
    await eventually(lambda: 7.0 in followed.slept_s, "the pause")
    followed.server.refuse = {}
    assert len(followed.server.lists) == 1


async def test_a_rotated_token_is_used_from_the_next_request_on(
    followed: Followed, tmp_path: Path
) -> None:
    """The file of the token is read for every request."""
    await followed.start()
    await followed.watching()
    (tmp_path / "token").write_text("second")
    followed.server.cut()
    await followed.watching(2)
    assert followed.server.tokens == ["Bearer first", "Bearer first", "Bearer second"]


async def test_a_whole_list_now_and_then(followed: Followed) -> None:
    """Ten minutes after a list, what a watch has missed is found by the next one."""
    followed.server.watch_s = 0.05
    followed.server.silent = True
    await followed.start()
    await followed.server.put("b", ["10.0.0.3", "10.0.0.4"])
    await followed.watching(3)
    assert len(followed.server.lists) == 1
    followed.now_ns = int(1.2 * k8s_follower.RELIST_NS)
    await followed.told("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
    assert len(followed.server.lists) == 2
