"""Connections end with age, so that clients find receivers that came later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tailring_otlpio import ReceiverSettings
from tailring_testkit.otlp import realistic_request
from tailring_testkit.receiver_rig import ReceiverRig, receiver_rig

Keys = Mapping[str, Any]
_SHARED = ReceiverSettings(reuse_port=True)
_OLD: Mapping[str, Keys] = {
    "grpc": {"keepalive": {"server_parameters": {"max_connection_age": "300ms"}}},
    "http": {"max_connection_age": "300ms"},
}


async def _grpc(rig: ReceiverRig) -> bool:
    return (await rig.grpc.export(realistic_request(4, seed=1))).code.name == "OK"


async def _http(rig: ReceiverRig) -> bool:
    return (await rig.http.post(realistic_request(4, seed=1))).status == 200


def _beside(
    rig: ReceiverRig, keys: Mapping[str, Keys]
) -> AbstractAsyncContextManager[ReceiverRig]:
    """A second receiver on the ports of the first."""
    ports = (rig.receiver.grpc_port, rig.receiver.http_port)
    grpc, http = (f"127.0.0.1:{port}" for port in ports)
    return receiver_rig(
        settings=_SHARED,
        grpc={"endpoint": grpc, **keys.get("grpc", {})},
        http={"endpoint": http, **keys.get("http", {})},
    )


@pytest.mark.parametrize(
    ("transport", "send"), [("grpc", _grpc), ("http", _http)], ids=["grpc", "http"]
)
async def test_an_old_client_moves_to_a_receiver_that_came_later(
    transport: str, send: Callable[[ReceiverRig], Awaitable[bool]]
) -> None:
    """One client that never stops sending is served by both of two receivers on one
    port soon, and none of its requests fails."""
    async with receiver_rig(
        settings=_SHARED, grpc=_OLD["grpc"], http=_OLD["http"]
    ) as first:
        assert await send(first)
        async with _beside(first, _OLD) as second, asyncio.timeout(20):
            while not second.counts(transport).accepted_spans:
                assert await send(first)
                await asyncio.sleep(0.02)
        assert first.counts(transport).failure == 0


async def test_without_an_age_a_client_stays() -> None:
    """By default a connection lives as long as it is used."""
    async with receiver_rig(settings=_SHARED) as first:
        assert await _http(first)
        async with _beside(first, {}) as second:
            for _ in range(30):
                assert await _http(first)
                await asyncio.sleep(0.02)
            assert second.counts("http").success == 0
