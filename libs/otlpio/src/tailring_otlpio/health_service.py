"""``grpc.health.v1`` beside OTLP's services: SERVING while the service is ready."""

from __future__ import annotations

from typing import Final

import grpc.aio

# The stubs of this package are not among our pins; nothing of it leaves this module.
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health,
    health_pb2,
    health_pb2_grpc,
)

__all__ = ["HealthService"]

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthService:
    """Answers for the whole server ("") and for the services that are named."""

    def __init__(self, *services: str) -> None:
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it; before the server starts."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_serving(self, serving: bool) -> None:
        """Change the answer, and tell whoever watches."""
        state = _SERVING if serving else _NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, state)
