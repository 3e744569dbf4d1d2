"""What an extension does that knows clients, or makes us known to a backend.

A receiver asks a `ServerAuth` before it reads a request; an exporter asks a
`ClientAuth` before it sends one. Neither keeps a request waiting for a file: files are
looked at between requests. Headers are asked for by name, in lower case, so that both
transports look the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

__all__ = ["ClientAuth", "HeaderOf", "ServerAuth"]

# The first value of a header, by its name in lower case; None when there is none.
HeaderOf = Callable[[str], str | None]


class ServerAuth(ABC):
    """Checks who sends; owned by the event loop."""

    @abstractmethod
    async def check(self, header_of: HeaderOf) -> None:
        """Return when the request may come in.

        Raises `Unauthenticated` when it may not, and `Refused` when there are too many
        to find out now.
        """


class ClientAuth(ABC):
    """Makes requests known to a backend; owned by the event loop."""

    @abstractmethod
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What a request needs now, names in lower case."""
