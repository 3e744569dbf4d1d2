"""A TCP connection in between that can be cut or fall silent."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["TcpProxy"]

_CHUNK_BYTES = 65536


class TcpProxy:
    """Passes bytes between a port of its own on 127.0.0.1 and ``target_port``.

    An async context manager. `cut` resets every connection; new ones are taken.
    ``connections`` counts all that there ever were. While ``muted`` bytes are swallowed
    in both directions, and connections stay open. While ``refusing``, new ones are
    reset at once.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1") -> None:
        """``host`` is where the target is."""
        self.port = 0
        self.connections = 0
        self.muted = False
        self.refusing = False
        self._target = (host, target_port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._ended = asyncio.Condition()
        self._open = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection, on both sides."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None, "the proxy was not started"
        self._server.close()
        self.cut()
        async with self._ended:
            await self._ended.wait_for(lambda: not self._open)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open += 1
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._connect(reader, writer)
        finally:
            self._open -= 1
            self._writers.discard(writer)
            async with self._ended:
                self._ended.notify_all()

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            far = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()  # as if nobody listened here
            return
        far_reader, far_writer = far
        self._writers.add(far_writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._copy(reader, far_writer))
            group.create_task(self._copy(far_reader, writer))
        self._writers.discard(far_writer)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                if not self.muted:
                    writer.write(chunk)
                    await writer.drain()
        except OSError:
            writer.transport.abort()  # the other side was reset, so is this one
        finally:
            writer.close()
