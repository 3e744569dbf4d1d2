"""The command ``tailring-sampler``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tailring_runtime.command import ServiceCommand
from tailring_runtime.command import main as command_main

if TYPE_CHECKING:
    from tailring_runtime.config import Loaded, Registry
    from tailring_runtime.feed import Feed
    from tailring_runtime.settings import Settings

__all__ = ["main"]


def _version() -> str:
    from tailring_sampler.app import version

    return version()


def _registry() -> Registry:
    from tailring_sampler.components import registry

    return registry()


def _run(loaded: Loaded, settings: Settings, feed: Feed) -> int:
    from tailring_sampler.app import run

    return run(loaded, settings, feed)


def _resolve(_loaded: Loaded, _settings: Settings) -> int:
    from tailring_runtime.errors import RuntimeFailure

    # Not an empty success: whoever asks for endpoints has the wrong file or service.
    raise RuntimeFailure(
        "this configuration has no resolver: a sampler is sent to; who the samplers are"
        " is resolved by tailring-router"
    )


COMMAND = ServiceCommand(
    name="tailring-sampler",
    description="Tier 2: holds traces until they can be judged, exports what it keeps.",
    version=_version,
    registry=_registry,
    run=_run,
    resolve=_resolve,
    one_process="a sampler is one process, because each process is one member of the"
    " routers' ring; run more replicas instead",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process; the exit code."""
    return command_main(COMMAND, argv)


if __name__ == "__main__":
    sys.exit(main())
