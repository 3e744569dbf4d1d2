"""The OTLP/HTTP server: POST of protobuf or JSON, the answer in the same type.

Rules:

* Bodies are read under a limit and decompressed as they arrive; JSON, which is slow,
  is converted in a thread when it is large (`conversion`).
* Errors of a request that could be read are a ``google.rpc.Status`` in its own content
  type; 404, 405 and the 415 of a type are plain text, because there is no such type.
* Each signal that has a pipeline has one path, and there are no others. A path that
  only needs tidying (``//v1``, as of an endpoint written with a slash at its end) is
  answered with a redirect.
* A client that waits to be told to go on (``Expect: 100-continue``) is told so when its
  headers are found good.
"""

from __future__ import annotations

import asyncio
import math
import posixpath
import socket
import urllib.parse
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, web

from tailring_otlpio import status
from tailring_otlpio.authenticator import HeaderOf
from tailring_otlpio.conversion import Conversion
from tailring_otlpio.cors import Cors
from tailring_otlpio.errors import BodyTooLarge, MalformedBody
from tailring_otlpio.guard import Guard
from tailring_otlpio.http_body import ENCODINGS, read_body
from tailring_otlpio.http_connections import HttpConnections
from tailring_otlpio.intake import Envelope, Intake, Lane
from tailring_otlpio.listen import BACKLOG_MAX, listening_sockets, unix_socket
from tailring_otlpio.metrics import ReceiverMetrics
from tailring_otlpio.receiver_config import HttpServerConfig
from tailring_otlpio.rpc_status import (
    response_json,
    response_proto,
    status_json,
    status_proto,
)
from tailring_otlpio.status import Answer, Outcome
from tailring_otlpio.tenants import MARK_BYTES_MAX, MARK_TOO_LARGE, mark_of
from tailring_pipeline import Refused, Signal

__all__ = ["HttpServer"]

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
# `stop` has waited already; this is for answers that are still being written.
_SHUTDOWN_S: Final = 0.5
# How long a TLS handshake may take; the library's own limit is a minute.
_HANDSHAKE_S: Final = 20.0
_NS_PER_S: Final = 1_000_000_000
# Proxies add long headers (tokens, client certificates); the library's own limits are
# 8 KiB for the request line and each header, and 128 headers.
_HEADER_BYTES_MAX: Final = 64 * 1024
_HEADERS_MAX: Final = 512


class _Turned(Exception):
    """Raised inside a request to answer it with a plain HTTP status."""

    def __init__(self, code: HTTPStatus, text: str, **headers: str) -> None:
        super().__init__(text)
        self.code = code
        self.headers = headers


