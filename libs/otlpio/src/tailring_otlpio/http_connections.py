"""The connections of an HTTP server: how many there may be, and how slow.

Whoever connects has to send the headers of a request within a time; more connections
than are allowed are closed as they come. Both are counted. After the first request the
library's own limit for idle connections holds, for half a header as for none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from tailring_otlpio.security_metrics import (
    CONNECTIONS,
    CONNECTIONS_CLOSED,
    TLS_HANDSHAKES_COMPLETED,
)
from tailring_runtime.metrics import Metrics

__all__ = ["HttpConnections"]

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HttpConnections(web.Server):
    """Makes and owns the connections; ``more`` is the library's."""

    def __init__(
        self,
        handler: _Handler,
        *,
        connections_max: int,
        header_timeout_s: float,
        metrics: Metrics,
        name: str,
        **more: Any,
    ) -> None:
        super().__init__(handler, **more)
        self._max = connections_max
        self._header_timeout_s = header_timeout_s
        self._fresh: dict[RequestHandler, asyncio.TimerHandle] = {}
        # Set before the first comes: how long one is kept open; 0: for ever.
        self.age_max_s = 0.0
        # Until when each connection is kept open for further requests.
        self._old_s: dict[RequestHandler, float] = {}
        labels = {"receiver": name, "transport": "http"}
        closed = {
            reason: metrics.counter(CONNECTIONS_CLOSED, reason=reason, **labels)
            for reason in ("too_many", "slow_header")
        }
        self._too_many, self._slow_header = closed["too_many"], closed["slow_header"]
        self._handshakes = metrics.counter(TLS_HANDSHAKES_COMPLETED, **labels)
        metrics.gauge_callback(CONNECTIONS, lambda: len(self.connections), **labels)

    def connection_made(
        self, handler: RequestHandler, transport: asyncio.Transport
    ) -> None:
        """A client is there, its TLS complete."""
        super().connection_made(handler, transport)
        if transport.get_extra_info("ssl_object") is not None:
            self._handshakes.value += 1
        if self.age_max_s:
            # Spread by a tenth, as gRPC does: clients that came together part.
            age_s = self.age_max_s * random.uniform(0.9, 1.1)
            self._old_s[handler] = asyncio.get_running_loop().time() + age_s
        if len(self._connections) > self._max:
            self._too_many.add()
            transport.abort()
        elif self._header_timeout_s:
            self._fresh[handler] = asyncio.get_running_loop().call_later(
                self._header_timeout_s, self._close_slow, handler, transport
            )

    def connection_lost(
        self, handler: RequestHandler, exc: BaseException | None = None
    ) -> None:
        """A client is gone."""
        self.headers_came(handler)
        self._old_s.pop(handler, None)
        super().connection_lost(handler, exc)

    def headers_came(self, handler: RequestHandler) -> None:
        """A request of this connection has its headers."""
        timer = self._fresh.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def is_old(self, handler: RequestHandler) -> bool:
        """Whether this connection has lived as long as it may."""
        old_s = self._old_s.get(handler)
        return old_s is not None and asyncio.get_running_loop().time() >= old_s

    def _close_slow(
        self, handler: RequestHandler, transport: asyncio.Transport
    ) -> None:
        del self._fresh[handler]
        self._slow_header.add()
        transport.abort()
