"""An OTLP receiver on free ports with a sink behind it and bare clients in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from tailring_otlpio import OtlpReceiver, OtlpReceiverConfig, ReceiverSettings
from tailring_pipeline import ITEMS, Signal
from tailring_runtime.metrics import Metrics
from tailring_testkit.otlp_clients import GrpcClient, HttpClient
from tailring_testkit.pki import ClientTls
from tailring_testkit.sink import Sink

__all__ = ["Counts", "ReceiverRig", "receiver_rig", "until"]

_TIMEOUT_S = 10.0


async def until(
    condition: Callable[[], bool], *, timeout_s: float = _TIMEOUT_S
) -> None:
    """Wait until ``condition`` holds; for states that nobody announces."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


class Counts(NamedTuple):
    """What a receiver has counted for one transport."""

    accepted_spans: int = 0
    refused_spans: int = 0
    failed_spans: int = 0
    success: int = 0
    refused: int = 0
    failure: int = 0


@dataclass(frozen=True, slots=True)
class ReceiverRig:
    """A running receiver and what surrounds it."""

    receiver: OtlpReceiver
    sink: Sink
    metrics: Metrics
    grpc: GrpcClient
    http: HttpClient

    def counts(self, transport: str, signal: Signal = Signal.TRACES) -> Counts:
        """The receiver's counters for ``grpc`` or ``http``.

        Items are those of ``signal``, requests those of all.
        """
        items = (
            self.metrics.value(
                f"otelcol_receiver_{kind}_{ITEMS[signal]}", transport=transport
            )
            for kind in ("accepted", "refused", "failed")
        )
        requests = (
            self.metrics.value(
                "otelcol_receiver_requests", transport=transport, outcome=outcome
            )
            for outcome in ("success", "refused", "failure")
        )
        return Counts(*(int(value) for value in (*items, *requests)))

    async def wait_counts(
        self, transport: str, counts: Counts, *, timeout_s: float = _TIMEOUT_S
    ) -> None:
        """Wait until the counters are exactly these."""
        await until(lambda: self.counts(transport) == counts, timeout_s=timeout_s)

    def in_flight(self) -> tuple[int, int]:
        """Requests and bytes that the receiver believes are in flight."""
        requests = self.metrics.value("tailring_receiver_in_flight_requests")
        nbytes = self.metrics.value("tailring_receiver_in_flight_bytes")
        return int(requests), int(nbytes)


@asynccontextmanager
async def receiver_rig(
    *,
    grpc: Mapping[str, Any] | None = None,
    http: Mapping[str, Any] | None = None,
    settings: ReceiverSettings | None = None,
    tls: ClientTls | None = None,
    signals: Iterable[Signal] = (Signal.TRACES,),
) -> AsyncIterator[ReceiverRig]:
    """Run a receiver with both protocols; ``grpc`` and ``http`` add keys to them.

    With ``tls`` its clients speak TLS. ``signals`` are those that have a pipeline.
    """
    free = {"endpoint": "127.0.0.1:0"}
    protocols = {"grpc": {**free, **(grpc or {})}, "http": {**free, **(http or {})}}
    metrics = Metrics()
    sink = Sink()
    receiver = OtlpReceiver(
        OtlpReceiverConfig.model_validate({"protocols": protocols}),
        consumers=dict.fromkeys(signals, sink),
        metrics=metrics,
        settings=settings,
    )
    await receiver.start()
    receiver.set_ready(True)
    async with (
        GrpcClient(
            f"127.0.0.1:{receiver.grpc_port}",
            credentials=tls.credentials() if tls else None,
        ) as grpc_client,
        HttpClient(
            f"http{'s' if tls else ''}://127.0.0.1:{receiver.http_port}",
            tls=tls.context() if tls else None,
        ) as http_client,
    ):
        try:
            yield ReceiverRig(receiver, sink, metrics, grpc_client, http_client)
        finally:
            sink.release()
            receiver.close()
            await receiver.join(1.0)
            await receiver.terminate()
