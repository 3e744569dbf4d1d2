"""The small HTTP server."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from aiohttp import web

from tailring_runtime.address import split_host_port
from tailring_runtime.errors import StartError
from tailring_runtime.web import WebServer, listen


def test_a_taken_address_is_a_start_error() -> None:
    """Listening where somebody listens fails with the address in the message."""
    with listen("127.0.0.1:0") as first:
        address = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(StartError, match=f"cannot listen on {address}: .*in use"):
            listen(address)


@pytest.mark.parametrize("address", ["foo", "no-such-host.invalid:0", "192.0.2.1:0"])
def test_an_impossible_address_is_a_start_error(address: str) -> None:
    """An address that is none or not ours fails the start."""
    with pytest.raises(StartError, match="cannot listen on"):
        listen(address)


def test_localhost_is_ipv4() -> None:
    """The name localhost is the IPv4 loopback, as the collector binds it."""
    with listen("localhost:0") as one:
        assert one.getsockname()[0] == "127.0.0.1"


def test_an_empty_host_is_every_interface() -> None:
    """Without a host IPv4 clients are served too."""
    with listen(":0") as one:
        port = one.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


async def test_stop_frees_the_address() -> None:
    """After stop the port can be bound again; stopping is safe twice and unstarted."""
    server = WebServer(web.Application(), "127.0.0.1:0")
    await server.stop()
    await server.start()
    host, port = split_host_port(server.address)
    assert port != 0
    url = f"http://{server.address}/"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 404
    await server.stop()
    await server.stop()
    listen(f"{host}:{port}").close()
