"""JSON bodies that are converted beside the loop: their limits and their clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tailring_otlpio.conversion import Conversion
from tailring_otlpio.errors import MalformedBody
from tailring_otlpio.intake import Intake, ReceiverSettings
from tailring_otlpio.json_requests import request_from_json
from tailring_pipeline import Refused, Signal
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp, otlp_json
from tailring_testkit.otlp_clients import JSON
from tailring_testkit.receiver_rig import Counts, receiver_rig, until

LARGE = otlp_json.format_request(otlp.realistic_request(100, seed=3)).encode()


class Rig:
    """Conversions that stand still until they are let go on."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = threading.Event()
        settings = ReceiverSettings(requests_in_flight_max=2)
        self.intake = Intake({}, metrics=Metrics(), name="otlp", settings=settings)
        self.conversion = Conversion(self.intake, self._convert)

    def _convert(self, body: bytes, signal: Signal) -> bytes:
        self.begun += 1
        assert self.go_on.wait(30), "nobody let the conversion go on"
        return request_from_json(body, signal)

    def send(self, body: bytes = LARGE) -> asyncio.Task[bytes]:
        """A client that waits for the conversion of its body."""
        converting = self.conversion.convert(body, Signal.TRACES)
        return asyncio.get_running_loop().create_task(converting)

    def in_flight(self) -> tuple[int, int]:
        """Requests and bytes."""
        return self.intake.admission.requests, self.intake.admission.bytes

    async def wait_in_flight(self, requests: int) -> None:
        """Wait until that many bodies are in flight, with all of their bytes."""
        await until(lambda: self.in_flight() == (requests, requests * len(LARGE)))


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A rig whose conversions end with the test."""
    made = Rig()
    yield made
    made.go_on.set()


async def test_what_is_converted_counts_as_in_flight(rig: Rig) -> None:
    """Bodies keep their places while one is converted and others wait; more are
    refused then."""
    first, second = rig.send(), rig.send()
    await rig.wait_in_flight(2)
    with pytest.raises(Refused):
        await rig.send()
    await until(lambda: rig.begun == 1)
    rig.go_on.set()
    assert await first == await second == request_from_json(LARGE)
    assert rig.begun == 2
    await rig.wait_in_flight(0)


async def test_a_client_that_leaves_leaves_its_conversion_in_flight(rig: Rig) -> None:
    """A conversion that nobody waits for goes on, holds its place until it ends, and
    no other one begins meanwhile."""
    first = rig.send()
    await until(lambda: rig.begun == 1)
    first.cancel()
    second = rig.send()
    await rig.wait_in_flight(2)
    assert first.cancelled()
    assert rig.begun == 1
    rig.go_on.set()
    await second
    await rig.wait_in_flight(0)


async def test_a_client_that_leaves_the_line_takes_its_place_along(rig: Rig) -> None:
    """A body that waits for its turn goes with its client."""
    first, second = rig.send(), rig.send()
    await until(lambda: rig.begun == 1)
    second.cancel()
    await rig.wait_in_flight(1)
    rig.go_on.set()
    await first
    assert rig.begun == 1


async def test_a_malformed_body_gives_its_place_back(rig: Rig) -> None:
    """A conversion that fails ends like any other."""
    rig.go_on.set()
    with pytest.raises(MalformedBody):
        await rig.send(b"[" * len(LARGE))
    await rig.wait_in_flight(0)
    await rig.send()


async def test_large_json_is_not_converted_for_a_drain() -> None:
    """While it drains the receiver refuses a large JSON body as it is."""
    async with receiver_rig() as receiving:
        receiving.receiver.close()
        reply = await receiving.http.post(LARGE, content_type=JSON)
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert receiving.counts("http") == Counts(refused=1)
