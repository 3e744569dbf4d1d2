"""Messages between a supervisor and one child, over a socket pair that both inherit.

A message is a pickled object behind its length. Both ends are the same program, and
nobody else has the socket, so what comes is trusted.

The socket is the lifeline as well: a child whose supervisor is gone, for whatever
reason, reads its end. `leave_with` makes that the end of the child even when its event
loop hangs.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import socket
import struct
import threading
import time
from typing import Any

__all__ = ["Channel", "leave_with", "receive", "send"]

_LENGTH = struct.Struct("!I")
# Metrics of a worker with hundreds of backends are some MiB.
MESSAGE_BYTES_MAX = 256 << 20


class Channel:
    """One end on an event loop. `receive` is called by one task at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        """The channel over a connected socket, which it owns from now on."""
        sock.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=sock))

    def send(self, message: Any) -> None:
        """Send without waiting; what the other side will not read is lost with it."""
        if not self._writer.is_closing():
            self._writer.write(_packed(message))

    async def receive(self) -> Any:
        """The next message; EOFError when the other side is gone."""
        try:
            head = await self._reader.readexactly(_LENGTH.size)
            return pickle.loads(await self._reader.readexactly(_LENGTH.unpack(head)[0]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error

    def close(self) -> None:
        """Close this end. Safe twice."""
        self._writer.close()


def send(sock: socket.socket, message: Any) -> None:
    """Send from code without an event loop."""
    sock.sendall(_packed(message))


def receive(sock: socket.socket) -> Any:
    """Wait for a message in code without an event loop; EOFError at the end."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    return pickle.loads(_exactly(sock, length))


def leave_with(sock: socket.socket, *, grace_s: float) -> None:
    """Once the other side of ``sock`` is gone, end this process: as at SIGTERM, and
    after ``grace_s`` at once."""
    # A descriptor of its own: whoever else reads the end may close his before.
    mine = sock.dup()
    poll = select.poll()
    poll.register(mine, 0)  # no data: only that the other side hung up

    def watch() -> None:
        with mine:
            poll.poll()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _packed(message: Any) -> bytes:
    body = pickle.dumps(message)
    assert len(body) <= MESSAGE_BYTES_MAX, "a message that no other end would take"
    return _LENGTH.pack(len(body)) + body


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
