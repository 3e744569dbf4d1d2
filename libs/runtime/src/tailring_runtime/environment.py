"""The environment of the process, for the one command that may not import pydantic.

Apart from `tailring_runtime.settings` this is the only place that touches it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["environment"]


def environment() -> Mapping[str, str]:
    """The variables of the process, to be passed on explicitly."""
    return os.environ  # noqa: TID251 - settings imports pydantic; healthcheck may not
