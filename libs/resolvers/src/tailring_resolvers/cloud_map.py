"""Backends are the instances of a service in AWS Cloud Map.

DiscoverInstances is called at start and then every ``interval``, in a thread. Each
instance becomes one endpoint (`instances` says how).

Rules:

* A call that fails, or finds no instance that can be an endpoint, keeps the last good
  list. So scaling to zero keeps it too.
* After a failure it is asked again soon, later and later, up to ``interval``; when AWS
  says that it is asked too often, later than that. Both are drawn, so that many routers
  that failed together do not come again together.
* A call takes ``timeout`` at most. The thread of one that took longer goes on for a
  while and its answer is dropped; the next call waits for its end, so that there is
  never more than one.
* What cannot be an endpoint is left out, counted, and told when it changes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final

from tailring_resolvers.cloud_map_client import INSTANCES_MAX, CloudMapClient
from tailring_resolvers.cloud_map_config import CloudMapResolverConfig
from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.errors import ResolutionError, Throttled
from tailring_resolvers.instances import (
    LEFT_OUT_REASONS,
    Found,
    Instance,
    endpoints_of,
)
from tailring_resolvers.metrics import LEFT_OUT
from tailring_resolvers.polling import PollingResolver, Sleep
from tailring_runtime.environment import environment
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics

__all__ = ["CloudMapResolver", "pause_s"]

# Ids of instances that one log line names.
_NAMED_MAX: Final = 10
_FIRST_PAUSE_S: Final = 1.0
_THROTTLED_INTERVALS_MAX: Final = 8


class CloudMapResolver(PollingResolver):
    """Follows the instances of one service."""

    kind = "aws"
    first_complaint = "failed initial resolve"

    def __init__(
        self,
        config: CloudMapResolverConfig,
        *,
        metrics: Metrics,
        environ: Mapping[str, str] | None = None,
        sleep: Sleep = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """``environ`` stands in for the process's; ``draw`` gives the jitter."""
        log = get_logger(
            resolver="aws_cloud_map",
            namespace=config.namespace,
            service_name=config.service_name,
        )
        super().__init__(
            metrics=metrics, log=log, sleep=sleep, hold_down_ns=config.hold_down
        )
        self._config = config
        self._client = CloudMapClient(
            config, environ=environment() if environ is None else environ
        )
        self._draw = draw
        self._failures = 0
        self._call: asyncio.Future[list[Instance]] | None = None
        self._told = ""
        self._full = False
        self._left_out = {
            reason: metrics.gauge(LEFT_OUT, resolver=self.kind, reason=reason)
            for reason in LEFT_OUT_REASONS
        }

    async def resolve(self) -> tuple[Endpoint, ...]:
        """Ask now, without touching the kept list. Raises `ResolutionError`."""
        found = endpoints_of(await self._instances(), port=self._config.port)
        self._tell_left_out(found)
        return self._usable(found)

    async def stop(self) -> None:
        """Follow no more; a call under way ends by itself and is not heard."""
        await super().stop()
        self._client.close()

    async def _answer(self) -> tuple[Endpoint, ...]:
        instances = await self._instances()
        found = endpoints_of(instances, port=self._config.port)
        for reason, gauge in self._left_out.items():
            gauge.set(len(found.left_out[reason]))
        self._tell_left_out(found)
        self._tell_full(len(instances))
        return self._usable(found)

    def _usable(self, found: Found) -> tuple[Endpoint, ...]:
        if not found.endpoints:
            reason = found.unusable() or "the service has no instances to discover"
            raise ResolutionError(self._client.source, reason)
        return found.endpoints

    async def _instances(self) -> list[Instance]:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._client.load)
        try:
            async with asyncio.timeout(self._config.timeout_s):
                if self._call is not None:
                    await asyncio.wait([self._call])
                # A future and not a task: what a task awaits dies with the task.
                self._call = loop.run_in_executor(None, self._client.discover)
                self._call.add_done_callback(_heard)
                return await asyncio.shield(self._call)
        except TimeoutError as error:
            waited = f"no answer within {self._config.timeout_s:g} s"
            raise ResolutionError(self._client.source, waited) from error

    def _pause_s(self, failure: Exception | None) -> float:
        if failure is None:
            self._failures = 0
            return self._config.interval_s
        self._failures += 1
        return pause_s(
            self._failures,
            interval_s=self._config.interval_s,
            throttled=isinstance(failure, Throttled),
            drawn=self._draw(),
        )

    def _log_started(self) -> None:
        self._log.info(
            "AWS CloudMap resolver started",
            region=self._client.region,
            interval_s=self._config.interval_s,
            timeout_s=self._config.timeout_s,
        )

    def _tell_left_out(self, found: Found) -> None:
        unusable = found.unusable()
        if unusable and unusable != self._told:
            ids = [one for ids in found.left_out.values() for one in ids]
            self._log.error(
                "instances that cannot be backends are left out",
                error=unusable,
                instances=ids[:_NAMED_MAX],
            )
        self._told = unusable

    def _tell_full(self, count: int) -> None:
        full = count >= INSTANCES_MAX
        if full and not self._full:
            self._log.warning(
                "Cloud Map answers no more than 1000 instances, drawn anew each time:"
                " with more backends than that the ring changes at every call",
                instances=count,
            )
        self._full = full


def pause_s(
    failures: int, *, interval_s: float, throttled: bool, drawn: float
) -> float:
    """How long to wait after so many failures in a row; ``drawn`` is in [0, 1).

    From half of it to the whole of: 1 s, 2 s, 4 s and so on up to the interval; when
    throttled, two intervals, four, eight.
    """
    doubled = 2.0 ** min(failures, 16)
    if throttled:
        longest_s = interval_s * min(doubled, _THROTTLED_INTERVALS_MAX)
    else:
        longest_s = min(_FIRST_PAUSE_S * doubled / 2, interval_s)
    return longest_s * (1 + drawn) / 2


def _heard(call: asyncio.Future[list[Instance]]) -> None:
    """Take note of the failure of a call that nobody waits for any more."""
    if not call.cancelled():
        call.exception()
