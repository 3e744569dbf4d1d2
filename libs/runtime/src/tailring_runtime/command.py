"""The command line that every service has.

    tailring-router [run] --config /conf/config.yaml --set a.b=c
    tailring-router validate | config | resolve     the same options
    tailring-router healthcheck --endpoint localhost:13133
    tailring-router featuregate
    tailring-router --version

Exit codes: 0 done, 1 it failed at run time, 2 the configuration or the usage is wrong.

Importing this module and running ``healthcheck`` cost next to nothing: everything that
is heavy is imported by the sub-command that needs it.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tailring_runtime.environment import environment, quiet_libraries
from tailring_runtime.options import (
    add_config,
    add_gates,
    add_healthcheck,
    add_run,
)

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from tailring_runtime.config import CollectorConfig, Loaded, Registry
    from tailring_runtime.errors import ConfigError
    from tailring_runtime.feed import Feed
    from tailring_runtime.plan import Origin, Refusal
    from tailring_runtime.settings import Settings

__all__ = [
    "EXIT_FAILED",
    "EXIT_OK",
    "EXIT_USAGE",
    "ServiceCommand",
    "main",
    "open_logs",
    "start",
    "tell_problems",
]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


class ServiceCommand(NamedTuple):
    """What a service gives to its command line; each function imports when called.

    (No dataclass: its import costs a tenth of a whole health check.)
    """

    name: str
    description: str
    # The version and its form, for example "0.1.0 (compiled)".
    version: Callable[[], str]
    registry: Callable[[], Registry]
    # Runs the service until it is stopped; the exit code.
    run: Callable[[Loaded, Settings, Feed], int]
    # Prints what the resolver answers now; the exit code. None: nothing to resolve.
    resolve: Callable[[Loaded, Settings], int] | None = None
    # The module that holds this value as COMMAND: workers start from it.
    module: str = ""
    # What workers would listen on, by key path. None: there are no workers, because..
    endpoints: Callable[[Loaded], Mapping[str, str]] | None = None
    one_process: str = ""


def main(command: ServiceCommand, argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` asks for; the exit code. Raises SystemExit for wrong usage."""
    quiet_libraries()
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands = _commands(command)
    if not arguments or arguments[0] not in (*commands, "-h", "--help", "--version"):
        arguments.insert(0, "run")
    if arguments[0] == "--version":
        _say(f"{command.name} {command.version()}")
        return EXIT_OK
    options = _parser(command, commands).parse_args(arguments)
    return commands[options.command][1](command, options)


_Action = Callable[[ServiceCommand, argparse.Namespace], int]
_Use = Callable[[ServiceCommand, "Loaded", "Settings", argparse.Namespace], int]


def _commands(command: ServiceCommand) -> dict[str, tuple[str, _Action]]:
    found: dict[str, tuple[str, _Action]] = {
        "run": ("run the service (the default)", _run),
        "validate": ("check the configuration and tell every problem", _validate),
        "config": ("print the effective configuration, secrets hidden", _config),
        "healthcheck": ("ask a running service whether it is ready", _healthcheck),
        "featuregate": ("list the feature gates", _featuregate),
    }
    if command.resolve is not None:
        found["resolve"] = ("print what the resolver answers now", _resolve)
    return found


