"""``exporters.file`` as an operator writes it; keys and rules are upstream's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, field_validator

from tailring_runtime.config import (
    NULL_IS_EMPTY,
    Bool,
    ConfigModel,
    Duration,
    Int,
    Text,
    rule,
)

__all__ = ["FileExporterConfig", "GroupByConfig", "RotationConfig"]

SECOND_NS: Final = 1_000_000_000
_MODE_MAX: Final = 0o777
_NO_ZSTD: Final = "no library for zstd is used here; compress the files afterwards"


class RotationConfig(ConfigModel):
    """``rotation``; being there, files are rotated, and a start appends."""

    max_megabytes: Int = Field(
        default=0,
        ge=0,
        description="A file that would become larger is renamed and a new one begun;"
        " 0: 100.",
    )
    max_days: Int = Field(
        default=0, ge=0, description="Older ones are removed; 0: never."
    )
    max_backups: Int = Field(
        default=100, ge=0, description="Most renamed files; 0: no limit."
    )
    localtime: Bool = Field(
        default=False, description="Times in names are the host's, in place of UTC."
    )


class GroupByConfig(ConfigModel):
    """``group_by``: a file for each value of a resource attribute."""

    enabled: Bool = Field(default=False, description="Whether there are such files.")
    resource_attribute: Text = Field(
        default="fileexporter.path_segment",
        description="Its text stands for the * in the path; resources without it are"
        " rejected.",
    )
    max_open_files: Int = Field(
        default=100, gt=0, description="Most files that are open at once."
    )


class FileExporterConfig(ConfigModel):
    """``exporters.file``."""

    refused: ClassVar[Mapping[str, str]] = {
        "encoding": "there are no encoding extensions here; use format json or proto",
        "compression": _NO_ZSTD,
        "compression_params": _NO_ZSTD,
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "encoding": (None, ""),
        "compression": (None, ""),
        "compression_params": (None, {}),
    }

    path: Text = Field(
        default="", description="The file; with `group_by`, exactly one * in it."
    )
    append: Bool = Field(
        default=False, description="Off: a file that is there is emptied at the start."
    )
    rotation: Annotated[RotationConfig | None, NULL_IS_EMPTY] = Field(
        default=None, description="Not together with `append`."
    )
    format: Literal["json", "proto"] = Field(
        default="json",
        description="json: a line of OTLP JSON for each request; proto: its encoded"
        " bytes behind their number (4 bytes, the highest first).",
    )
    flush_interval: Duration = Field(
        default=SECOND_NS,
        ge=0,
        description="At most so long is data kept from the file: nothing ever is.",
    )
    group_by: GroupByConfig = GroupByConfig()
    create_directory: Bool = Field(
        default=False, description="Make the folder of the path at the start."
    )
    directory_permissions: Text = Field(
        default="", description="Of folders that are made, in octal; empty: 0755."
    )

    @field_validator("directory_permissions")
    @classmethod
    def _octal(cls, value: str) -> str:
        if not value:
            return value
        try:
            mode = int(value, 8)
        except ValueError:
            raise ValueError(f"{value!r} is no octal number like 0755") from None
        if not 0 <= mode <= _MODE_MAX:
            raise ValueError(f"{value!r} has bits that are no permissions")
        return value

    @rule
    def _one_way_of_growing(self) -> Iterator[str]:
        if self.append and self.rotation is not None:
            yield (
                "append and rotation enabled at the same time is not supported;"
                " with rotation a file is appended to anyway"
            )

    @rule
    def _folders(self) -> Iterator[str]:
        if self.directory_permissions and not self.create_directory:
            yield "directory_permissions requires create_directory: true"

    @rule
    def _path(self) -> Iterator[str]:
        if not self.path:
            yield "path must be non-empty"
            return
        if not self.group_by.enabled:
            return
        before, star, after = self.path.partition("*")
        if not star or "*" in after:
            yield "path must contain exactly one * when group_by is enabled"
        elif not before:
            yield "path must not start with * when group_by is enabled"

    @rule
    def _groups(self) -> Iterator[str]:
        if self.group_by.enabled and not self.group_by.resource_attribute:
            yield "resource_attribute must not be empty when group_by is enabled"

    @property
    def directory_mode(self) -> int:
        """The permissions of folders that are made."""
        return int(self.directory_permissions or "0755", 8)
