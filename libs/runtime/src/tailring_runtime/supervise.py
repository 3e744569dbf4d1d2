"""The command ``run`` with more than one worker, from the file to the exit code."""

from __future__ import annotations

import asyncio
import signal

from tailring_runtime.command import (
    EXIT_FAILED,
    EXIT_USAGE,
    ServiceCommand,
    open_logs,
    tell_problems,
)
from tailring_runtime.errors import RuntimeFailure
from tailring_runtime.plan import Origin, Refusal
from tailring_runtime.settings import Settings
from tailring_runtime.supervisor import Supervisor, make_plan

__all__ = ["supervise"]


def supervise(command: ServiceCommand, origin: Origin, settings: Settings) -> int:
    """Run workers until they are stopped; the exit code."""
    # Until it is listened to it means nothing.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return asyncio.run(_supervise(command, origin, settings))


async def _supervise(
    command: ServiceCommand, origin: Origin, settings: Settings
) -> int:
    plan = await make_plan(command.module, origin)
    if isinstance(plan, int):
        return plan
    if isinstance(plan, Refusal):
        tell_problems(command, plan)
        return EXIT_USAGE
    log = open_logs(command, plan.shell, settings, warnings=plan.warnings)
    if log is None:
        return EXIT_FAILED
    supervisor = Supervisor(
        plan,
        settings,
        origin=origin,
        service=command.name,
        module=command.module,
    )
    try:
        return await supervisor.run()
    except RuntimeFailure as error:
        log.error("service cannot run", reason=str(error))
        return EXIT_FAILED
