"""``processors.batch`` as an operator writes it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from tailring_pipeline.backoff import SECOND_NS
from tailring_runtime.config import ConfigModel, Duration, Int, TextList, rule

__all__ = ["BatchConfig"]

UINT32_MAX = 2**32 - 1


class BatchConfig(ConfigModel):
    """``processors.batch``."""

    timeout: Duration = Field(
        default=SECOND_NS // 5,
        description="How long the first member waits for others; 0: not at all.",
    )
    send_batch_size: Int = Field(
        default=8192,
        description="Items that make a batch go at once; 0: each goes at once.",
        ge=0,
        le=UINT32_MAX,
    )
    send_batch_max_size: Int = Field(
        default=0, description="Items in a batch at most; 0: any.", ge=0, le=UINT32_MAX
    )
    metadata_keys: TextList = Field(
        default=(), description="Must be empty: an exporter's `metadata_keys` does it."
    )
    metadata_cardinality_limit: Int = Field(
        default=1000,
        description="Bounds `metadata_keys`, so it means nothing while that is empty.",
        ge=0,
        le=UINT32_MAX,
    )

    @rule
    def _sizes_agree(self) -> Iterator[str]:
        if 0 < self.send_batch_max_size < self.send_batch_size:
            yield "send_batch_max_size must be greater or equal to send_batch_size"

    @rule
    def _not_negative(self) -> Iterator[str]:
        if self.timeout < 0:
            yield "timeout must be greater or equal to 0"

    @rule
    def _one_batch(self) -> Iterator[str]:
        if self.metadata_keys:
            yield (
                "metadata_keys must be empty: write them at the exporter, which tells"
                " requests apart by these headers whatever was joined before it"
            )
