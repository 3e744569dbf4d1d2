"""An HTTP client of one backend: encoded requests out, `Refused` or `Rejected` back.

Rules, as upstream's where nothing is said:

* 429, 502, 503 and 504 may be sent again, and Retry-After of 429 and 503 is waited; no
  other answer is. A redirection is final: following one would send a POST as a GET.
* Once 2xx was answered the request was taken, whatever becomes of the answer's body.
* "unreachable" means that no backend answered: there is no connection, or it broke.
* Of an answer at most `_ANSWER_BYTES_MAX` are read.
* The files of TLS are looked at before a request; new connections use what they hold.

It does not queue, retry or count, but for the log lines of partial successes.
"""

from __future__ import annotations

import asyncio
import platform
import ssl
import time
import zlib
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from importlib.metadata import version as version_of
from typing import Any, Final

import aiohttp

from tailring_otlpio import status
from tailring_otlpio.credentials import PLAINTEXT, Credentials
from tailring_otlpio.http_client_config import OtlpHttpExporterConfig
from tailring_otlpio.http_proxy import proxy_for
from tailring_otlpio.json_output import json_of
from tailring_otlpio.rpc_status import (
    partial_success_of,
    partial_success_of_json,
    status_message,
)
from tailring_otlpio.tls_contexts import client_context
from tailring_pipeline import FailureLog, Refused, Rejected, Signal
from tailring_runtime.logs import get_logger

__all__ = ["OtlpHttpClient"]

_ANSWER_BYTES_MAX: Final = 64 * 1024
_DETAIL_CHARS_MAX: Final = 1_000
_READ_BUFFER_BYTES: Final = 64 * 1024
# Larger bodies are compressed in a thread; zlib lets others run meanwhile.
_INLINE_BYTES_MAX: Final = 32 * 1024
_NS_PER_S: Final = 1_000_000_000
_FOR_EVER_S: Final = 10 * 365 * 86_400.0
_WAITED: Final = frozenset({429, 503})
_TYPES: Final = {"proto": "application/x-protobuf", "json": "application/json"}
_GZIP_WBITS: Final = 31
_ZLIB_WBITS: Final = 15
_DEFAULT_LEVEL: Final = -1
_HUFFMAN_LEVEL: Final = -2


