"""An API server of EndpointSlices that misbehaves as told.

A real one (`tailring_testkit.kube`) shows what is usual; this one shows what it cannot
be made to: versions that are forgotten in the middle of a list, watches that fall
silent, answers that are no JSON. It speaks HTTP without TLS, knows one Service, and
gives pages of two slices whatever the limit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from tailring_resolvers import K8sPlace
from tailring_testkit.kube import endpoint

__all__ = ["FakeKube"]

Json = dict[str, Any]

NAMESPACE: Final = "shop"
PAGE_SLICES: Final = 2
_PATH: Final = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"


class FakeKube:
    """An async context manager. ``lists`` and ``watches`` hold the queries so far.

    ``refuse`` maps "list" and "watch" to the status that is answered, with a Status
    object; ``gone_in_stream`` says how a forgotten version is answered. While
    ``expired_pages`` is above zero, second pages are gone when they are asked for.
    While ``silent``, watches are told nothing; while ``stalled``, nobody is answered.
    """

    def __init__(self, folder: Path) -> None:
        self.slices: dict[str, Json] = {}
        self.version = 100
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.refuse: dict[str, int] = {}
        self.headers: dict[str, str] = {}
        self.message = "because the test says so"
        self.gone_in_stream = True
        self.expired_pages = 0
        self.silent = False
        self.stalled = False
        self.watch_s: float | None = None
        self._folder = folder
        self._forgotten = 0
        self._events: list[tuple[int, bytes]] = []
        self._news = asyncio.Condition()
        self._open: list[web.Request] = []
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(_PATH, self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        assert self._runner is not None
        await self._runner.cleanup()

    def place(self) -> K8sPlace:
        """A pod whose variables point here through a kubeconfig."""
        path = self._folder / "kubeconfig"
        user = {"tokenFile": "token"}
        (self._folder / "token").write_text("first\n")
        server = f"http://127.0.0.1:{self.port}"
        document = {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(document))
        return K8sPlace(
            {"KUBECONFIG": str(path)}, self._folder, service_account=self._folder
        )

    async def put(self, name: str, endpoints: Iterable[Json | str]) -> None:
        """Write a slice and tell the watches; a text is an address that is ready."""
        kind = "MODIFIED" if name in self.slices else "ADDED"
        found = [endpoint(one) if isinstance(one, str) else one for one in endpoints]
        self.version += 1
        self.slices[name] = self._document(name, found)
        await self._tell({"type": kind, "object": self.slices[name]})

    async def drop(self, name: str) -> None:
        """Delete a slice and tell the watches."""
        self.version += 1
        gone = self.slices.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.version)
        await self._tell({"type": "DELETED", "object": gone})

    async def bookmark(self) -> None:
        """Tell the watches a version and nothing else."""
        self.version += 1
        meta = {"resourceVersion": str(self.version)}
        await self._tell({"type": "BOOKMARK", "object": {"metadata": meta}})

    async def send(self, event: Json | bytes) -> None:
        """Send an event, or bytes, to everyone who watches."""
        self.version += 1
        await self._tell(event)

    async def _tell(self, event: Json | bytes) -> None:
        line = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
        self._events.append((self.version, line))
        async with self._news:
            self._news.notify_all()

    def forget(self) -> None:
        """No longer know what came after any version up to now."""
        self._forgotten = self.version

    def cut(self) -> None:
        """Reset every watch that is open."""
        for request in self._open:
            if request.transport is not None:
                request.transport.abort()

    def _document(self, name: str, endpoints: list[Json]) -> Json:
        meta = {"name": name, "resourceVersion": str(self.version)}
        return {"metadata": meta, "endpoints": endpoints}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        verb = "watch" if query.get("watch") else "list"
        (self.watches if verb == "watch" else self.lists).append(query)
        self.tokens.append(request.headers.get("Authorization", ""))
        while self.stalled:  # noqa: ASYNC110 - a test sets it
            await asyncio.sleep(0.01)
        if verb in self.refuse:
            return self._no(self.refuse[verb])
        if verb == "list":
            return self._list(query)
        return await self._watch(request, int(query["resourceVersion"]))

    def _no(self, status: int) -> web.Response:
        body = _status(status, self.message)
        return web.json_response(body, status=status, headers=self.headers)

    def _list(self, query: Json) -> web.Response:
        at, _, version = query.get("continue", f"0.{self.version}").partition(".")
        if "continue" in query and self.expired_pages:
            self.expired_pages -= 1
            return self._no(410)
        first = int(at)
        names = sorted(self.slices)[first : first + PAGE_SLICES]
        meta = {"resourceVersion": version}
        if first + PAGE_SLICES < len(self.slices):
            meta["continue"] = f"{first + PAGE_SLICES}.{version}"
        items = [self.slices[name] for name in names]
        return web.json_response({"metadata": meta, "items": items})

    async def _watch(self, request: web.Request, version: int) -> web.StreamResponse:
        if version < self._forgotten and not self.gone_in_stream:
            return self._no(410)
        answer = web.StreamResponse()
        await answer.prepare(request)
        self._open.append(request)
        try:
            async with asyncio.timeout(self.watch_s):
                await self._stream(answer, version)
        except (TimeoutError, ConnectionError):
            return answer  # its time is up, or the other side has left
        finally:
            self._open.remove(request)
        return answer

    async def _stream(self, answer: web.StreamResponse, version: int) -> None:
        if version < self._forgotten:
            event = {"type": "ERROR", "object": _status(410, "too old")}
            await answer.write(json.dumps(event).encode() + b"\n")
            return
        sent = 0
        while True:
            while sent < len(self._events):
                at, line = self._events[sent]
                sent += 1
                if at > version and not self.silent:
                    await answer.write(line)
            async with self._news:
                await self._news.wait()


def _status(code: int, message: str) -> Json:
    return {"kind": "Status", "message": message, "code": code}
