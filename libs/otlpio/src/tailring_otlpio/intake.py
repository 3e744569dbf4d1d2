"""What both transports do with a request, from its decoded bytes to its answer.

Rules:

* A request is refused at the door when too many requests or bytes are in flight, or
  while the receiver drains; its items are counted, which is a fraction of the work of
  looking at them. Nothing waits for a place, and all signals share the places.
* What is let in is validated once, here; nothing malformed gets past it. Items where
  OTLP had them before 0.15 are brought to their place first: no stage looks there.
* Whatever the pipeline raises becomes an `Answer`; `accept` raises nothing.
* A client that goes away cancels what it waited for: stages withdraw what they have
  not sent yet, because the client will send all of it again. What is in flight to a
  backend is not recalled. The items count as refused.

It does not know about codes on the wire, compression or content types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tailring_otlpio import status
from tailring_otlpio.extensions import Extensions
from tailring_otlpio.metrics import (
    IN_FLIGHT_BYTES,
    IN_FLIGHT_REQUESTS,
    ReceiverMetrics,
)
from tailring_otlpio.status import Answer, Outcome
from tailring_otlpwire import WireError, count, marked, modernised, validate
from tailring_pipeline import KINDS, Batch, Consumer, Refused, Rejected, Signal
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics

__all__ = ["Admission", "Intake", "Lane", "ReceiverSettings"]


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """What a service passes to its receiver, beside the operator's configuration.

    ``bytes_in_flight_max`` must hold at least one request of the largest size that the
    receiver is configured for; `OtlpReceiver` raises it to that when it does not.
    """

    requests_in_flight_max: int = 4096
    bytes_in_flight_max: int = 512 << 20
    # Several processes listen on one port; the kernel spreads connections over them.
    reuse_port: bool = False
    # Where `auth` finds the extension that it names.
    extensions: Extensions | None = None
    # The headers that exporters want to know, names in lower case.
    metadata_keys: tuple[str, ...] = ()


class Admission:
    """How much is in flight. `enter` and `leave` come in pairs, with equal sizes."""

    def __init__(self, *, requests_max: int, bytes_max: int) -> None:
        self.requests = 0
        self.bytes = 0
        self.requests_max = requests_max
        self.bytes_max = bytes_max

    def enter(self, nbytes: int) -> None:
        """Take a place for a request, or raise `Refused`."""
        if self.requests >= self.requests_max:
            raise Refused("overloaded", "too many requests in flight")
        self.grow(nbytes)
        self.requests += 1

    def grow(self, nbytes: int) -> None:
        """Let a request that has entered become larger, or raise `Refused`."""
        if self.bytes + nbytes > self.bytes_max:
            raise Refused("overloaded", "too many bytes in flight")
        self.bytes += nbytes

    def leave(self, nbytes: int) -> None:
        """Give the place of a request, ``nbytes`` large by now, back."""
        self.requests -= 1
        self.bytes -= nbytes
        assert self.requests >= 0, "more requests left than entered"
        assert self.bytes >= 0, "more bytes left than entered"


@dataclass(frozen=True, slots=True)
class Lane:
    """The way of one signal from one transport into its pipelines."""

    signal: Signal
    # What `tailring_otlpwire` calls its requests.
    kind: int
    consumer: Consumer
    counted: ReceiverMetrics


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came with a request beside its bytes.

    ``deadline_ns``: see `Batch`. ``mark`` is what `tailring_otlpwire.marked` puts into
    the request, if anything.
    """

    deadline_ns: int | None = None
    mark: bytes = b""


PLAIN: Final = Envelope()


class Intake:
    """The way from a receiver's sockets into the pipelines; one for each receiver."""

    def __init__(
        self,
        consumers: Mapping[Signal, Consumer],
        *,
        metrics: Metrics,
        name: str,
        settings: ReceiverSettings,
    ) -> None:
        self.admission = Admission(
            requests_max=settings.requests_in_flight_max,
            bytes_max=settings.bytes_in_flight_max,
        )
        self.draining = False
        self.metadata_keys = settings.metadata_keys
        self._consumers = consumers
        self._log = get_logger(receiver=name)
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.gauge_callback(
            IN_FLIGHT_REQUESTS, lambda: self.admission.requests, receiver=name
        )
        metrics.gauge_callback(
            IN_FLIGHT_BYTES, lambda: self.admission.bytes, receiver=name
        )

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Those that have a pipeline; others are not served."""
        return tuple(self._consumers)

    def lane(self, signal: Signal, counted: ReceiverMetrics) -> Lane:
        """The lane of a signal that is served; its requests count in ``counted``."""
        return Lane(signal, KINDS[signal], self._consumers[signal], counted)

    async def accept(
        self, payload: bytes, lane: Lane, envelope: Envelope = PLAIN
    ) -> Answer:
        """Hand one request on and say what came of it; counts it in its lane.

        Raises only CancelledError, when the client left or the receiver was cut.
        """
        if not payload:
            lane.counted.ended(Outcome.SUCCESS, 0)
            return status.accepted()
        self._open += 1
        self._idle.clear()
        try:
            return await self._take(payload, lane, envelope)
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def join(self) -> None:
        """Wait until nothing is in flight."""
        await self._idle.wait()

    def enter(self, size: int) -> None:
        """Take a place for ``size`` bytes until `leave`, or raise `Refused`."""
        if self.draining:
            raise Refused("draining", "the receiver is shutting down")
        self.admission.enter(size)

    def leave(self, size: int) -> None:
        """Give the place back."""
        self.admission.leave(size)

    async def _take(self, payload: bytes, lane: Lane, envelope: Envelope) -> Answer:
        size = len(payload)
        try:
            self.enter(size)
        except Refused as error:
            items = _items_at_a_glance(payload, lane.kind)
            lane.counted.ended(Outcome.REFUSED, items)
            return status.refused(error)
        try:
            return await self._look(payload, lane, envelope)
        finally:
            self.leave(size)

    async def _look(self, payload: bytes, lane: Lane, envelope: Envelope) -> Answer:
        counted = lane.counted
        try:
            payload = modernised(payload)
            items = validate(payload, lane.kind)
            if envelope.mark:
                payload = marked(payload, envelope.mark)
        except WireError as error:
            counted.ended(Outcome.FAILURE, 0)
            return status.malformed(f"malformed request: {error}")
        if not items:  # envelopes without content may be dropped
            counted.ended(Outcome.SUCCESS, 0)
            return status.accepted()
        try:
            batch = Batch(payload, items, lane.signal, envelope.deadline_ns)
            answer = await self._deliver(batch, lane.consumer)
        except asyncio.CancelledError:
            counted.ended(Outcome.REFUSED, items)
            raise
        counted.ended(answer.outcome, items, rejected=answer.rejected_items)
        return answer

    async def _deliver(self, batch: Batch, consumer: Consumer) -> Answer:
        try:
            await consumer.consume(batch)
        except Refused as error:
            return status.refused(error)
        except Rejected as error:
            return status.rejected(error, items=batch.items)
        except Exception:  # noqa: BLE001 - a boundary: logged, counted, answered
            self._log.exception("request failed unexpectedly")
            return status.internal_failure()
        return status.accepted()


def _items_at_a_glance(payload: bytes, kind: int) -> int:
    """How many items a request has that nobody has looked at; 0 if it is malformed."""
    try:
        return count(modernised(payload), kind)
    except WireError:
        return 0