class HttpServer:
    """The paths of OTLP on one endpoint. ``start`` -> ``stop`` -> ``terminate``."""

    def __init__(
        self,
        config: HttpServerConfig,
        *,
        intake: Intake,
        guard: Guard,
        reuse_port: bool,
    ) -> None:
        self.port = 0
        self._config = config
        self._guard = guard
        self._keeps_open = config.kept_open.enabled
        self._reuse_port = reuse_port
        self._intake = intake
        # By path; requests without items count the same in each.
        self._lanes: dict[str, Lane] = {}
        self._metadata_keys = intake.metadata_keys if config.include_metadata else ()
        for signal in intake.signals:
            self._counted = ReceiverMetrics(
                guard.metrics, receiver=guard.receiver, transport="http", signal=signal
            )
            lane = intake.lane(signal, self._counted)
            self._lanes[config.paths[signal]] = lane
        self._cors = Cors(config.cors)
        self._headers = {
            key: value.get_secret_value()
            for key, value in config.response_headers.items()
        }
        self._encodings = _encodings(config)
        self._accepted_encodings = ", ".join(sorted(filter(None, self._encodings)))
        self._conversion = Conversion(intake)
        self._read_timeout_s = config.read_timeout / _NS_PER_S or None
        self._connections: HttpConnections | None = None
        self._listening: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen; raises `StartError` when the address cannot be had."""
        config = self._config
        self._connections = HttpConnections(
            self._handle,
            connections_max=config.max_connections,
            header_timeout_s=config.read_header_timeout / _NS_PER_S,
            metrics=self._guard.metrics,
            name=self._guard.receiver,
            access_log=None,
            auto_decompress=False,
            # A client that left will send again what is not delivered yet.
            handler_cancellation=True,
            keepalive_timeout=config.kept_open.idle_timeout / _NS_PER_S,
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            max_headers=_HEADERS_MAX,
        )
        self._connections.age_max_s = config.max_connection_age / _NS_PER_S
        if config.transport == "unix":
            listeners = [unix_socket(config.endpoint)]
        else:
            listeners = await listening_sockets(
                config.endpoint, reuse_port=self._reuse_port
            )
            self.port = listeners[0].getsockname()[1]
        await self._listen(listeners, self._connections)

    async def _listen(
        self, listeners: list[socket.socket], connections: HttpConnections
    ) -> None:
        loop = asyncio.get_running_loop()
        tls = self._guard.context()
        for listener in listeners:
            self._listening.append(
                await loop.create_server(
                    connections,
                    sock=listener,
                    backlog=BACKLOG_MAX,  # it listens again, with its own
                    ssl=tls,
                    ssl_handshake_timeout=_HANDSHAKE_S if tls else None,
                )
            )

    async def stop(self) -> None:
        """Take no new connections. Safe twice."""
        for server in self._listening:
            server.close()
        self._listening.clear()

    async def terminate(self) -> None:
        """Close every connection. Safe twice."""
        await self.stop()
        connections, self._connections = self._connections, None
        if connections is not None:
            # What has arrived begins to be handled, before idle ones are closed.
            await asyncio.sleep(0)
            connections.pre_shutdown()
            await connections.shutdown(_SHUTDOWN_S)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._connections is not None:
            self._connections.headers_came(request.protocol)
        try:
            response = await self._respond(request)
        except _Turned as turned:
            response = web.Response(
                status=turned.code, text=str(turned), headers=turned.headers
            )
        if request.method != "OPTIONS":
            response.headers.update(self._cors.headers(request.headers))
        response.headers.update(self._headers)
        connections = self._connections
        old = connections is not None and connections.is_old(request.protocol)
        if old or not self._keeps_open:
            response.force_close()
        return response

    async def _admit(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a client that may not send; None when it may."""
        answer = await self._guard.turns_away(self._header_of(request))
        if answer is None:
            return None
        self._counted.ended(answer.outcome, 0)
        written = request.headers.get("Content-Type", "")
        content_type = written.partition(";")[0].strip().lower()
        if content_type in (PROTOBUF, JSON):
            return _response(answer, content_type)
        return web.Response(status=answer.http_status, text=answer.message)

    def _header_of(self, request: web.BaseRequest) -> HeaderOf:
        auth = self._config.auth
        wanted = auth.request_params if auth is not None else ()
        given = {
            name.lower(): request.query[name]
            for name in wanted
            if name in request.query
        }
        return lambda name: given.get(name) or request.headers.get(name)

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        granted = None
        if request.method == "OPTIONS":
            granted = self._cors.preflight(request.headers)
        if self._guard.auth is not None and granted is None:
            turned_away = await self._admit(request)
            if turned_away is not None:
                return turned_away
        lane = self._find(request)
        if granted is not None:
            return web.Response(status=HTTPStatus.NO_CONTENT, headers=granted)
        if request.method != "POST":
            raise _Turned(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "405 method not allowed, supported: [POST]",
                Allow="POST",
            )
        content_type = self._content_type(request.headers)
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in self._encodings:
            self._counted.ended(Outcome.FAILURE, 0)
            answer = status.unsupported_encoding(encoding)
            response = _response(answer, content_type)
            response.headers["Accept-Encoding"] = self._accepted_encodings
            return response
        answer = await self._answer(
            request, lane, content_type=content_type, encoding=encoding
        )
        return _response(answer, content_type, lane.signal)

    def _find(self, request: web.BaseRequest) -> Lane:
        """The lane of the path that a request is for; `_Turned` when there is none."""
        lane = self._lanes.get(request.path)
        if lane is not None:
            return lane
        tidy = posixpath.normpath("/" + request.path.lstrip("/"))
        if tidy in self._lanes and not request.path.endswith("/"):
            query = request.rel_url.raw_query_string
            location = urllib.parse.quote(tidy) + (query and f"?{query}")
            raise _Turned(HTTPStatus.TEMPORARY_REDIRECT, "", Location=location)
        raise _Turned(HTTPStatus.NOT_FOUND, "404 page not found")

    def _content_type(self, headers: Mapping[str, str]) -> str:
        """The content type of a request, or `_Turned` with 415."""
        written = headers.get("Content-Type", "")
        content_type = written.partition(";")[0].strip().lower()
        if content_type not in (PROTOBUF, JSON):
            self._counted.ended(Outcome.FAILURE, 0)
            raise _Turned(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"415 unsupported media type, supported: [{JSON}, {PROTOBUF}]",
            )
        return content_type

    async def _answer(
        self, request: web.BaseRequest, lane: Lane, *, content_type: str, encoding: str
    ) -> Answer:
        try:
            payload = await self._read(request, encoding)
            if content_type == JSON:
                payload = await self._conversion.convert(payload, lane.signal)
        except BodyTooLarge as error:
            self._counted.ended(Outcome.FAILURE, 0)
            return status.too_large(str(error))
        except MalformedBody as error:
            self._counted.ended(Outcome.FAILURE, 0)
            return status.malformed(str(error))
        except Refused as error:
            self._counted.ended(Outcome.REFUSED, 0)
            return status.refused(error)
        except asyncio.CancelledError:  # the client left before its body was read
            self._counted.ended(Outcome.FAILURE, 0)
            raise
        mark = b""
        if self._metadata_keys:
            mark = mark_of(
                self._metadata_keys, lambda name: request.headers.getall(name, [])
            )
            if len(mark) > MARK_BYTES_MAX:
                self._counted.ended(Outcome.FAILURE, 0)
                return status.malformed(MARK_TOO_LARGE)
        return await self._intake.accept(payload, lane, Envelope(mark=mark))

    async def _read(self, request: web.BaseRequest, encoding: str) -> bytes:
        bytes_max = self._config.request_bytes_max
        if (request.content_length or 0) > bytes_max:
            raise BodyTooLarge(f"the body is larger than {bytes_max} bytes")
        await _go_on(request)
        try:
            async with asyncio.timeout(self._read_timeout_s):
                return await read_body(
                    request.content,
                    self._intake.admission,
                    encoding=encoding,
                    bytes_max=bytes_max,
                )
        except TimeoutError as error:
            self._counted.ended(Outcome.FAILURE, 0)
            raise _Turned(
                HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time"
            ) from error
        except (ConnectionError, web.RequestPayloadError) as error:
            raise MalformedBody(f"the body broke off: {error}") from error


async def _go_on(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body."""
    expected = request.headers.get("Expect", "")
    if not expected or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise _Turned(HTTPStatus.EXPECTATION_FAILED, "417 expectation failed")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # else the library takes it for an answer begun


def _encodings(config: HttpServerConfig) -> frozenset[str]:
    """Every spelling of the encodings that the configuration allows."""
    allowed = {ENCODINGS[name] for name in config.compression_algorithms}
    if "gzip" in config.compression_algorithms:
        allowed.add(ENCODINGS["x-gzip"])
    return frozenset(name for name, wbits in ENCODINGS.items() if wbits in allowed)


def _response(
    answer: Answer, content_type: str, signal: Signal = Signal.TRACES
) -> web.Response:
    """``signal`` is that of a success; errors are the same for all."""
    success = answer.outcome is Outcome.SUCCESS
    if content_type == JSON:
        body = response_json(answer, signal) if success else status_json(answer)
    else:
        body = response_proto(answer) if success else status_proto(answer)
    response = web.Response(
        status=answer.http_status, body=body, content_type=content_type
    )
    if answer.retry_after_s > 0:
        # Whole seconds, rounded up: 0 would mean at once.
        response.headers["Retry-After"] = str(math.ceil(answer.retry_after_s))
    return response
