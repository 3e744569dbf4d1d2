"""``host:port`` texts."""

from __future__ import annotations

import pytest

from tailring_runtime.address import join_host_port, split_host_port


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("localhost:4317", "localhost", 4317),
        (":4317", "", 4317),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("a.b.c:007", "a.b.c", 7),
    ],
)
def test_addresses_are_split(address: str, host: str, port: int) -> None:
    """Host and port are told apart, brackets belong to neither."""
    assert split_host_port(address) == (host, port)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "missing port"),
        ("foo", "missing port"),
        ("[::1]", "missing port"),
        ("::1", "too many colons"),
        ("a:b:1", "too many colons"),
        ("a:", "invalid port"),
        ("a:http", "invalid port"),
        ("a:65536", "invalid port"),
        ("a:-1", "invalid port"),
        ("a:²", "invalid port"),
    ],
)
def test_bad_addresses_are_refused(address: str, message: str) -> None:
    """An address without a usable port is refused with upstream's words."""
    with pytest.raises(ValueError, match=message):
        split_host_port(address)


@pytest.mark.parametrize("address", ["h:1", "[::1]:1", ":1"])
def test_joining_is_the_inverse(address: str) -> None:
    """Joining what was split gives the address again."""
    assert join_host_port(*split_host_port(address)) == address


@pytest.mark.parametrize("address", ["u:hunter2@h:1", "u:hunter2@h", "h:hunter2@x"])
def test_a_password_in_an_address_is_not_repeated(address: str) -> None:
    """What stands before an @ is in no message."""
    with pytest.raises(ValueError, match="address") as caught:
        split_host_port(address)
    assert "hunter2" not in str(caught.value)
