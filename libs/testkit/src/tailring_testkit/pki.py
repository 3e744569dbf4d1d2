"""Certificates for tests: an authority, and files of what it issues."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import trustme

__all__ = ["Authority", "ClientTls", "Pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    cert_file: Path
    key_file: Path

    def keys(self) -> dict[str, str]:
        """The keys of a ``tls`` block."""
        return {"cert_file": str(self.cert_file), "key_file": str(self.key_file)}

    def copy_to(self, other: Pair) -> None:
        """Put these in the place of ``other``."""
        other.cert_file.write_bytes(self.cert_file.read_bytes())
        other.key_file.write_bytes(self.key_file.read_bytes())


class Authority:
    """A CA that nobody trusts by itself; ``ca_file`` is its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.ca_file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, name: str, *identities: str, expired: bool = False) -> Pair:
        """A certificate for host names or addresses (127.0.0.1), in files of ``name``.

        One that is ``expired`` was good until yesterday.
        """
        now = datetime.now(UTC)
        end = now - timedelta(days=1) if expired else now + timedelta(days=2)
        issued = self._ca.issue_cert(
            *(identities or ("127.0.0.1", "localhost")),
            common_name=name,
            not_before=now - timedelta(days=2),
            not_after=end,
        )
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        pair.cert_file.write_bytes(chain)
        issued.private_key_pem.write_to_path(str(pair.key_file))
        return pair


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What a client trusts and, perhaps, shows."""

    trusts: Path
    shows: Pair | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """For grpcio."""
        shows = self.shows
        return grpc.ssl_channel_credentials(
            self.trusts.read_bytes(),
            shows.key_file.read_bytes() if shows else None,
            shows.cert_file.read_bytes() if shows else None,
        )

    def context(self) -> ssl.SSLContext:
        """For everybody else."""
        context = ssl.create_default_context(cafile=str(self.trusts))
        if self.shows is not None:
            context.load_cert_chain(self.shows.cert_file, self.shows.key_file)
        return context
