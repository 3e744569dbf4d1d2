"""Lists and watches of EndpointSlices, over HTTP.

Rules:

* Credentials are read for every request; a connection is kept while they name the same
  server and identity. A token travels in a header and never in a message.
* A list comes in pages, so that none is decoded for long; lines of a watch are decoded
  one at a time, with a turn of the event loop between two.
* Whatever goes wrong is a `ResolutionError`: `ApiRefusal` when the server said no,
  `VersionGone` when it has forgotten the version that was asked about, in either form
  (410 as the status or inside the stream).
* A watch ends by itself when the server's time is up. One that is silent for too long
  without that is an error: the way to the server is gone and nobody said so.

It does not know what a slice is, nor when to ask again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp

from tailring_resolvers.errors import ResolutionError, VersionGone
from tailring_resolvers.k8s_access import Access, tls_context
from tailring_resolvers.k8s_config import Service
from tailring_resolvers.k8s_refusals import refusal, retry_after_s

__all__ = ["Api", "Listing"]

Json = dict[str, Any]

# A hundred endpoints a slice is usual: a page is some 400 KB and 3 ms of decoding.
PAGE_SLICES: Final = 10
# What etcd stores is at most 1.5 MiB.
LINE_BYTES_MAX: Final = 4 << 20
BODY_BYTES_MAX: Final = 64 << 20
CONNECT_S: Final = 5.0
LIST_S: Final = 30.0
# The server ends a watch in time. Where that is long, bookmarks come every minute or
# two (measured), also when nothing changes.
WATCH_GRACE_S: Final = 10.0
SILENCE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Listing:
    """All slices at one version, as decoded JSON."""

    items: list[Any]
    version: str


class Api:
    """The EndpointSlices of one Service at one API server. An async context manager.

    ``watch_s`` is how long a watch may last; 0 leaves it to the server.
    """

    def __init__(
        self, service: Service, *, read_access: Callable[[], Access], watch_s: int
    ) -> None:
        self._service = service
        self._read_access = read_access
        self._watch_s = watch_s
        self._session: aiohttp.ClientSession | None = None
        self._connection: tuple[object, ...] = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def listing(self) -> Listing:
        """Everything there is now."""
        list_s = min(LIST_S, self._watch_s or LIST_S)
        try:
            async with asyncio.timeout(list_s):
                return await self._pages()
        except TimeoutError as error:
            raise self._failure(f"no whole list within {list_s:.0f} s") from error

    async def watch(self, version: str) -> AsyncGenerator[list[Json]]:
        """Events after ``version``, those together that came together; may be none.

        The first, empty, list says that the server has taken the watch. Ends when the
        server's time is up.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
        }
        whole_s: float | None = None
        if self._watch_s:
            query["timeoutSeconds"] = str(self._watch_s)
            whole_s = self._watch_s + WATCH_GRACE_S
        timeout = aiohttp.ClientTimeout(
            total=whole_s, sock_connect=CONNECT_S, sock_read=SILENCE_S
        )
        lines = _Lines()
        async with self._get(query, "watch", timeout) as answer:
            yield []
            async for chunk in answer.content.iter_any():
                yield await self._events(lines.feed(chunk))

    async def _pages(self) -> Listing:
        items: list[Any] = []
        query = {"limit": str(PAGE_SLICES)}
        if self._watch_s:
            query["timeoutSeconds"] = str(self._watch_s)
        while True:
            page = await self._page(query)
            meta = page.get("metadata") or {}
            items += page.get("items") or ()
            if not meta.get("continue"):
                return Listing(items, str(meta.get("resourceVersion", "")))
            query["continue"] = str(meta["continue"])

    async def _events(self, lines: list[bytes]) -> list[Json]:
        events = []
        for line in lines:
            event = self._decoded(line)
            if event.get("type") == "ERROR":
                self._refuse(event.get("object"), "watch")
            events.append(event)
            await asyncio.sleep(0)
        return events

    async def _page(self, query: Mapping[str, str]) -> Json:
        timeout = aiohttp.ClientTimeout(total=LIST_S, sock_connect=CONNECT_S)
        async with self._get(query, "list", timeout) as answer:
            return self._decoded(await _body(answer))

    @asynccontextmanager
    async def _get(
        self, query: Mapping[str, str], verb: str, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request that was answered with 200; every other way to end is an error."""
        access = self._read_access()
        headers = {"Accept": "application/json", "User-Agent": "tailring"}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        selector = f"kubernetes.io/service-name={self._service.name}"
        try:
            session = await self._open(access)
            async with session.get(
                self._url(access),
                params={**query, "labelSelector": selector},
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                server_hostname=access.server_name or None,
            ) as answer:
                if answer.status != 200:
                    await self._refuse_answer(answer, verb, access)
                yield answer
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._failure(_sentence(error, access), verb) from error

    def _url(self, access: Access) -> str:
        namespace = quote(self._service.namespace, safe="")
        path = f"apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        return f"{access.server}/{path}"

    async def _open(self, access: Access) -> aiohttp.ClientSession:
        if self._session is None or self._connection != access.connection:
            await self._close()
            connector = aiohttp.TCPConnector(ssl=tls_context(access), limit=2)
            self._session = aiohttp.ClientSession(connector=connector)
            self._connection = access.connection
        return self._session

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _refuse_answer(
        self, answer: aiohttp.ClientResponse, verb: str, access: Access
    ) -> None:
        try:
            document = json.loads(await _body(answer))
        except ValueError:
            document = {"message": answer.reason}
        if answer.status == 410:
            raise VersionGone(str(self._service), "410 the version is too old")
        error = refusal(
            answer.status,
            document,
            verb=verb,
            service=self._service,
            asker=access.found_in,
        )
        error.retry_after_s = retry_after_s(answer.headers)
        raise error

    def _refuse(self, status: object, verb: str) -> None:
        document = status if isinstance(status, dict) else {}
        code = document.get("code")
        if code == 410:
            raise VersionGone(str(self._service), str(document.get("message")))
        number = code if isinstance(code, int) else 0
        raise refusal(number, document, verb=verb, service=self._service)

    def _decoded(self, text: bytes) -> Json:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise self._failure(f"the answer is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise self._failure("the answer is not a JSON object")
        return document

    def _failure(self, what: str, verb: str = "list") -> ResolutionError:
        return ResolutionError(str(self._service), f"{verb} endpointslices: {what}")


@dataclass(slots=True)
class _Lines:
    """Cuts a stream of bytes at its line ends."""

    _rest: list[bytes] = field(default_factory=list)
    _rest_bytes: int = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that ``chunk`` completes, without those that are empty."""
        first, *others = chunk.split(b"\n")
        self._rest.append(first)
        self._rest_bytes += len(first)
        if self._rest_bytes > LINE_BYTES_MAX:
            raise OSError(f"an event has more than {LINE_BYTES_MAX} bytes")
        if not others:
            return []
        whole = [b"".join(self._rest), *others[:-1]]
        self._rest = [others[-1]]
        self._rest_bytes = len(others[-1])
        return [line for line in whole if line.strip()]


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    async for chunk in answer.content.iter_any():
        size_bytes += len(chunk)
        if size_bytes > BODY_BYTES_MAX:
            raise OSError(f"a page has more than {BODY_BYTES_MAX} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _sentence(error: Exception, access: Access) -> str:
    where = f"{access.server} (from {access.found_in})"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"{where} cannot be reached: no connection within {CONNECT_S:.0f} s"
    if isinstance(error, TimeoutError):
        return f"{where} fell silent"
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"{where} broke off its answer"
    return f"{where}: {str(error) or type(error).__name__}"
