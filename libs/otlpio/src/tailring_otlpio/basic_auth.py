"""``basicauth``: name and password, checked against an htpasswd list, or sent."""

from __future__ import annotations

import base64
import binascii

from tailring_otlpio.auth_config import BasicAuthConfig, ClientAuthSecretsConfig
from tailring_otlpio.authenticator import ClientAuth, HeaderOf, ServerAuth
from tailring_otlpio.errors import Unauthenticated
from tailring_otlpio.passwords import Passwords
from tailring_otlpio.watched_text import WatchedText
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics

__all__ = ["BasicClientAuth", "BasicServerAuth", "basic_auth"]

_PREFIX = "basic "


class BasicServerAuth(ServerAuth):
    """An extension for receivers; ``name`` is its id."""

    def __init__(self, config: BasicAuthConfig, *, metrics: Metrics, name: str) -> None:
        known = config.htpasswd
        assert known is not None, "this is the side of receivers"
        self._inline = known.inline.get_secret_value()
        self._where = f"extensions::{name}::htpasswd"
        self._file: WatchedText | None = None
        if known.file:
            self._file = WatchedText(known.file, where=f"{self._where}::file")
        self._passwords = Passwords(metrics, extension=name)

    async def check(self, header_of: HeaderOf) -> None:
        """Raise `Unauthenticated`, in upstream's words, unless it is somebody known.

        Raises `Refused` when there are too many that nobody knows yet.
        """
        if self._file is not None and self._file.look():
            self._use()
        username, password = _parsed(header_of("authorization") or "")
        if not await self._passwords.match(username, password):
            raise Unauthenticated("wrong", "invalid credentials")

    async def start(self) -> None:
        """Read the list. Raises `StartError`."""
        if self._file is not None:
            self._file.load()
        self._use()
        if not len(self._passwords):
            raise StartError(f"{self._where}: nobody is in it")

    def close(self) -> None:
        """Nothing: requests are checked until the end."""

    async def join(self, timeout_s: float) -> None:
        """Nothing is held."""

    async def terminate(self) -> None:
        """Let nobody wait. Safe twice."""
        self._passwords.close()

    def _use(self) -> None:
        file = self._file.text if self._file is not None else ""
        # The later line of a name wins.
        self._passwords.use(f"{file}\n{self._inline}")


class BasicClientAuth(ClientAuth):
    """An extension for exporters; ``name`` is its id."""

    def __init__(self, config: ClientAuthSecretsConfig, *, name: str) -> None:
        where = f"extensions::{name}::client_auth"
        self._username = _source(
            config.username, config.username_file, f"{where}::username_file"
        )
        self._password = _source(
            config.password.get_secret_value(),
            config.password_file,
            f"{where}::password_file",
        )
        self._sent: tuple[tuple[str, str], ...] = ()

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header ``authorization``."""
        looks = [
            one.look()
            for one in (self._username, self._password)
            if isinstance(one, WatchedText)
        ]
        if any(looks):
            self._use()
        return self._sent

    async def start(self) -> None:
        """Read the files. Raises `StartError`."""
        for one in (self._username, self._password):
            if isinstance(one, WatchedText):
                one.load()
        self._use()

    def close(self) -> None:
        """Nothing: requests are sent until the end."""

    async def join(self, timeout_s: float) -> None:
        """Nothing is held."""

    async def terminate(self) -> None:
        """Nothing is open."""

    def _use(self) -> None:
        pair = f"{_text(self._username)}:{_text(self._password)}"
        encoded = base64.b64encode(pair.encode()).decode()
        self._sent = (("authorization", f"Basic {encoded}"),)


def basic_auth(
    config: BasicAuthConfig, *, metrics: Metrics, name: str
) -> BasicServerAuth | BasicClientAuth:
    """The side that the file configures."""
    if config.client_auth is not None:
        return BasicClientAuth(config.client_auth, name=name)
    return BasicServerAuth(config, metrics=metrics, name=name)


def _parsed(header: str) -> tuple[str, str]:
    if not header:
        raise Unauthenticated("missing", "no basic auth provided")
    if header[: len(_PREFIX)].lower() != _PREFIX:
        raise Unauthenticated("malformed", "invalid authorization scheme prefix")
    try:
        pair = base64.b64decode(header[len(_PREFIX) :], validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthenticated("malformed", "invalid authorization format") from None
    username, colon, password = pair.partition(":")
    if not colon:
        raise Unauthenticated("malformed", "invalid authorization format")
    return username, password


def _source(text: str, path: str, where: str) -> str | WatchedText:
    return WatchedText(path, where=where) if path else text


def _text(source: str | WatchedText) -> str:
    return source.text if isinstance(source, WatchedText) else source
