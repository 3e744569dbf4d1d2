"""The command line of `tailring`.

Imports only what the asked command needs; this is the one module that exits.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence

from tailring_cli.errors import CliError

__all__ = ["main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code: 0 good, 1 it failed, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None and not options.version:
        parser.error("which command? `demo` and `explain` are there")
    try:
        code = _run(options)
    except CliError as error:
        print(f"tailring: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:  # before or after the demo minds signals itself
        code = _INTERRUPTED
    sys.exit(code)


def _run(options: argparse.Namespace) -> int:
    if options.version:
        from tailring_cli.version import version_text

        print(version_text())
        return 0
    if options.command == "explain":
        return _explain(options)
    return _demo(options)


def _explain(options: argparse.Namespace) -> int:
    import json

    from tailring_cli.explain import ask, explained

    page = ask(options.trace_id, options.url)
    print(json.dumps(page, indent=2) if options.json else explained(page))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tailring_cli.demo.play import DemoOptions
    from tailring_cli.demo.run import Programs, run_demo

    asked = DemoOptions(
        seconds=options.seconds,
        visits_per_s=options.rate,
        plain=options.plain,
        seed=options.seed,
    )
    return run_demo(asked, programs=Programs.ours(), console=Console())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tailring", description="Tailring on a workstation."
    )
    parser.add_argument("--version", action="store_true", help="say what this is")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="run 2 routers, 3 samplers and a shop that sends real OTLP",
        description="2 routers, 3 samplers and a simulated shop whose services send"
        " OTLP with the OpenTelemetry SDK; ends with the proof that every kept trace"
        " is whole.",
    )
    demo.add_argument(
        "--seconds", type=_positive, help="end after this time (default: at Ctrl-C)"
    )
    demo.add_argument(
        "--rate", type=_positive, default=40.0, help="visits per second (40)"
    )
    demo.add_argument(
        "--plain", action="store_true", help="one line a second, no live page"
    )
    demo.add_argument("--seed", type=int, help="repeat a demo's visits and ids")
    _add_explain(commands.add_parser)
    return parser


def _add_explain(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    explain = add_parser(
        "explain",
        help="say what became of a trace, and why",
        description="Asks a sampler's debug pages (the extension zpages) whether a"
        " trace was kept, by which policy, and what each policy compared.",
    )
    explain.add_argument("trace_id", type=_trace_id, help="32 hex digits")
    explain.add_argument(
        "--url",
        default="http://localhost:55679",
        help="the sampler's zpages (http://localhost:55679)",
    )
    explain.add_argument("--json", action="store_true", help="the page as JSON")


def _trace_id(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{32}", text) is None:
        raise argparse.ArgumentTypeError(f"must be 32 hex digits, not {text!r}")
    return text.lower()


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


if __name__ == "__main__":
    main()
