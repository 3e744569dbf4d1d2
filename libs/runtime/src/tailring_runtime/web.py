"""A small HTTP server on aiohttp: what health, metrics and OTLP/HTTP listen with."""

from __future__ import annotations

import socket

from aiohttp import web

from tailring_runtime.address import join_host_port, split_host_port
from tailring_runtime.errors import StartError

__all__ = ["WebServer", "listen"]

BACKLOG_MAX = 128


def listen(address: str) -> socket.socket:
    """A listening TCP socket on ``host:port``; port 0 lets the system choose.

    As the collector does: "localhost" is 127.0.0.1, an empty host is every interface
    of both families, a name is its first address. Raises `StartError` when it cannot.
    """
    try:
        host, port = split_host_port(address)
        if host == "" and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port),
                family=socket.AF_INET6,
                backlog=BACKLOG_MAX,
                dualstack_ipv6=True,
            )
        host = "127.0.0.1" if host == "localhost" else host
        found = socket.getaddrinfo(
            host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(
            (host, port), family=found[0][0], backlog=BACKLOG_MAX
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(f"cannot listen on {address}: {why}") from error


class WebServer:
    """Serves one aiohttp application on one address."""

    def __init__(self, app: web.Application, address: str) -> None:
        self._app = app
        self._address = address
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """``host:port`` as bound, once started; before that as asked for."""
        return self._address

    async def start(self) -> None:
        """Bind and serve. Raises `StartError` when the address cannot be had."""
        bound = listen(self._address)
        host, _ = split_host_port(self._address)
        self._address = join_host_port(host, bound.getsockname()[1])
        self._runner = web.AppRunner(
            self._app, access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        await self._runner.setup()
        await web.SockSite(self._runner, bound).start()

    async def stop(self) -> None:
        """Close the socket and the connections. Safe twice and unstarted."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