class OtlpHttpClient:
    """Made on the running event loop; connects with the first request, reconnects.

    ``credentials`` are those of ``config``. All requests are of one ``signal``.
    """

    def __init__(
        self,
        config: OtlpHttpExporterConfig,
        *,
        credentials: Credentials = PLAINTEXT,
        signal: Signal = Signal.TRACES,
    ) -> None:
        self._config = config
        self._signal = signal
        self._url = config.url(signal)
        self._shown = str(self._url.with_user(None))
        assert self._url.scheme != "https" or credentials.tls, "no files of TLS"
        self._auth = credentials.auth
        self._tls = credentials.tls if self._url.scheme == "https" else None
        self._context: ssl.SSLContext | None = None
        self._epoch = -1
        self._proxy = proxy_for(self._url, config.proxy_url)
        self._headers = _headers(config)
        self._session: aiohttp.ClientSession | None = None
        self._partials = FailureLog(
            "Partial success response",
            log=get_logger(endpoint=self._shown),
            level="warning",
        )
        self._reached = False
        self._closed = False

    async def export(
        self,
        payload: bytes,
        *,
        timeout_s: float,
        metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> Rejected | None:
        """Send one request; returns what the backend says of items it did not take.

        Raises `Refused` or `Rejected` with the reasons of `status.http_failure`, or
        "unreachable". ``timeout_s`` 0 is no limit.
        """
        if self._closed:
            raise Refused("closed", f"the connection to {self._shown} was closed")
        body = payload
        if self._config.encoding == "json":
            body = await json_of(payload, self._signal)
        body = await self._compressed(body)
        headers = self._headers
        if self._auth is not None:
            headers = {**headers, **dict(self._auth.headers())}
        sent = [*headers.items(), *((key, _text(value)) for key, value in metadata)]
        try:
            return await self._post(body, sent, timeout_s)
        except TimeoutError:
            raise Refused("deadline", f"{self._shown}: no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            self._reached = False
            detail = f"{self._shown}: {str(error) or type(error).__name__}"
            raise Refused("unreachable", detail[:_DETAIL_CHARS_MAX]) from None

    def connected(self) -> bool:
        """Whether the last request found the backend."""
        return self._reached

    def connect_nowait(self) -> None:
        """Nothing: a connection is made with the first request."""

    async def close(self) -> None:
        """End the connections."""
        self._closed = True
        self._partials.flush()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(
        self, body: bytes, headers: Sequence[tuple[str, str]], timeout_s: float
    ) -> Rejected | None:
        session = self._session
        if session is None:
            session = self._session = _session(self._config)
        async with session.post(
            self._url,
            data=body,
            headers=headers,
            allow_redirects=False,
            proxy=self._proxy,
            timeout=aiohttp.ClientTimeout(total=timeout_s or None),
            **self._tls_arguments(),
        ) as response:
            self._reached = True
            answer = await _read(response)
            if 200 <= response.status < 300:
                return self._partial(response, answer)
            raise self._failure(response, answer)

    def _tls_arguments(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        self._tls.look(time.monotonic())
        if self._context is None or self._epoch != self._tls.epoch:
            self._epoch = self._tls.epoch
            material = self._tls.material
            self._context = client_context(
                material.ca,
                certificate=material.certificate,
                key=material.key,
                config=self._config.tls,
            )
        name = self._config.tls.server_name_override
        return {"ssl": self._context, "server_hostname": name or None}

    async def _compressed(self, body: bytes) -> bytes:
        compression = self._config.compression
        if compression in ("", "none"):
            return body
        wbits = _GZIP_WBITS if compression == "gzip" else _ZLIB_WBITS
        level = self._config.compression_params.level
        if len(body) <= _INLINE_BYTES_MAX:
            return _compress(body, wbits, level)
        return await asyncio.to_thread(_compress, body, wbits, level)

    def _partial(
        self, response: aiohttp.ClientResponse, answer: bytes
    ) -> Rejected | None:
        kind = response.content_type
        if not answer or kind not in _TYPES.values():
            return None
        if kind == _TYPES["json"]:
            rejected, message = partial_success_of_json(answer, self._signal)
        else:
            rejected, message = partial_success_of(answer)
        if not rejected and not message:
            return None
        detail = message[:_DETAIL_CHARS_MAX] or "the backend did not say why"
        partial = Rejected("partial_success", detail, items=rejected)
        self._partials.failed(partial, rejected)
        return partial if rejected else None

    def _failure(
        self, response: aiohttp.ClientResponse, answer: bytes
    ) -> Refused | Rejected:
        detail = f"{self._shown} answered {response.status} {response.reason}"
        said = status_message(answer)[:_DETAIL_CHARS_MAX]
        if said:
            detail += f": {said}"
        location = response.headers.get("Location")
        if location:
            detail += f"; it points to {location[:_DETAIL_CHARS_MAX]}: write that here"
        wait_s = 0.0
        if response.status in _WAITED:
            wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
        return status.http_failure(response.status, detail, retry_after_s=wait_s)


def _session(config: OtlpHttpExporterConfig) -> aiohttp.ClientSession:
    kept = config.connections
    kept_s: dict[str, Any] = {
        "keepalive_timeout": kept.idle_conn_timeout / _NS_PER_S or _FOR_EVER_S
    }
    connector = aiohttp.TCPConnector(
        limit=0,
        limit_per_host=config.max_conns_per_host,
        **(kept_s if kept.enabled else {"force_close": True}),
    )
    cookies = config.cookies is not None and config.cookies.enabled
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=(
            aiohttp.CookieJar(unsafe=True) if cookies else aiohttp.DummyCookieJar()
        ),
        read_bufsize=config.read_buffer_size or _READ_BUFFER_BYTES,
    )


def _headers(config: OtlpHttpExporterConfig) -> dict[str, str]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(
        platform.machine(), platform.machine()
    )
    own = {
        "Content-Type": _TYPES[config.encoding],
        "User-Agent": f"Tailring/{version_of('tailring-otlpio')}"
        f" ({platform.system().lower()}/{machine})",
    }
    if config.compression not in ("", "none"):
        own["Content-Encoding"] = config.compression
    written = {
        name: secret.get_secret_value() for name, secret in config.headers.items()
    }
    lowered = {name.lower() for name in written}
    return {k: v for k, v in own.items() if k.lower() not in lowered} | written


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of the body; what cannot be read is as if it was not there."""
    parts = bytearray()
    try:
        async for chunk in response.content.iter_chunked(_ANSWER_BYTES_MAX):
            parts += chunk
            if len(parts) >= _ANSWER_BYTES_MAX:
                break
    except (aiohttp.ClientError, OSError, TimeoutError):
        return b""
    return bytes(parts[:_ANSWER_BYTES_MAX])


def _compress(body: bytes, wbits: int, level: int) -> bytes:
    strategy = zlib.Z_DEFAULT_STRATEGY
    if level == _HUFFMAN_LEVEL:
        strategy = zlib.Z_HUFFMAN_ONLY
    if level in (0, _HUFFMAN_LEVEL):
        level = _DEFAULT_LEVEL
    stream = zlib.compressobj(level, zlib.DEFLATED, wbits, strategy=strategy)
    return stream.compress(body) + stream.flush()


def _retry_after_s(text: str) -> float:
    """Seconds or a date, as RFC 9110 has it; 0 for anything else."""
    try:
        return max(0.0, float(int(text)))
    except ValueError:
        pass  # then it is a date, or nothing
    try:
        then = parsedate_to_datetime(text)
        return max(0.0, then.timestamp() - _wall_s())
    except (ValueError, TypeError):
        return 0.0


def _wall_s() -> float:
    return time.time_ns() / _NS_PER_S


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
