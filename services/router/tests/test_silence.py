"""A backend that lets requests wait: what is in doubt, and what is kept from it."""

from __future__ import annotations

import asyncio

import pytest
from services.router.tests.rig import (
    NO_RETRY,
    RETRY,
    SLOW_RETRY,
    UNREACHABLE,
    MakeForwarder,
    part_of,
    within,
)

from tailring_pipeline import Refused
from tailring_router.forwarder import Forwarder
from tailring_router.part import Outcome, Part
from tailring_runtime.metrics import Metrics
from tailring_testkit.client import ScriptedClient

_LATE = Refused("deadline", "no answer in time")
_BROKEN = Refused("unreachable", "b:1: UNAVAILABLE: Socket closed")
_NEVER_SENT = Refused(
    "unreachable", "b:1: UNAVAILABLE: Failed to connect to remote host"
)
_NO_TLS = Refused(
    "unreachable",
    "b:1: UNAVAILABLE: connections to all backends failing; last error: UNKNOWN: "
    "ipv4:1.2.3.4:1: Tls handshake failed",
)


def _doubted(metrics: Metrics) -> float:
    return metrics.value("tailring_router_doubted_spans", exporter="lb")


def _offered(forwarder: Forwarder, *payloads: bytes) -> list[Part]:
    parts = [part_of(payload, spans=5) for payload in payloads]
    for part in parts:
        forwarder.offer(part)
    return parts


async def test_what_waited_too_long_is_sent_again_after_a_question(
    make_forwarder: MakeForwarder, client: ScriptedClient, metrics: Metrics
) -> None:
    """An empty request finds out whether the backend answers; then the part follows."""
    client.script([_LATE, _LATE, None, None])
    forwarder = make_forwarder()
    (part,) = _offered(forwarder, b"p")
    assert (await within(part.result)).outcome is Outcome.DELIVERED
    assert client.tried == [b"p", b"", b"", b"p"]
    assert _doubted(metrics) == 5


async def test_one_at_a_time_is_sent_to_a_silent_backend(
    make_forwarder: MakeForwarder, client: ScriptedClient, metrics: Metrics
) -> None:
    """Of several requests only one is brought into doubt again, and when it is
    answered all the others go out."""
    forwarder = make_forwarder(linger_s=0.0, retry=SLOW_RETRY)
    client.hold()
    parts = []
    for number in range(4):
        parts += _offered(forwarder, b"%d" % number)
        await client.wait_tried(number + 1)
    client.script([_LATE] * 4)
    client.release()
    await asyncio.sleep(0.01)
    assert _doubted(metrics) == 20
    client.hold()
    client.script([None, _LATE])
    forwarder.hurry()
    await client.wait_tried(5)
    await asyncio.sleep(0.01)
    assert client.tried[4:] == [b""]
    client.release()
    await asyncio.sleep(0.01)
    assert len(client.tried) == 6
    assert _doubted(metrics) == 25
    for part in parts:
        assert (await within(part.result)).outcome is Outcome.DELIVERED
    assert _doubted(metrics) == 25


async def test_whoever_leaves_meanwhile_is_not_sent(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A part whose sender left while the backend was asked is not sent again."""
    client.script([_LATE])
    forwarder = make_forwarder(linger_s=0.0)
    left, stays = _offered(forwarder, b"l", b"s")
    await client.wait_tried(1)
    client.hold()
    await client.wait_tried(2)
    assert client.tried[1] == b""
    assert not forwarder.abandon(left)
    client.release()
    assert (await within(stays.result)).outcome is Outcome.DELIVERED
    assert client.delivered == [b"", b"s"]
    assert (await within(left.result)).reason == "abandoned"


async def test_a_refusal_ends_the_silence(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A backend that refuses answers: it is not asked by empty requests any more."""
    client.script([_LATE, None, Refused("unavailable", "busy"), None])
    forwarder = make_forwarder()
    (part,) = _offered(forwarder, b"p")
    assert (await within(part.result)).outcome is Outcome.DELIVERED
    assert client.tried == [b"p", b"", b"p", b"p"]


async def test_without_retry_nothing_is_kept_back(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Where each part has one try only, each gets it."""
    client.answer = _LATE
    forwarder = make_forwarder(retry=NO_RETRY)
    for _ in range(2):
        (part,) = _offered(forwarder, b"p")
        assert (await within(part.result)).outcome is Outcome.FAILED
    assert client.tried == [b"p", b"p"]


@pytest.mark.parametrize(
    ("refused", "spans"),
    [(_BROKEN, 5), (UNREACHABLE, 5), (_NEVER_SENT, 0), (_NO_TLS, 0)],
)
async def test_a_broken_connection_is_a_doubt(
    refused: Refused,
    spans: int,
    make_forwarder: MakeForwarder,
    client: ScriptedClient,
    metrics: Metrics,
) -> None:
    """What was on a connection that broke may have arrived; what never found one has
    not."""
    client.script([refused])
    forwarder = make_forwarder(retry=RETRY)
    (part,) = _offered(forwarder, b"p")
    assert (await within(part.result)).outcome is Outcome.DELIVERED
    assert client.tried == [b"p", b"p"]
    assert _doubted(metrics) == spans


async def test_a_forwarder_that_closes_doubts_what_is_in_flight(
    make_forwarder: MakeForwarder, client: ScriptedClient, metrics: Metrics
) -> None:
    """A call that was given up may have arrived."""
    client.hold()
    forwarder = make_forwarder()
    _offered(forwarder, b"p")
    await client.wait_tried(1)
    await forwarder.close()
    assert _doubted(metrics) == 5
