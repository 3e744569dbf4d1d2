"""The ``zpages`` extension: a server of its own for the debug pages.

Keys and default are upstream's. Of its pages there are ``/debug/servicez`` and
``/debug/pipelinez``; the services add theirs, and what is not there answers 404 with a
list of what is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from tailring_runtime.address import join_host_port, split_host_port
from tailring_runtime.config.component import ComponentType
from tailring_runtime.config.health_check import HTTP_SERVER_KEYS
from tailring_runtime.config.model import ConfigModel
from tailring_runtime.config.types import Text
from tailring_runtime.logs import get_logger
from tailring_runtime.pages import Pages, pages_app
from tailring_runtime.web import WebServer

__all__ = ["ZPAGES", "ZPages", "ZPagesConfig", "zpages_of"]

_PLAIN = "debug pages are served as plain HTTP without this key; remove it"


class ZPagesConfig(ConfigModel):
    """Where the debug pages are served."""

    refused: ClassVar[Mapping[str, str]] = {
        "expvar": "there are no Go variables here; /metrics has the figures",
        **dict.fromkeys(HTTP_SERVER_KEYS, _PLAIN),
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "expvar": (None, {}, {"enabled": False}),
        "auth": (None, {}),
        "middlewares": (None, []),
        "include_metadata": (None, False),
    }

    endpoint: Text = Field(
        default="localhost:55679",
        description="host:port to listen on; port 0 lets the system choose. The pages"
        " show addresses and names to whoever can reach it.",
    )

    @field_validator("endpoint")
    @classmethod
    def _address(cls, value: str) -> str:
        split_host_port(value)
        return value


class ZPages:
    """A stage that no data passes: serves ``pages`` from `start` to `terminate`."""

    def __init__(self, config: ZPagesConfig, *, pages: Pages) -> None:
        self._server = WebServer(pages_app(pages), config.endpoint)

    @property
    def address(self) -> str:
        """``host:port`` as bound, once started."""
        return self._server.address

    async def start(self) -> None:
        """Serve. Raises `StartError` when the address cannot be had."""
        await self._server.start()
        get_logger().info("serving", what="debug pages", address=self.address)

    def close(self) -> None:
        """Nothing: a drain is worth looking at."""

    async def join(self, timeout_s: float) -> None:
        """Nothing is held."""

    async def terminate(self) -> None:
        """Close the server. Safe twice and unstarted."""
        await self._server.stop()


def zpages_of(
    pages: Pages, *, worker: int | None = None
) -> Callable[[Any, ZPagesConfig, Any], ZPages]:
    """A maker of the extension: from id, model and metrics to the part.

    Each worker of a supervisor has a port of its own, counted from the one written.
    """

    def make(_component: Any, config: ZPagesConfig, _metrics: Any) -> ZPages:
        host, port = split_host_port(config.endpoint)
        if worker and port:
            endpoint = join_host_port(host, port + worker)
            config = config.model_copy(update={"endpoint": endpoint})
        return ZPages(config, pages=pages)

    return make


ZPAGES = ComponentType("extension", "zpages", ZPagesConfig)
