"""A grpcio channel that is made anew when the files of its TLS change.

grpcio fixes the credentials of a channel when it is made. So the files are looked at
before a call, and when they are others, calls go to a new channel from then on; those
that are under way end on the old one, which is closed after them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import grpc
import grpc.aio

from tailring_otlpio.tls_files import TlsFiles
from tailring_otlpio.tls_grpc import channel_credentials
from tailring_runtime.tasks import TaskSet

__all__ = ["Options", "RenewedChannel"]

Options = list[tuple[str, Any]]
Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

# How long calls may end on a channel that was replaced.
_OLD_CALLS_S: Final = 60.0


class RenewedChannel:
    """Made on the running loop; ``tls`` None is plaintext."""

    def __init__(
        self,
        target: str,
        *,
        options: Options,
        compression: grpc.Compression,
        tls: TlsFiles | None,
    ) -> None:
        self._target = target
        self._options = options
        self._compression = compression
        self._tls = tls
        self._epoch = 0
        self._calls: dict[str, Call] = {}
        self._channel = self._open()
        self._old = TaskSet(f"old connection to {target}")

    def current(self) -> grpc.aio.Channel:
        """The channel that calls go to now."""
        return self._channel

    def call_of(self, method: str) -> Call:
        """The method, on the channel of now."""
        if self._tls is not None:
            self._renew(self._tls)
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self._channel.unary_unary(method)
        return call

    async def close(self, grace_s: float) -> None:
        """End the connections; calls under way after ``grace_s`` are cut."""
        await self._old.close()
        await self._channel.close(grace_s or None)

    def _open(self) -> grpc.aio.Channel:
        if self._tls is None:
            return grpc.aio.insecure_channel(
                self._target, options=self._options, compression=self._compression
            )
        self._epoch = self._tls.epoch
        return grpc.aio.secure_channel(
            self._target,
            channel_credentials(self._tls.material),
            options=self._options,
            compression=self._compression,
        )

    def _renew(self, tls: TlsFiles) -> None:
        tls.look(time.monotonic())
        if tls.epoch == self._epoch:
            return
        old, self._channel = self._channel, self._open()
        self._calls.clear()
        self._old.spawn(_close(old), name="close old connection")


async def _close(channel: grpc.aio.Channel) -> None:
    try:
        await channel.close(_OLD_CALLS_S)
    except asyncio.CancelledError:
        await channel.close()
        raise
