"""``bearertokenauth``: a token in a header, checked or sent.

Tokens are compared in constant time, each with each, and are in no `repr` and no
message. While a file of tokens is waited for, nobody comes in.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

from tailring_otlpio.auth_config import BearerTokenAuthConfig
from tailring_otlpio.authenticator import ClientAuth, HeaderOf, ServerAuth
from tailring_otlpio.errors import Unauthenticated
from tailring_otlpio.watched_text import WatchedText
from tailring_runtime.errors import StartError
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

__all__ = ["BearerTokenAuth"]

_NS_PER_S: Final = 1_000_000_000


class BearerTokenAuth(ServerAuth, ClientAuth):
    """An extension for receivers and exporters; ``name`` is its id."""

    def __init__(
        self, config: BearerTokenAuthConfig, *, metrics: Metrics, name: str
    ) -> None:
        self._config = config
        self._header = config.header.lower()
        self._log = get_logger(extension=name)
        self._tasks = TaskSet(f"extension {name}", metrics=metrics)
        self._values: tuple[bytes, ...] = ()
        self._sent: tuple[tuple[str, str], ...] = ()
        self._file: WatchedText | None = None
        if config.filename:
            where = f"extensions::{name}::filename"
            self._file = WatchedText(config.filename, where=where)
        else:
            tokens = config.tokens or (config.token,)
            self._use([one.get_secret_value() for one in tokens])

    async def check(self, header_of: HeaderOf) -> None:
        """Raise `Unauthenticated`, in upstream's words, unless it has a token."""
        self._look()
        given = header_of(self._header)
        if given is None:
            raise Unauthenticated(
                "missing",
                f"missing or empty authorization header: {self._config.header}",
            )
        shown = given.encode("utf-8", "surrogateescape")
        found = False
        for value in self._values:
            found |= hmac.compare_digest(value, shown)
        if not found:
            raise Unauthenticated(
                "wrong",
                "provided authorization does not match expected scheme or token",
            )

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header with the first token; none while there is none."""
        self._look()
        return self._sent

    async def start(self) -> None:
        """Read the file, or begin to wait for it. Raises `StartError`."""
        retry, file = self._config.retry_on_failure, self._file
        if file is None:
            return
        if not retry.enabled:
            file.load()
            self._use(_lines(file.text))
        elif self._config.wait_for_token_file:
            await self._wait(file)
        else:
            self._tasks.spawn(self._wait_beside(file), name="wait for tokens")

    def close(self) -> None:
        """Nothing: requests are checked until the end."""

    async def join(self, timeout_s: float) -> None:
        """Nothing is held."""

    async def terminate(self) -> None:
        """Stop waiting for the file. Safe twice."""
        await self._tasks.close()

    async def _wait(self, file: WatchedText) -> None:
        retry = self._config.retry_on_failure
        tries = 0
        while True:
            try:
                file.load()
            except StartError as error:
                tries += 1
                if retry.max_retries and tries > retry.max_retries:
                    raise
                self._log.warning("waiting for the token file", why=str(error))
            else:
                self._use(_lines(file.text))
                return
            await asyncio.sleep(retry.interval / _NS_PER_S)

    async def _wait_beside(self, file: WatchedText) -> None:
        try:
            await self._wait(file)
        except StartError as error:
            self._log.error("the token file did not come", why=str(error))

    def _look(self) -> None:
        file = self._file
        # One that was never read is `_wait`'s.
        if file is not None and file.text and file.look():
            self._use(_lines(file.text))

    def _use(self, tokens: list[str]) -> None:
        scheme = self._config.scheme
        texts = [f"{scheme} {token}" if scheme else token for token in tokens]
        self._values = tuple(text.encode() for text in texts)
        self._sent = ((self._header, texts[0]),)


def _lines(text: str) -> list[str]:
    # The first word of a line is a token, the others are a comment.
    return [words[0] for line in text.splitlines() if (words := line.split())]
