"""The environment of the process, for the one command that may not import pydantic.

Apart from `tailring_runtime.settings` this is the only place that touches it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["environment", "quiet_libraries"]


def environment() -> Mapping[str, str]:
    """The variables of the process, to be passed on explicitly."""
    return os.environ  # noqa: TID251 - settings imports pydantic; healthcheck may not


def quiet_libraries() -> None:
    """Keep gRPC's core from writing lines of its own beside our log, whose form and
    level they ignore; what it has to say is in its errors. Before grpc is imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251 - as above
