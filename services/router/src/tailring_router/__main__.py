"""The command ``tailring-router``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tailring_runtime.command import ServiceCommand
from tailring_runtime.command import main as command_main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailring_runtime.config import Loaded, Registry
    from tailring_runtime.feed import Feed
    from tailring_runtime.settings import Settings

__all__ = ["main"]


def _version() -> str:
    from tailring_router.app import version

    return version()


def _registry() -> Registry:
    from tailring_router.components import registry

    return registry()


def _run(loaded: Loaded, settings: Settings, feed: Feed) -> int:
    from tailring_router.app import run

    return run(loaded, settings, feed)


def _endpoints(loaded: Loaded) -> Mapping[str, str]:
    from tailring_router.endpoints import endpoints

    return endpoints(loaded.config)


def _resolve(loaded: Loaded, settings: Settings) -> int:
    from tailring_router.resolve import resolve

    return resolve(loaded, settings)


COMMAND = ServiceCommand(
    name="tailring-router",
    description="Tier 1: sends every span of a trace to the same sampler",
    version=_version,
    registry=_registry,
    run=_run,
    resolve=_resolve,
    module="tailring_router.__main__",
    endpoints=_endpoints,
)


def main() -> int:
    """Run the command line of this process; the exit code."""
    return command_main(COMMAND)


if __name__ == "__main__":
    sys.exit(main())
