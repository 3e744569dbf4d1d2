"""An OTLP/HTTP backend on a real port whose answers are scripted.

It keeps every request as it came, headers and body. What it answers is decided per
request: by the next entry of the script, else by ``backend.answer``.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web

__all__ = ["HttpAnswer", "HttpBackend", "HttpRequest"]

_BODY_BYTES_MAX = 256 << 20


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What one request is answered with, after ``delay_s``."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def payload(self) -> bytes:
        """The body without its compression."""
        encoding = self.headers.get("Content-Encoding", "")
        if encoding == "gzip":
            return gzip.decompress(self.body)
        if encoding in ("zlib", "deflate"):
            return zlib.decompress(self.body)
        assert not encoding, f"not sent by anybody: {encoding}"
        return self.body


class HttpBackend:
    """Listens on a port of the loopback while its ``async with`` runs."""

    def __init__(
        self, answer: HttpAnswer | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer or HttpAnswer()
        self.requests: list[HttpRequest] = []
        self.port = 0
        self._tls = tls
        self._script: Iterator[HttpAnswer] = iter(())
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Of its root; the port is known after the first start, and kept."""
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def script(self, answers: Iterable[HttpAnswer]) -> None:
        """Answer the next requests by ``answers`` in order, then by ``answer``."""
        self._script = iter(answers)

    async def start(self) -> HttpBackend:
        """Listen; the port of an earlier start is taken again."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # The body stays as it was sent.
        runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self._runner = runner
        if not self.port:
            self.port = int(runner.addresses[0][1])
        return self

    async def stop(self) -> None:
        """Close the port and the connections."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> HttpBackend:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _handle(self, request: web.Request) -> web.Response:
        answer = next(self._script, self.answer)
        body = await request.read()
        self.requests.append(
            HttpRequest(request.method, request.path_qs, dict(request.headers), body)
        )
        await asyncio.sleep(answer.delay_s)
        return web.Response(
            status=answer.status, body=answer.body, headers=answer.headers
        )