def _parser(
    command: ServiceCommand, commands: dict[str, tuple[str, _Action]]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command.name,
        description=command.description,
        epilog=f"{command.name} --config FILE runs the service; the other options of"
        f" 'run' are shown by {command.name} run --help, as each command has its own."
        " A command comes before its options.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="store_true", help="print the version and its form"
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, (text, _) in commands.items():
        sub = subparsers.add_parser(
            name, help=text, description=text, allow_abbrev=False
        )
        if name == "healthcheck":
            add_healthcheck(sub)
            continue
        add_gates(sub)
        if name == "run":
            add_run(sub)
        if name != "featuregate":
            add_config(sub)
    return parser


def _healthcheck(_command: ServiceCommand, options: argparse.Namespace) -> int:
    from tailring_runtime.healthcheck import DEFAULT_ENDPOINT, check

    endpoint = options.endpoint
    if endpoint is None:
        endpoint = environment().get("TAILRING_HEALTH_ENDPOINT", DEFAULT_ENDPOINT)
    healthy, answer = check(endpoint, timeout_s=options.timeout)
    (_say if healthy else _complain)(answer)
    return EXIT_OK if healthy else EXIT_FAILED


def _featuregate(command: ServiceCommand, options: argparse.Namespace) -> int:
    settings = _settings(command, options)
    if settings is None:
        return EXIT_USAGE
    from tailring_runtime.config.gates import listing

    for line in listing(settings.feature_gates, command.registry().all_gates()):
        _say(line)
    return EXIT_OK


def _run(command: ServiceCommand, options: argparse.Namespace) -> int:
    settings = _settings(command, options)
    if settings is None:
        return EXIT_USAGE
    if settings.workers == 1:
        return _use_config(command, options, settings, use=_start)
    if command.endpoints is None:
        _complain(f"{command.name}: workers: {command.one_process}")
        return EXIT_USAGE
    from tailring_runtime.supervise import supervise

    return supervise(command, _origin(options, settings), settings)


def _start(
    command: ServiceCommand,
    loaded: Loaded,
    settings: Settings,
    options: argparse.Namespace,
) -> int:
    from tailring_runtime.reload import FileFeed

    # Until it is listened to it means nothing.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    feed = FileFeed(command, _origin(options, settings), settings)
    return start(command, loaded, settings, feed=feed)


def start(
    command: ServiceCommand, loaded: Loaded, settings: Settings, *, feed: Feed
) -> int:
    """Run the service of a good configuration in this process; the exit code."""
    from tailring_runtime.errors import ConfigError, RuntimeFailure

    log = open_logs(command, loaded.config, settings, warnings=loaded.warnings)
    if log is None:
        return EXIT_FAILED
    try:
        return command.run(loaded, settings, feed)
    except ConfigError as error:
        # What only the wiring can see, for example two parts that do not fit.
        tell_problems(command, error)
        return EXIT_USAGE
    except RuntimeFailure as error:
        log.error("service cannot run", reason=str(error))
        return EXIT_FAILED
    except Exception as error:
        log.exception("service failed", reason=str(error))
        return EXIT_FAILED


def open_logs(
    command: ServiceCommand,
    config: CollectorConfig,
    settings: Settings,
    *,
    warnings: Sequence[str],
) -> FilteringBoundLogger | None:
    """Log as ``config`` says from now on, first its warnings; None, told, if its output
    cannot be opened."""
    from tailring_runtime import logs

    try:
        logs.configure(config.service.telemetry.logs.settings(worker=settings.worker))
    except OSError as error:
        _complain(f"{command.name}: cannot open the log output: {error}")
        return None
    log = logs.get_logger(service=command.name)
    # A supervisor has told them.
    for warning in warnings if settings.worker is None else ():
        log.warning("configuration warning", detail=warning)
    return log


def _validate(command: ServiceCommand, options: argparse.Namespace) -> int:
    return _with_config(command, options, _tell_valid)


def _tell_valid(_command: ServiceCommand, loaded: Loaded, *_: object) -> int:
    _warn(loaded)
    _say("configuration is valid")
    return EXIT_OK


def _config(command: ServiceCommand, options: argparse.Namespace) -> int:
    return _with_config(command, options, _show)


def _show(_command: ServiceCommand, loaded: Loaded, *_: object) -> int:
    from tailring_runtime.config import dump, redacted

    _warn(loaded)
    _say("# The effective configuration, defaults filled in and secrets hidden.")
    _say("# For reading: some defaults mean more when they are written down.")
    text = dump(redacted(loaded.config))
    _say(text.rstrip("\n"))
    return EXIT_OK


def _resolve(command: ServiceCommand, options: argparse.Namespace) -> int:
    return _with_config(command, options, _ask_resolver)


def _ask_resolver(
    command: ServiceCommand, loaded: Loaded, settings: Settings, *_: object
) -> int:
    from tailring_runtime.errors import RuntimeFailure

    assert command.resolve is not None
    try:
        return command.resolve(loaded, settings)
    except RuntimeFailure as error:
        _complain(f"{command.name}: {error}")
        return EXIT_FAILED


def _with_config(
    command: ServiceCommand,
    options: argparse.Namespace,
    use: _Use,
) -> int:
    settings = _settings(command, options)
    if settings is None:
        return EXIT_USAGE
    return _use_config(command, options, settings, use=use)


def _use_config(
    command: ServiceCommand,
    options: argparse.Namespace,
    settings: Settings,
    *,
    use: _Use,
) -> int:
    from tailring_runtime.config import ConfigError
    from tailring_runtime.plan import read

    origin = _origin(options, settings)
    try:
        loaded = read(command, origin, environ=environment())
    except ConfigError as error:
        tell_problems(command, error)
        return EXIT_USAGE
    return use(command, loaded, settings, options)


def _settings(command: ServiceCommand, options: argparse.Namespace) -> Settings | None:
    """The settings of this process; None, and told, when they are wrong."""
    from pydantic import ValidationError

    from tailring_runtime.settings import Settings, misspelt

    for sentence in misspelt(environment()):
        _complain(f"warning: {sentence}")
    workers = getattr(options, "workers", None)
    try:
        found = Settings() if workers is None else Settings(workers=workers)
        return _gated(command, found, options.feature_gates)
    except ValidationError as error:
        for details in error.errors():
            name = f"TAILRING_{details['loc'][0]}".upper()
            if workers is not None and name == "TAILRING_WORKERS":
                name = "--workers"
            _complain(f"{command.name}: {name}: {details['msg']}")
    return None


def _gated(
    command: ServiceCommand, settings: Settings, given: Sequence[str]
) -> Settings | None:
    """The settings with the gates of the command line; None, told, if one is wrong."""
    from tailring_runtime.config import switch

    text = ",".join(one for one in (settings.feature_gates, *given) if one)
    if not text:
        return settings
    problems = switch(text, command.registry().all_gates()).problems
    for problem in problems:
        _complain(f"{command.name}: --feature-gates: {problem}")
    return None if problems else settings.model_copy(update={"feature_gates": text})


def _origin(options: argparse.Namespace, settings: Settings) -> Origin:
    from tailring_runtime.plan import Origin

    return Origin(tuple(options.config or [settings.config]), tuple(options.set))


def tell_problems(command: ServiceCommand, error: ConfigError | Refusal) -> None:
    """Say on stderr everything that is wrong with a configuration."""
    count = len(error.problems)
    noun = "problem" if count == 1 else "problems"
    _complain(f"{command.name}: the configuration has {count} {noun}:")
    for problem in error.problems:
        _complain(f"  {problem}")
    _warn(error)


def _warn(source: Loaded | ConfigError | Refusal) -> None:
    for warning in source.warnings:
        _complain(f"warning: {warning}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")
