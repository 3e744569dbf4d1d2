"""The options of the command line, one function for each group of them.

Their meaning is the command's; importing this costs no more than argparse.
"""

from __future__ import annotations

import argparse

__all__ = ["add_config", "add_gates", "add_healthcheck", "add_run"]

CONFIG_HELP = (
    "configuration: a path, file:PATH, env:NAME or yaml:KEYS; may be repeated,"
    " later ones win (default: TAILRING_CONFIG or /conf/config.yaml)"
)

GATES_HELP = (
    "switch feature gates on and off; may be repeated, later ones win (default:"
    " TAILRING_FEATURE_GATES)"
)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Where the configuration comes from."""
    parser.add_argument("--config", action="append", metavar="SOURCE", help=CONFIG_HELP)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set one key, for example processors.batch.timeout=2s",
    )


def add_healthcheck(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, and for how long."""
    parser.add_argument(
        "--endpoint",
        metavar="HOST:PORT",
        help="where health is served (default: TAILRING_HEALTH_ENDPOINT or"
        " localhost:13133)",
    )
    parser.add_argument(
        "--timeout", type=float, default=3.0, metavar="SECONDS", help="(default: 3)"
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """What only a running service needs."""
    parser.add_argument(
        "--workers",
        metavar="N",
        help="processes that share the work, about one a core (default:"
        " TAILRING_WORKERS or 1)",
    )


def add_gates(parser: argparse.ArgumentParser) -> None:
    """Which feature gates are switched."""
    parser.add_argument(
        "--feature-gates",
        action="append",
        default=[],
        metavar="+NAME,-NAME",
        help=GATES_HELP,
    )
