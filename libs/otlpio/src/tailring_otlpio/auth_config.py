"""``bearertokenauth`` and ``basicauth`` as an operator writes them.

Keys and rules are upstream's (contrib v0.161.0). What names a file is read again when
the file changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import Field, SecretStr, field_validator

from tailring_runtime.config import (
    Bool,
    ComponentType,
    ConfigModel,
    Duration,
    Int,
    Role,
    Secret,
    SecretList,
    Text,
    rule,
)

__all__ = [
    "BASIC_AUTH",
    "BEARER_TOKEN_AUTH",
    "BasicAuthConfig",
    "BearerTokenAuthConfig",
    "ClientAuthSecretsConfig",
    "HtpasswdConfig",
    "TokenFileRetryConfig",
]

_EMPTY: Final = SecretStr("")


class TokenFileRetryConfig(ConfigModel):
    """``retry_on_failure``: whether a file of tokens may come later."""

    enabled: Bool = Field(
        default=False, description="Off: a file that cannot be read ends the start."
    )
    max_retries: Int = Field(
        default=0, ge=0, description="How often it is tried again; 0: without end."
    )
    interval: Duration = Field(
        default=0, ge=0, description="The time between two tries."
    )

    @rule
    def _some_interval(self) -> Iterator[str]:
        if self.enabled and not self.interval:
            yield "interval must be greater than 0 when it is enabled"


class BearerTokenAuthConfig(ConfigModel):
    """A token that every request carries: checked by receivers, sent by exporters."""

    header: Text = Field(
        default="Authorization", description="The header that carries it."
    )
    scheme: Text = Field(
        default="Bearer", description="Stands before the token; empty: nothing does."
    )
    token: Secret = Field(default=_EMPTY, description="The token.")
    tokens: SecretList = Field(
        default=(),
        description="Several: a receiver takes each, an exporter sends the first.",
    )
    filename: Text = Field(
        default="",
        description="A file with a token in each line, in place of those written here;"
        " read again within a second when it changes.",
    )
    retry_on_failure: TokenFileRetryConfig = TokenFileRetryConfig()
    wait_for_token_file: Bool = Field(
        default=False,
        description="Start only when the file is there, as long as `retry_on_failure`"
        " goes on; else requests are refused meanwhile.",
    )

    @field_validator("header")
    @classmethod
    def _some_name(cls, value: str) -> str:
        if not value or not value.isascii() or any(c in value for c in " \t:\r\n"):
            raise ValueError(f"{value!r} is no name for a header")
        return value

    @rule
    def _some_token(self) -> Iterator[str]:
        token = self.token.get_secret_value()
        given = [token, *(one.get_secret_value() for one in self.tokens)]
        if token and self.tokens:
            yield "either tokens or token should be provided, not both"
        if self.tokens and not all(given[1:]):
            yield "a token is empty, and would let everybody in"
        if not all(text.isascii() and text.isprintable() for text in given):
            yield "a token has characters that no header can carry"
        if not token and not self.tokens and not self.filename:
            yield "no bearer token provided"

    @rule
    def _some_file(self) -> Iterator[str]:
        waits = self.wait_for_token_file
        if (waits or self.retry_on_failure.enabled) and not self.filename:
            yield "retry_on_failure and wait_for_token_file require filename to be set"
        if waits and not self.retry_on_failure.enabled:
            yield "wait_for_token_file requires retry_on_failure to be enabled"

    def roles(self) -> Collection[Role]:
        """Both sides of a connection can use it."""
        return (Role.SERVER_AUTH, Role.CLIENT_AUTH)

    def advice(self) -> Iterable[str]:
        """What is written and not used."""
        if self.filename and (self.token.get_secret_value() or self.tokens):
            yield "a filename is specified: the tokens written here are not used"


class HtpasswdConfig(ConfigModel):
    """``htpasswd``: whom a receiver knows."""

    file: Text = Field(
        default="", description="An htpasswd file; read again when it changes (ours)."
    )
    inline: Secret = Field(
        default=_EMPTY,
        description="Its lines, written here; they win over those of the file. With"
        " ${env:NAME}, $ in a hash is written $$ in YAML.",
    )


class ClientAuthSecretsConfig(ConfigModel):
    """``client_auth``: as whom an exporter comes."""

    username: Text = Field(default="", description="The name.")
    username_file: Text = Field(
        default="", description="A file with the name, which wins over `username`."
    )
    password: Secret = Field(default=_EMPTY, description="The password.")
    password_file: Text = Field(
        default="", description="A file with the password, which wins over `password`."
    )

    @field_validator("username")
    @classmethod
    def _no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("a name for basic authentication has no colon")
        return value


class BasicAuthConfig(ConfigModel):
    """Name and password of a request: checked by receivers or sent by exporters."""

    htpasswd: HtpasswdConfig | None = None
    client_auth: ClientAuthSecretsConfig | None = None

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterable[str]:
        """Not exactly one side."""
        if written.keys() >= {"htpasswd", "client_auth"}:
            yield (
                "only one of `htpasswd` or `client_auth` can be specified; make two"
                " extensions (basicauth/server, basicauth/client)"
            )
        if not written:
            yield "no credential source provided"

    @rule
    def _some_source(self) -> Iterator[str]:
        known = self.htpasswd
        if known is not None and not (known.file or known.inline.get_secret_value()):
            yield "htpasswd: no credential source provided"

    def roles(self) -> Collection[Role]:
        """One of the two sides."""
        return (Role.CLIENT_AUTH,) if self.htpasswd is None else (Role.SERVER_AUTH,)


BEARER_TOKEN_AUTH = ComponentType("extension", "bearertokenauth", BearerTokenAuthConfig)
BASIC_AUTH = ComponentType("extension", "basicauth", BasicAuthConfig)
