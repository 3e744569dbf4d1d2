"""``sending_queue.batch`` as an operator writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tailring_pipeline.backoff import SECOND_NS
from tailring_runtime.config import Bool, ConfigModel, Duration, Int, TextList, rule

__all__ = ["PartitionConfig", "QueueBatchConfig"]


class PartitionConfig(ConfigModel):
    """``partition`` of a queue's batches."""

    metadata_keys: TextList = Field(
        default=(), description="Must be empty: an exporter's `metadata_keys` does it."
    )

    @rule
    def _none(self) -> Iterator[str]:
        if self.metadata_keys:
            yield (
                "metadata_keys must be empty: write them at the exporter, which tells"
                " requests apart by these headers whatever was joined before it"
            )


class QueueBatchConfig(ConfigModel):
    """``batch``: requests are joined when they leave the queue."""

    enabled: Bool = Field(default=True, description="Off: as if the key were not here.")
    flush_timeout: Duration = Field(
        default=SECOND_NS // 5,
        description="How long the first of a batch waits for others.",
    )
    sizer: Literal["requests", "items", "bytes"] = Field(
        default="items",
        description="What the sizes count: items, bytes, or what the queue's own sizer"
        " says, if that is written.",
    )
    min_size: Int = Field(
        default=8192, description="A batch of that size goes at once; 0: each goes."
    )
    max_size: Int = Field(
        default=0, description="No batch is larger, and larger ones are cut; 0: any."
    )
    partition: PartitionConfig = PartitionConfig()

    @rule
    def _known_sizer(self) -> Iterator[str]:
        if self.enabled and self.sizer == "requests":
            yield '`batch` supports only `items` or `bytes` sizer, found "requests"'

    @rule
    def _some_wait(self) -> Iterator[str]:
        if self.enabled and self.flush_timeout <= 0:
            yield f"`flush_timeout` must be positive, found {self.flush_timeout}"

    @rule
    def _sizes_agree(self) -> Iterator[str]:
        if not self.enabled:
            return
        for name in ("min_size", "max_size"):
            if (size := getattr(self, name)) < 0:
                yield f"`{name}` must be non-negative, found {size}"
        if 0 < self.max_size < self.min_size:
            yield (
                f"`max_size` ({self.max_size}) must be greater or equal to `min_size`"
                f" ({self.min_size})"
            )
