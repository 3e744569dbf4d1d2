"""What is read out of PEM."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tailring_otlpio.certificates import not_after, pem_certificates, system_roots
from tailring_testkit.pki import Authority


def test_the_end_of_a_certificate(tmp_path: Path) -> None:
    """It is the one that was asked for, to the second."""
    pair = Authority(tmp_path).issue("x")
    (found, *_) = pem_certificates(pair.cert_file.read_bytes())
    left = not_after(found) - datetime.now(UTC)
    assert timedelta(days=1, hours=23) < left < timedelta(days=2, minutes=1)


@pytest.mark.parametrize("year", [2049, 2051])
def test_both_ways_to_write_a_time_are_read(year: int) -> None:
    """From 2050 on the year has four digits."""
    end = datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC)
    issued = trustme.CA().issue_cert("x", not_after=end)
    (found, *_) = pem_certificates(issued.cert_chain_pems[0].bytes())
    assert not_after(found) == end


def test_what_the_system_trusts_can_be_read() -> None:
    """Every certificate of the system's bundle, if it has one, has an end."""
    for one in pem_certificates(system_roots()):
        not_after(one)


def test_what_is_around_certificates_is_skipped(tmp_path: Path) -> None:
    """A bundle may hold comments, keys and several certificates."""
    authority = Authority(tmp_path)
    pair = authority.issue("x")
    bundle = b"\n# a comment\n".join(
        path.read_bytes() for path in (authority.ca_file, pair.key_file, pair.cert_file)
    )
    assert len(pem_certificates(bundle)) == 2
    assert pem_certificates(b"nothing") == []


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x82\xff\xff", b"\x30\x03\x02\x01\x01", bytes(100)]
)
def test_what_is_no_certificate(der: bytes) -> None:
    """Anything else is refused, never an accident."""
    with pytest.raises(ValueError, match="it is not a certificate"):
        not_after(der)


def test_a_block_that_is_no_base64() -> None:
    """A certificate that was cut in two is refused."""
    pem = b"-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----"
    with pytest.raises(ValueError, match="not PEM"):
        pem_certificates(pem)
