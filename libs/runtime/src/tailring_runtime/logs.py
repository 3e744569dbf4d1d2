"""Logs of one process: constant sentences with fields, on stderr by default.

Rules: nothing is logged per span; a message is a constant sentence and facts are its
fields; time is ISO 8601 in UTC. What libraries log through `logging` takes the same
way out. Loggers may be made before `configure` ran; they follow it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO, cast

import structlog

from tailring_runtime.log_outputs import Outputs, open_outputs

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor

__all__ = ["LEVELS", "LogSampling", "LogSettings", "configure", "get_logger"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    # zap's levels above error: we log nothing there, so only errors of ours remain.
    "dpanic": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class LogSampling:
    """Of equal messages in one tick keep the first ``initial``, then each Nth."""

    initial: int = 10
    thereafter: int = 100
    tick_ns: int = 10_000_000_000


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What `configure` sets up; every field has the collector's default."""

    level: str = "info"
    encoding: str = "console"
    fields: Mapping[str, object] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("stderr",)
    caller: bool = False
    tracebacks: bool = True
    sampling: LogSampling | None = field(default_factory=LogSampling)


def get_logger(**fields: object) -> FilteringBoundLogger:
    """A logger that adds ``fields`` to each line; cheap enough to make per part."""
    return cast("FilteringBoundLogger", structlog.get_logger(**fields))


def configure(settings: LogSettings | None = None) -> None:
    """Send all logs of the process where ``settings`` says. May be called again.

    Raises OSError when an output file cannot be opened for appending.
    """
    wanted = settings if settings is not None else LogSettings()
    level = LEVELS[wanted.level.lower()]
    stream = open_outputs(wanted.outputs)
    shared = _shared(wanted)
    structlog.configure(
        processors=[*shared, *_last(wanted)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stream)),
        cache_logger_on_first_use=False,
    )
    _route_stdlib(level, stream, shared=shared, last=_last(wanted))


def _shared(settings: LogSettings) -> list[Processor]:
    chain: list[Processor] = [structlog.stdlib.add_log_level]
    if settings.sampling is not None:
        chain.append(_Sampler(settings.sampling, clock_ns=time.monotonic_ns))
    if settings.fields:
        chain.append(_fixed_fields(dict(settings.fields)))
    chain.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    if settings.caller:
        parameters = structlog.processors.CallsiteParameter
        chain.append(
            structlog.processors.CallsiteParameterAdder(
                {parameters.FILENAME, parameters.LINENO}
            )
        )
    chain.append(
        structlog.processors.format_exc_info if settings.tracebacks else _short_error
    )
    return chain


def _last(settings: LogSettings) -> list[Processor]:
    if settings.encoding == "json":
        return [
            structlog.processors.EventRenamer("msg"),
            _time_first,
            structlog.processors.JSONRenderer(),
        ]
    return [structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)]


def _time_first(_logger: object, _method: str, event: EventDict) -> EventDict:
    # The order in which people read a line; readers by machine do not mind.
    first = {key: event.pop(key, None) for key in ("timestamp", "level", "msg")}
    return {**first, **event}


def _fixed_fields(fields: dict[str, object]) -> Processor:
    def add(_logger: object, _method: str, event: EventDict) -> EventDict:
        for key, value in fields.items():
            event.setdefault(key, value)
        return event

    return add


def _short_error(_logger: object, _method: str, event: EventDict) -> EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = f"{type(error).__name__}: {error}"
    return event


class _Sampler:
    """Thins out equal messages, so that a fault in a loop does not fill a disk."""

    # Distinct messages of one tick; beyond it lines pass, so no fact gets lost.
    MESSAGES_MAX = 4096

    def __init__(self, sampling: LogSampling, *, clock_ns: Callable[[], int]) -> None:
        self._sampling = sampling
        self._clock_ns = clock_ns
        self._tick_end_ns = 0
        self._seen: dict[tuple[str, str], int] = {}

    def __call__(self, _logger: object, method: str, event: EventDict) -> EventDict:
        now_ns = self._clock_ns()
        if now_ns >= self._tick_end_ns:
            self._seen.clear()
            self._tick_end_ns = now_ns + self._sampling.tick_ns
        key = (method, str(event.get("event", "")))
        if key not in self._seen and len(self._seen) >= self.MESSAGES_MAX:
            return event
        count = self._seen[key] = self._seen.get(key, 0) + 1
        over = count - self._sampling.initial
        thereafter = self._sampling.thereafter
        if over > 0 and (thereafter == 0 or over % thereafter != 0):
            raise structlog.DropEvent
        return event


def _route_stdlib(
    level: int, stream: Outputs, *, shared: list[Processor], last: list[Processor]
) -> None:
    handler = _StdlibHandler(cast(TextIO, stream))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last,
            ],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _StdlibHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    # Libraries are chatty below warning; debug of ours is not debug of theirs.
    root.setLevel(max(level, logging.WARNING))


class _StdlibHandler(logging.StreamHandler[TextIO]):
    """Our one handler on the root logger; a line that is sampled away is no error."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(self.format(record) + self.terminator)
        except structlog.DropEvent:
            return
        except Exception:  # noqa: BLE001 - logging must never break its caller
            self.handleError(record)
