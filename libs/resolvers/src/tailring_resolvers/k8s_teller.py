"""From slices to what the resolver tells, counts and logs.

What it is: the listener of a `Follower`. It names endpoints, keeps the list with its
holds, and sees to it that a list that is held is told when its time has come. Lives on
one event loop, from the start of a resolver to its stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.errors import ApiRefusal, ResolutionError
from tailring_resolvers.k8s_config import K8sResolverConfig, Service
from tailring_resolvers.k8s_slices import (
    Slice,
    Slices,
    UnexpectedObject,
    endpoints_of,
)
from tailring_resolvers.kept import KeptList
from tailring_resolvers.resolver import OnChange
from tailring_runtime.logs import get_logger

__all__ = ["Teller", "endpoints_in", "why_empty"]


class Teller:
    """Tells one listener of endpoints. ``asked`` is set once the API has been asked."""

    def __init__(
        self,
        config: K8sResolverConfig,
        service: Service,
        *,
        kept: KeptList,
        on_change: OnChange,
        clock_ns: Callable[[], int],
    ) -> None:
        self.asked = asyncio.Event()
        self._config = config
        self._service = service
        self._kept = kept
        self._on_change = on_change
        self._clock_ns = clock_ns
        self._log = get_logger(resolver="k8s", service=str(service))
        self._empty = False
        self._failing = False
        self._held: asyncio.TimerHandle | None = None

    def known(self, slices: Slices) -> None:
        """Tell of the endpoints, unless they are those of before or a hold is on."""
        found = endpoints_in(slices, self._config, self._service)
        if not found and not self._empty:
            self._log.warning(
                "the service has no ready endpoints",
                reason=why_empty(slices),
                kept_backends=len(self._kept.endpoints),
                kept_s=self._config.hold_empty / 1e9,
            )
        self._empty = not found
        self._kept.accept(found, on_change=self._on_change, now_ns=self._clock_ns())
        self._log.debug("resolved successfully", backends=len(found))
        self._wait_hold()
        self.asked.set()

    def unchanged(self) -> None:
        """Say so to whoever looks for a reason."""
        self._log.debug("No changes detected in the endpoints for the service")

    def odd(self, what: Slice | UnexpectedObject) -> None:
        """Count it as a failure; the rest of the slices goes on."""
        self._kept.fail()
        if isinstance(what, Slice):
            self._log.warning(
                "EndpointSlice object missing hostnames",
                slice=what.name,
                endpoints_passed_over=what.nameless,
            )
        else:
            self._log.warning("Got an unexpected Kubernetes data type", error=str(what))

    def failed(self, error: Exception) -> None:
        """Count and log a failure; the last list stays."""
        self._kept.fail()
        self._failing = True
        kept = len(self._kept.endpoints)
        if isinstance(error, ResolutionError):
            facts = error.facts if isinstance(error, ApiRefusal) else {}
            self._log.warning(
                "failed to resolve", error=error.reason, kept_backends=kept, **facts
            )
        else:
            self._log.error("failed to resolve", exc_info=error, kept_backends=kept)
        self.asked.set()

    def forgotten(self) -> None:
        """Say so; it is no failure."""
        self._log.debug("the API server has forgotten the version; listing anew")

    def follows(self) -> None:
        """The watch is on; tell if that was in doubt."""
        if self._failing:
            self._log.info("the resolver follows the Kubernetes API again")
        self._failing = False

    def stop(self) -> None:
        """Tell nothing any more."""
        if self._held is not None:
            self._held.cancel()
            self._held = None

    def _wait_hold(self) -> None:
        """Call back when a list that is held is due."""
        self.stop()
        due_ns = self._kept.due_ns
        if due_ns is not None:
            delay_s = max(0, due_ns - self._clock_ns()) / 1e9
            loop = asyncio.get_running_loop()
            self._held = loop.call_later(delay_s, self._end_hold)

    def _end_hold(self) -> None:
        if self._kept.due_ns is None:
            return
        try:
            if not self._kept.settle(
                on_change=self._on_change, now_ns=self._clock_ns()
            ):
                self._wait_hold()  # the timer of the loop ran ahead of the clock
            elif not self._kept.endpoints:
                self._log.warning("the last backends are given up")
        except Exception as error:  # noqa: BLE001 - told again with the next list
            self._log.error("failed to resolve", exc_info=error)


def endpoints_in(
    slices: Slices, config: K8sResolverConfig, service: Service
) -> tuple[Endpoint, ...]:
    """The endpoints of ``slices``, as the configuration wants them named."""
    return endpoints_of(
        slices.hosts(),
        service=service,
        ports=config.ports,
        hostnames=config.return_hostnames,
    )


def why_empty(slices: Slices) -> str:
    """Why slices hold no endpoint that can be used."""
    if not len(slices):
        return (
            "no EndpointSlice belongs to it: is the name right, and has the Service a"
            " selector?"
        )
    return (
        f"{len(slices)} EndpointSlices, {slices.not_ready} endpoints that are not"
        f" ready, {slices.nameless} without a host name"
    )
