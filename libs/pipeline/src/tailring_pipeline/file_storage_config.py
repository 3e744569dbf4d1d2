"""``extensions.file_storage`` as an operator writes it: upstream's keys, v0.161.0.

Segments give their room back by themselves, so nothing is compacted: the keys of
``compaction`` are checked as upstream checks them, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic import Field

from tailring_pipeline.backoff import SECOND_NS
from tailring_runtime.config import (
    Bool,
    ComponentType,
    ConfigModel,
    Duration,
    Int,
    Role,
    Text,
    rule,
)

__all__ = ["FILE_STORAGE", "CompactionConfig", "FileStorageConfig"]

DEFAULT_DIRECTORY: Final = "/var/lib/otelcol/file_storage"
MIB: Final = 1024 * 1024


class CompactionConfig(ConfigModel):
    """``compaction``: how upstream makes its files small again."""

    on_start: Bool = Field(
        default=False,
        description="Segments that were delivered are deleted at every start anyway.",
    )
    on_rebound: Bool = Field(
        default=False,
        description="Segments that were delivered are deleted at once anyway.",
    )
    directory: Text = Field(
        default=DEFAULT_DIRECTORY, description="Not used: nothing is copied."
    )
    rebound_needed_threshold_mib: Int = Field(
        default=100, description="Checked against max_size; not used."
    )
    rebound_trigger_threshold_mib: Int = Field(
        default=10, description="Checked against max_size; not used."
    )
    max_transaction_size: Int = Field(default=65536, description="Not used.")
    check_interval: Duration = Field(default=5 * SECOND_NS, description="Not used.")
    cleanup_on_start: Bool = Field(
        default=False, description="There are no temporary files to clean up."
    )

    def advice(self) -> Iterable[str]:
        """Whoever wrote the block learns that it is not needed."""
        if self.model_fields_set:
            yield (
                "these keys have no effect: a queue on disk is made of segments, which"
                " are deleted as soon as they are delivered, and needs no compaction"
            )


class FileStorageConfig(ConfigModel):
    """``extensions.file_storage``."""

    directory: Text = Field(
        default=DEFAULT_DIRECTORY,
        description="Where the queues are kept, one folder for each exporter, signal"
        " and worker. On a disk that outlives the process.",
    )
    timeout: Duration = Field(
        default=SECOND_NS,
        ge=0,
        description="How long a start waits for another process that still has the"
        " folder of a queue.",
    )
    max_size: Int = Field(
        default=0,
        description="Bytes on disk of one queue, beyond which it refuses; 0: as much"
        " as queue_size allows.",
    )
    fsync: Bool = Field(
        default=False,
        description="A request is acknowledged when the disk has it. Off, it survives"
        " the process, but not a loss of power.",
    )
    create_directory: Bool = Field(
        default=False, description="Make the directory when it does not exist."
    )
    directory_permissions: Text = Field(
        default="0750",
        description="Of a directory that is made, in octal, less the process's umask.",
    )
    recreate: Bool = Field(
        default=False,
        description="Damage never stops a start: what is damaged is set aside and the"
        " rest is delivered, whatever this says.",
    )
    compaction: CompactionConfig = CompactionConfig()

    def roles(self) -> Collection[object]:
        """It keeps queues."""
        return (Role.STORAGE,)

    @property
    def permissions(self) -> int:
        """``directory_permissions`` as a number."""
        return int(self.directory_permissions, 8)

    @rule
    def _check_directories(self) -> Iterator[str]:
        compaction = self.compaction
        copies = compaction.on_start or compaction.on_rebound
        for name in (self.directory, *([compaction.directory] if copies else [])):
            reason = _no_directory(Path(name), makeable=self.create_directory)
            if reason:
                yield reason

    @rule
    def _check_sizes(self) -> Iterator[str]:
        compaction = self.compaction
        if compaction.max_transaction_size < 0:
            yield ("max transaction size for compaction cannot be less than 0")
        if self.max_size < 0:
            yield ("max size cannot be less than 0")
        if not compaction.on_rebound:
            return
        for word in ("needed", "trigger"):
            mib = getattr(compaction, f"rebound_{word}_threshold_mib")
            if 0 < self.max_size < mib * MIB:
                yield (
                    f"compaction rebound {word} threshold cannot be greater than max"
                    " size"
                )
        if compaction.check_interval <= 0:
            yield (
                "compaction check interval must be positive when rebound compaction is"
                " set"
            )

    @rule
    def _check_permissions(self) -> Iterator[str]:
        if not self.create_directory:
            return
        try:
            permissions = self.permissions
        except ValueError:
            yield "directory_permissions value must be a valid octal representation"
            return
        if permissions & 0o777 != permissions:
            yield ("directory_permissions contain invalid bits for file access")


def _no_directory(path: Path, *, makeable: bool) -> str:
    """Why nothing can be kept there; "" when it can."""
    try:
        if path.is_dir():
            return ""
        exists = path.exists()
    except OSError as error:
        return f"{path} cannot be used: {error.strerror}"
    if exists:
        return f"{path} is not a directory"
    if makeable:
        return ""
    return (
        f"directory must exist: stat {path}: no such file or directory. You can enable"
        " the create_directory option to automatically create it"
    )


FILE_STORAGE: Final = ComponentType("extension", "file_storage", FileStorageConfig)
