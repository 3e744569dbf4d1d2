"""``exporters.debug`` as an operator writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tailring_pipeline.queue_config import QueueConfig
from tailring_runtime.config import Bool, ConfigModel, Int, TextList, rule

__all__ = ["DebugConfig"]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class DebugConfig(ConfigModel):
    """Writes what arrives for a person to read."""

    verbosity: Annotated[
        Literal["basic", "normal", "detailed"], BeforeValidator(_lower)
    ] = Field(
        default="basic",
        description="basic: counts; normal: a line for each span; detailed: all of it.",
    )
    sampling_initial: Int = Field(
        default=2, description="Batches that are written of each second.", ge=0
    )
    sampling_thereafter: Int = Field(
        default=1, description="Of those beyond them each Nth; 0: none.", ge=0
    )
    use_internal_logger: Bool = Field(
        default=True, description="Write as log lines; off: to `output_paths`."
    )
    output_paths: TextList | None = Field(
        default=None, description="stdout, stderr or files; stdout when not given."
    )
    sending_queue: QueueConfig = Field(
        default_factory=QueueConfig, description="The queue in front of the writing."
    )

    @rule
    def _consistent(self) -> Iterator[str]:
        if self.output_paths is None:
            return
        if self.use_internal_logger:
            yield "output_paths is not supported when use_internal_logger is true"
        elif not self.output_paths:
            yield "output_paths must not be empty when use_internal_logger is false"
