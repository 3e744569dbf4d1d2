"""``metadata_keys``: which headers of a client's request an exporter sends on."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from tailring_runtime.config import CollectorConfig

__all__ = ["METADATA_KEYS", "check_metadata_keys", "metadata_keys_of"]

METADATA_KEYS: Final = (
    "Headers of the requests at receivers with `include_metadata` that are sent on."
    " What came with different values is never in one request."
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
# What the transports themselves need, and what is for this hop only.
_OWN: Final = frozenset(
    {"authorization", "connection", "content-encoding", "content-length"}
    | {"content-type", "host", "te", "transfer-encoding", "user-agent"}
)


def check_metadata_keys(keys: Sequence[str], headers: Collection[str]) -> None:
    """Raise ValueError unless every key can be sent on beside ``headers``."""
    lowered = [key.lower() for key in keys]
    for key in lowered:
        if not _NAME.fullmatch(key) or key.startswith("grpc-") or key.endswith("-bin"):
            raise ValueError(f"metadata_keys: {key!r} is no name of a header of text")
        if key in _OWN:
            raise ValueError(f"metadata_keys: {key} is for each connection by itself")
        if lowered.count(key) > 1:
            raise ValueError(f"duplicate entry in metadata_keys: {key!r}")
        if key in {name.lower() for name in headers}:
            raise ValueError(f"metadata_keys: {key} is written in headers as well")


def metadata_keys_of(config: CollectorConfig) -> tuple[str, ...]:
    """What any exporter of a pipeline wants to know, in lower case, in order."""
    used = {one for each in config.service.pipelines.values() for one in each.exporters}
    keys = {
        key.lower()
        for component in used
        for key in getattr(config.exporters[component], "metadata_keys", ())
    }
    return tuple(sorted(keys))
