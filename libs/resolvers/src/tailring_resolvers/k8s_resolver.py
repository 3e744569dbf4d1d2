"""Backends are the ready endpoints of a Kubernetes Service.

The EndpointSlices of the Service are listed, and then watched (`k8s_follower`). Rules:

* `K8sResolver.start` waits for the first list, but not for long, and never fails: an
  API server that cannot be reached, or that says no, is logged with what is missing,
  and asked again, with growing pauses, for as long as it takes. Without a list there
  are no backends, so the router is not ready.
* The last good list is kept while the API fails.
* Events that came together are told together.
* An empty list is believed, since the API is the authority on it, once it has been
  empty for ``hold_empty``: until then it may as well be a deployment gone wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.errors import ResolutionError
from tailring_resolvers.k8s_access import K8sPlace, own_namespace
from tailring_resolvers.k8s_api import Api
from tailring_resolvers.k8s_config import K8sResolverConfig, Service, parse_service
from tailring_resolvers.k8s_follower import Follower, read_slices
from tailring_resolvers.k8s_kubeconfig import find_access
from tailring_resolvers.k8s_slices import Slice, Slices, UnexpectedObject
from tailring_resolvers.k8s_teller import Teller, endpoints_in, why_empty
from tailring_resolvers.kept import KeptList
from tailring_resolvers.polling import Sleep
from tailring_resolvers.resolver import OnChange
from tailring_runtime.environment import environment
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

__all__ = ["START_S", "K8sResolver"]

# What a start waits for the first answer.
START_S: Final = 10.0


class K8sResolver:
    """Follows the EndpointSlices of one Service."""

    kind = "k8s"

    def __init__(
        self,
        config: K8sResolverConfig,
        *,
        metrics: Metrics,
        place: K8sPlace | None = None,
        sleep: Sleep = asyncio.sleep,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``place`` is where credentials lie; None: where this process finds its own.

        ``sleep`` takes the pauses between tries.
        """
        self._config = config
        self._place = (
            place if place is not None else K8sPlace(environment(), Path.home())
        )
        self._sleep = sleep
        self._clock_ns = clock_ns
        self._kept = KeptList(
            self.kind,
            metrics=metrics,
            hold_empty_ns=config.hold_empty,
            hold_down_ns=config.hold_down,
        )
        self._tasks = TaskSet("resolver", metrics=metrics)
        self._log = get_logger(resolver=self.kind, service=config.service)
        self._follower: Follower | None = None
        self._teller: Teller | None = None

    @property
    def following(self) -> bool:
        """True from `start` to `stop`."""
        return len(self._tasks) > 0

    @property
    def version(self) -> str:
        """The version of the API's state that was seen last; empty before a list."""
        return self._follower.version if self._follower is not None else ""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The last good list; empty before the first list that succeeded."""
        return self._kept.endpoints

    async def start(self, on_change: OnChange) -> None:
        """Follow from now on; waits for the first answer, `START_S` at most."""
        service = self._service()
        self._teller = teller = Teller(
            self._config,
            service,
            kept=self._kept,
            on_change=on_change,
            clock_ns=self._clock_ns,
        )
        self._tasks.spawn(self._follow(service, teller), name="k8s resolver")
        try:
            async with asyncio.timeout(START_S):
                await teller.asked.wait()
        except TimeoutError:
            self._log.warning("no answer of the Kubernetes API yet", waited_s=START_S)
        self._log.debug(
            "K8s service resolver started",
            namespace=service.namespace,
            ports=list(self._config.ports),
            timeout_s=self._config.watch_s,
        )

    async def resolve(self) -> tuple[Endpoint, ...]:
        """List now, without touching the kept list.

        Raises `ResolutionError`, also when no endpoint is ready: whoever asks by hand
        is told why there is none.
        """
        service = self._service()
        async with self._api(service) as api:
            listing = await api.listing()
        slices, odd = Slices(), list[Slice | UnexpectedObject]()
        hostnames = self._config.return_hostnames
        slices.replace(read_slices(listing.items, hostnames, odd.append))
        found = endpoints_in(slices, self._config, service)
        if not found:
            raise ResolutionError(str(service), why_empty(slices))
        return found

    async def stop(self) -> None:
        """Follow no more; a request under way is abandoned. Safe twice, unstarted."""
        await self._tasks.close()
        if self._teller is not None:
            self._teller.stop()

    def _service(self) -> Service:
        """Name and namespace; the pod's own where the configuration gives none."""
        service = parse_service(self._config.service)
        if service.namespace:
            return service
        namespace = own_namespace(self._place)
        if namespace:
            self._log.info(
                "namespace for the Collector determined", namespace=namespace
            )
            return Service(service.name, namespace)
        self._log.warning(
            "could not determine the namespace for this collector, will use"
            ' "default" as the namespace'
        )
        return Service(service.name, "default")

    def _api(self, service: Service) -> Api:
        return Api(
            service,
            read_access=partial(find_access, self._place),
            watch_s=self._config.watch_s,
        )

    async def _follow(self, service: Service, teller: Teller) -> None:
        async with self._api(service) as api:
            self._follower = Follower(
                api,
                teller,
                hostnames=self._config.return_hostnames,
                sleep=self._sleep,
                clock_ns=self._clock_ns,
            )
            await self._follower.run()
