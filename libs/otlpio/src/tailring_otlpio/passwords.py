"""Passwords checked against the hashes of an htpasswd list, at a bounded cost.

A good hash (bcrypt) takes a tenth of a second to check, on purpose. So:

* Checks run in a thread, one at a time, and only so many may wait; more are refused
  with a retryable answer.
* Whoever was right once is known again without a check, by a digest under a key of this
  process: no password and no plain digest of one is kept. A new list forgets all.
* After a wrong password the thread rests three times as long as the check took, so
  guessing costs at most a quarter of a core. Clients that are known do not notice.
* A name that is not in the list costs a check as well, so that it cannot be told from
  one that is.

Hashes are those of htpasswd and upstream: bcrypt, apr1 (MD5), {SHA}, {SSHA}, SHA-crypt,
and plain text.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache

from tailring_otlpio.security_metrics import PASSWORD_CHECKS
from tailring_pipeline import Refused
from tailring_runtime.metrics import Metrics

if TYPE_CHECKING:
    from passlib.context import CryptContext  # type: ignore[import-untyped]  # no stubs

__all__ = ["Passwords"]

_SCHEMES: Final = (
    "bcrypt",
    "apr_md5_crypt",
    "ldap_sha1",
    "ldap_salted_sha1",
    "sha512_crypt",
    "sha256_crypt",
    "plaintext",
)
_KNOWN_MAX: Final = 4096
_WAITING_MAX: Final = 16
_REST_FACTOR: Final = 3


class Passwords:
    """Who is in a list; owned by the event loop, but for one thread."""

    def __init__(self, metrics: Metrics, *, extension: str) -> None:
        self._context = _context()
        self._hashes: dict[str, str] = {}
        self._key = secrets.token_bytes(32)
        self._known: LRUCache[bytes, bool] = LRUCache(_KNOWN_MAX)
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._checks = metrics.counter(PASSWORD_CHECKS, extension=extension)

    def __len__(self) -> int:
        """How many names are in the list."""
        return len(self._hashes)

    def use(self, htpasswd: str) -> None:
        """Take the lines ``name:hash`` for the list; nobody is known any more."""
        hashes = {}
        for line in htpasswd.splitlines():
            name, colon, hashed = line.strip().partition(":")
            if colon and not name.startswith("#"):
                hashes[name] = hashed
        self._hashes = hashes
        self._known.clear()

    async def match(self, name: str, password: str) -> bool:
        """Whether this is the password of that name. Raises `Refused`."""
        hashed = self._hashes.get(name, "")
        digest = self._digest(name, password, hashed)
        if hashed and digest in self._known:
            return True
        if self._waiting >= _WAITING_MAX:
            raise Refused("overloaded", "too many passwords to check, try again later")
        self._waiting += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._check, password, hashed or self._decoy()
            )
        finally:
            self._waiting -= 1
        if right and hashed:
            self._known[digest] = True
            return True
        return False

    def close(self) -> None:
        """End the thread; who waits is cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _check(self, password: str, hashed: str) -> bool:
        """In the thread."""
        self._checks.value += 1
        began_s = time.monotonic()
        try:
            right: bool = self._context.verify(password, hashed)
        except (TypeError, ValueError):  # a hash or a password that none can be
            right = False
        if not right:
            time.sleep(_REST_FACTOR * (time.monotonic() - began_s))
        return right

    def _decoy(self) -> str:
        # Anybody's hash; the answer is not used.
        return next(iter(self._hashes.values()), "")

    def _digest(self, *parts: str) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8) + encoded)
        return digest.digest()


def _context() -> CryptContext:
    # Imported where a list is really checked: it brings every kind of hash.
    from passlib.context import CryptContext

    return CryptContext(schemes=_SCHEMES)
