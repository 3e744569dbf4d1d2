"""``exporters.otlp`` and ``otlphttp``: a bounded queue, retries, and a client."""

from __future__ import annotations

from typing import Final, Protocol

from tailring_otlpio.client import MetadataItems, OtlpClient
from tailring_otlpio.client_config import OtlpExporterConfig
from tailring_otlpio.credentials import PLAINTEXT, Credentials
from tailring_otlpio.http_client import OtlpHttpClient
from tailring_otlpio.http_client_config import OtlpHttpExporterConfig
from tailring_otlpio.metrics import PARTIAL_REJECTED
from tailring_otlpio.tenants import Tenants
from tailring_pipeline import (
    Batch,
    ExporterMetrics,
    Rejected,
    Retry,
    SendingQueue,
    Store,
)
from tailring_runtime.logs import get_logger
from tailring_runtime.losses import Loss

__all__ = ["OtlpExporter"]

_NS_PER_S: Final = 1_000_000_000

_Config = OtlpExporterConfig | OtlpHttpExporterConfig


class _Client(Protocol):
    """What both transports' clients can."""

    async def export(
        self, payload: bytes, *, timeout_s: float, metadata: MetadataItems = ()
    ) -> Rejected | None:
        """Send one request; see `OtlpClient.export`."""

    def connected(self) -> bool:
        """Whether the backend is there, as far as is known."""

    def connect_nowait(self) -> None:
        """Begin to connect, if that can be begun."""

    async def close(self) -> None:
        """End the connections."""


class _Delivery:
    """One attempt: the consumer behind queue and retry."""

    def __init__(
        self, client: _Client, *, timeout_ns: int, metrics: ExporterMetrics
    ) -> None:
        self.client = client
        # None while no request bears a mark.
        self.tenants: Tenants | None = None
        self._timeout_s = timeout_ns / _NS_PER_S
        self._rejected = metrics.registry.counter(
            PARTIAL_REJECTED[metrics.signal], exporter=metrics.exporter_id
        )

    async def consume(self, batch: Batch) -> None:
        """Send the batch once; a partial success counts as taken, as upstream does."""
        if self.tenants is None:
            await self._send(batch, ())
        else:
            await self.tenants.deliver(batch, self._send)

    async def _send(self, batch: Batch, metadata: MetadataItems) -> None:
        partial = await self.client.export(
            batch.payload, timeout_s=self._timeout_s, metadata=metadata
        )
        if partial is not None:
            self._rejected.value += partial.items_of(batch)


class OtlpExporter:
    """A `Stage` and `Consumer` of one signal, made on the running loop.

    ``consume`` returns when the backend took the batch (or, with a queue that the file
    spells out or that is on disk, when it is queued). It raises `Rejected` with a
    reason of `SPLIT_REASONS` when a part of the batch may be at fault: the
    caller can split it and try again.
    """

    def __init__(
        self,
        config: _Config,
        *,
        metrics: ExporterMetrics,
        credentials: Credentials = PLAINTEXT,
        store: Store | None = None,
        marks: bool = False,
    ) -> None:
        """The model says which transport; ``store`` keeps the queue on disk, None: in
        memory. ``marks``: requests may bear the marks of `tenants`."""
        log = get_logger(exporter=metrics.exporter_id)
        self._delivery = _Delivery(
            _client(config, metrics=metrics, credentials=credentials),
            timeout_ns=config.timeout,
            metrics=metrics,
        )
        if marks or config.metadata_keys:
            self._delivery.tenants = Tenants(config.metadata_keys, log=log)
        retry = Retry(config.retry_on_failure, consumer=self._delivery, log=log)
        self._queue = SendingQueue(
            config.sending_queue,
            consumer=retry,
            metrics=metrics,
            log=log,
            store=store,
        )

    @property
    def name(self) -> str:
        """The component's id."""
        return self._queue.name

    @property
    def loss(self) -> Loss:
        """What was acknowledged early and is lost."""
        return self._queue.loss

    def connected(self) -> bool:
        """Whether there is a connection to the backend now."""
        return self._delivery.client.connected()

    async def consume(self, batch: Batch) -> None:
        """Deliver the batch; see the class."""
        await self._queue.consume(batch)

    async def start(self) -> None:
        """Begin to connect; a backend that is away is no reason not to start."""
        self._delivery.client.connect_nowait()
        await self._queue.start()

    def hurry(self) -> None:
        """Try again at once what waits for its next attempt, and more often."""
        self._queue.hurry()

    def close(self) -> None:
        """Refuse new batches; retries that wait make their last attempt now."""
        self._queue.close()

    async def join(self, timeout_s: float) -> None:
        """Deliver what is held, for at most ``timeout_s``."""
        await self._queue.join(timeout_s)

    async def terminate(self) -> None:
        """Abandon what is held and close the connection. Safe twice."""
        await self._queue.terminate()
        await self._delivery.client.close()


def _client(
    config: _Config, *, metrics: ExporterMetrics, credentials: Credentials
) -> _Client:
    if isinstance(config, OtlpHttpExporterConfig):
        return OtlpHttpClient(config, credentials=credentials, signal=metrics.signal)
    return OtlpClient(
        config.endpoint, config, credentials=credentials, signal=metrics.signal
    )
