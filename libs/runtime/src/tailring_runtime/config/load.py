"""Read, merge, expand and decode a configuration; show one again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tailring_runtime.config.collector import CollectorConfig, Loaded, Pipeline
from tailring_runtime.config.component import Registry
from tailring_runtime.config.decode import Decoder
from tailring_runtime.config.expand import Expander
from tailring_runtime.config.sources import read_sources
from tailring_runtime.errors import ConfigError, Problem

__all__ = ["load", "redacted"]

STARS = "**********"
_SECRET_KEY = re.compile(
    r"(password|passwd|secret|token|authorization|api[-_]?key|private[-_]?key"
    r"|credential|cookie|key_pem)",
    re.IGNORECASE,
)
_USER_OF_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def load(
    uris: Sequence[str],
    *,
    sets: Iterable[str] = (),
    environ: Mapping[str, str],
    registry: Registry,
) -> Loaded:
    """The configuration of ``uris`` (see `sources`) with ``sets`` on top.

    Reads files; waits for nothing else. Raises `ConfigError` with every problem.
    """
    tree = read_sources(uris, sets=sets, environ=environ)
    expander = Expander(environ)
    value = expander.expand(tree.value)
    decoder = Decoder(registry, tree.origins)
    for path, message in expander.problems:
        decoder.report(path, message)
    config = decoder.decode(value)
    if config is None:
        warnings = tuple(expander.warnings)
        problems = _in_order(decoder.problems, uris)
        raise ConfigError(problems, warnings=warnings)
    return Loaded(config, (*expander.warnings, *decoder.warnings))


def _in_order(problems: Iterable[Problem], uris: Sequence[str]) -> tuple[Problem, ...]:
    """The problems as an operator meets them: source by source, line by line.

    First those of assignments, which go over all sources; last what has no place.
    """
    # Pieces of YAML on the command line are all called yaml:, and stand together.
    names = ["yaml:" if uri.startswith("yaml:") else uri for uri in uris]
    ranks = {name.removeprefix("file:"): rank for rank, name in enumerate(names)}

    def rank(problem: Problem) -> tuple[int, int]:
        """Where its source stands, and the line there."""
        source, line = _place(problem.source)
        return ranks.get(source, -1 if source else len(ranks)), line

    return tuple(sorted(problems, key=rank))


def _place(where: str) -> tuple[str, int]:
    source, colon, line = where.rpartition(":")
    return (source, int(line)) if colon and line.isdigit() else (where, 0)


def redacted(config: CollectorConfig) -> dict[str, Any]:
    """The effective configuration as plain values, defaults filled in, secrets hidden.

    For reading: a key that is printed because it is the default may mean more when it
    is written (a spelled-out queue), so this is no file to run.
    """
    tree: dict[str, Any] = {}
    for _, section, components in config.sections():
        if components:
            tree[section] = {str(one): _dump(m) for one, m in components.items()}
    service: dict[str, Any] = {}
    if config.service.extensions:
        service["extensions"] = [str(one) for one in config.service.extensions]
    service["pipelines"] = {
        str(one): _pipeline(pipeline)
        for one, pipeline in config.service.pipelines.items()
    }
    service["telemetry"] = _dump(config.service.telemetry)
    tree["service"] = service
    return tree


def _dump(model: Any) -> Any:
    return _hide(model.model_dump(mode="json", by_alias=True, exclude_none=True))


def _pipeline(pipeline: Pipeline) -> dict[str, list[str]]:
    parts = {
        "receivers": pipeline.receivers,
        "processors": pipeline.processors,
        "exporters": pipeline.exporters,
    }
    return {key: [str(one) for one in ids] for key, ids in parts.items() if ids}


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hide_key(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item) for item in value]
    return _USER_OF_URL.sub(STARS, value) if isinstance(value, str) else value


def _hide_key(key: str, value: Any) -> Any:
    # Empty shows that there is none; a name of a file is no secret.
    if isinstance(value, str) and value and _SECRET_KEY.search(key):
        return value if key.endswith("_file") else STARS
    return _hide(value)
