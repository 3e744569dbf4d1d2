"""Settings of a process, as opposed to the pipeline it runs: ``TAILRING_*``.

Everybody else is passed what he needs: a `Settings` value, or the mapping that
``${env:..}`` is looked up in (`environment`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailring_runtime.environment import environment

__all__ = ["DEFAULT_CONFIG", "Settings", "environment", "misspelt"]

DEFAULT_CONFIG = "/conf/config.yaml"


class Settings(BaseSettings):
    """Process settings; each is the environment variable ``TAILRING_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="TAILRING_", frozen=True)

    config: str = Field(
        default=DEFAULT_CONFIG,
        description="Configuration read when no --config is given.",
    )
    drain_timeout_s: float = Field(
        default=25.0,
        ge=0,
        description="Seconds from SIGTERM until what is still held is abandoned;"
        " keep it below the grace period of the platform. 0 abandons at once.",
    )
    health_endpoint: str = Field(
        default="localhost:13133",
        description="Where health is served when the file has no health_check"
        " extension. Empty serves none.",
    )
    metrics_endpoint: str = Field(
        default="localhost:8888",
        description="Where metrics are served when service.telemetry.metrics names no"
        " address. Empty serves none.",
    )
    feature_gates: str = Field(
        default="",
        description="Feature gates, for example +one,-other; --feature-gates comes"
        " after it. `featuregate` lists them.",
    )
    gc_threshold: int = Field(
        default=50_000,
        ge=0,
        description="Allocations between two runs of the youngest generation of"
        " Python's garbage collector (Python's default is 700). 0 switches it off;"
        " reference counting still frees what is not in a cycle.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes of one router on this host, also --workers; about one a"
        " core. A sampler is always one process.",
    )
    reload_poll_s: float = Field(
        default=0.0,
        ge=0,
        description="Seconds between two looks at the configuration's files; a router"
        " takes what has changed as it does at SIGHUP. 0 never looks.",
    )
    uvloop: bool = Field(default=True, description="Use uvloop where it is installed.")

    # Which worker of a supervisor this process is; no variable, or TAILRING_WORKER
    # would be a setting that looks like another one.
    _worker: int | None = PrivateAttr(default=None)

    @property
    def worker(self) -> int | None:
        """The number of this worker, from 0; None when there is no supervisor."""
        return self._worker

    def for_worker(self, worker: int) -> Settings:
        """The same settings for that worker of a supervisor."""
        mine = self.model_copy()
        mine._worker = worker
        return mine


def misspelt(environ: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each variable that looks like a setting and is none.

    Only near misses: Kubernetes puts variables named after our Services beside ours.
    """
    known = [f"TAILRING_{name}".upper() for name in Settings.model_fields]
    sentences = []
    for name in sorted(environ):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if name.startswith("TAILRING_") and close and name not in known:
            sentences.append(
                f"the variable {name} is ignored; did you mean {close[0]}?"
            )
    return tuple(sentences)
