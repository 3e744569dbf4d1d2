"""Addresses that are taken are seen, whoever shares them."""

from __future__ import annotations

import socket

import pytest

from tailring_runtime.claim import check_free
from tailring_runtime.errors import StartError


@pytest.mark.parametrize("option", [socket.SO_REUSEPORT, socket.SO_REUSEADDR])
def test_a_taken_address_is_refused(option: int) -> None:
    """Somebody who listens is seen, also when he would share his port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}: Address already"):
            check_free([f"127.0.0.1:{port}"])


def test_a_free_address_stays_free() -> None:
    """After the question the address can be bound."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    check_free([f"localhost:{port}"])
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_an_address_of_another_host_is_refused() -> None:
    """A name that does not resolve is an error that names the endpoint."""
    with pytest.raises(StartError, match=r"nowhere\.invalid:1"):
        check_free(["nowhere.invalid:1"])
