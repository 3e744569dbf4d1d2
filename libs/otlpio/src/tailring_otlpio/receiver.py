"""The OTLP receiver: a gRPC and an HTTP server in front of one intake.

It starts last and drains first. ``close`` refuses every new request (retryable);
``join`` closes the ports and waits for the requests in flight; ``terminate`` cuts
what is left. ``set_ready`` says what ``grpc.health.v1`` answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tailring_otlpio.grpc_server import GrpcServer
from tailring_otlpio.guard import Guard
from tailring_otlpio.http_server import HttpServer
from tailring_otlpio.intake import Intake, ReceiverSettings
from tailring_otlpio.receiver_config import OtlpReceiverConfig
from tailring_pipeline import Consumer, Signal
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

__all__ = ["OtlpReceiver"]


class OtlpReceiver:
    """A `Stage`; ``name`` is the component's id, the ``receiver`` label of metrics.

    It serves the signals that ``consumers`` has, and no others.
    """

    def __init__(
        self,
        config: OtlpReceiverConfig,
        *,
        consumers: Mapping[Signal, Consumer],
        metrics: Metrics,
        name: str = "otlp",
        settings: ReceiverSettings | None = None,
    ) -> None:
        settings = _roomy(settings or ReceiverSettings(), config)
        self._log = get_logger(receiver=name)
        self._intake = Intake(consumers, metrics=metrics, name=name, settings=settings)
        self._tasks = TaskSet(f"receiver {name} health", metrics=metrics)
        self._terminated = False
        guard = partial(
            Guard, receiver=name, metrics=metrics, extensions=settings.extensions
        )
        self._grpc: GrpcServer | None = None
        self._http: HttpServer | None = None
        if config.grpc is not None:
            self._grpc = GrpcServer(
                config.grpc,
                intake=self._intake,
                guard=guard(config.grpc),
                reuse_port=settings.reuse_port,
            )
        if config.http is not None:
            self._http = HttpServer(
                config.http,
                intake=self._intake,
                guard=guard(config.http),
                reuse_port=settings.reuse_port,
            )

    @property
    def grpc_port(self) -> int:
        """The port that gRPC listens on; 0 when it does not."""
        return self._grpc.port if self._grpc else 0

    @property
    def http_port(self) -> int:
        """The port that HTTP listens on; 0 when it does not."""
        return self._http.port if self._http else 0

    async def start(self) -> None:
        """Listen on every port, or on none: raises `StartError` when one is taken."""
        try:
            if self._grpc is not None:
                await self._grpc.start()
            if self._http is not None:
                await self._http.start()
        except BaseException:
            await self.terminate()
            raise
        self._log.info(
            "receiver started", grpc_port=self.grpc_port, http_port=self.http_port
        )

    def set_ready(self, ready: bool) -> None:
        """Follow the readiness of the service; a draining receiver never serves."""
        grpc_server = self._grpc
        if grpc_server is None or self._terminated:
            return
        serving = ready and not self._intake.draining
        self._tasks.spawn(grpc_server.set_serving(serving), name="set_serving")

    def close(self) -> None:
        """Answer every new request UNAVAILABLE, 503. Safe twice."""
        self._intake.draining = True
        self.set_ready(False)

    async def join(self, timeout_s: float) -> None:
        """Close the ports and wait for what is in flight, at most ``timeout_s``."""
        self.close()
        if self._http is not None:
            await self._http.stop()
        async with asyncio.TaskGroup() as group:
            if self._grpc is not None:
                group.create_task(self._grpc.stop(timeout_s))
            # Requests that their client gave up on are in flight without a call.
            group.create_task(self._wait_idle(timeout_s))

    async def terminate(self) -> None:
        """Cut every connection and cancel what is in flight. Safe twice."""
        self._intake.draining = True
        self._terminated = True
        await self._tasks.close()
        if self._grpc is not None:
            await self._grpc.stop(0)
        if self._http is not None:
            await self._http.terminate()

    async def _wait_idle(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._intake.join()
        except TimeoutError:
            self._log.warning("requests were still in flight at the deadline")


def _roomy(settings: ReceiverSettings, config: OtlpReceiverConfig) -> ReceiverSettings:
    """Settings under which the largest request that is allowed fits."""
    largest = max(
        (part.request_bytes_max for part in (config.grpc, config.http) if part),
        default=0,
    )
    return replace(
        settings, bytes_in_flight_max=max(settings.bytes_in_flight_max, largest)
    )
