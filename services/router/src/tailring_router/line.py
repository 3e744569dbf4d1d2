"""The line to one backend: its connection, and what all requests on it share.

It makes one try of one request, and says what came of it as a `Result`. Whether and
when there is another try is not its business (`sending`), nor is what is tried next
(`forwarder`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tailring_pipeline import FailureLog, Refused, Rejected
from tailring_router.client import Client, ForwarderSettings
from tailring_router.metrics import BackendMetrics
from tailring_router.part import DELIVERED, Outcome, Part, Result
from tailring_runtime.logs import get_logger

if TYPE_CHECKING:
    from tailring_router.sending import Sending

__all__ = ["Line"]


class Line:
    """Owned by a forwarder; lives on one event loop.

    ``suspected``: the last try found nobody at the address. ``epoch`` counts how often
    the forwarder gave back what it held. ``leaving``: the backend was removed, nothing
    is tried twice; ``ended``: nothing is tried at all. ``hurries``: no wait between two
    tries is long any more.
    """

    def __init__(
        self,
        address: str,
        connect: Callable[[str], Client],
        *,
        settings: ForwarderSettings,
        metrics: BackendMetrics,
    ) -> None:
        """``connect`` is called once, when the first request is sent."""
        self.address = address
        self.settings = settings
        self.metrics = metrics
        self.sendings: set[Sending] = set()
        self.suspected = False
        self.epoch = 0
        self.leaving = False
        self.ended = False
        self.hurries = False
        # The last answer that was none, and when (the loop's clock), for people.
        self.last_failure: tuple[Result, float] | None = None
        log = get_logger(backend=address)
        self._retrying = FailureLog(
            "Exporting failed. Will retry the request after interval.",
            log=log,
            level="info",
        )
        self._failing = FailureLog("Exporting failed. Rejecting data.", log=log)
        self._connect = connect
        self._client: Client | None = None

    async def call(self, parts: list[Part]) -> Result:
        """Try one request: one part, or several joined, which merges them."""
        payload = parts[0].payload
        if len(parts) > 1:
            payload = b"".join([part.payload for part in parts])
        if self._client is None:
            self._client = self._connect(self.address)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            partial = await self._client.export(
                payload, timeout_s=self.settings.timeout_s
            )
        except Refused as refused:
            self.suspected = self.suspected or refused.reason == "unreachable"
            result = Result(
                Outcome.FAILED, refused.reason, refused.detail, refused.retry_after_s
            )
        except Rejected as refusal:
            self._answered()
            result = Result(Outcome.REJECTED, refusal.reason, refusal.detail)
        else:
            result = DELIVERED
            if partial is not None:
                result = delivered(partial.items or 0, partial.detail)
            self._answered()
        if result.outcome is not Outcome.DELIVERED:
            self.last_failure = (result, loop.time())
        self.metrics.tried(
            result,
            spans=sum(part.spans for part in parts),
            took_ms=(loop.time() - began_s) * 1000.0,
        )
        return result

    def retries(self, result: Result, spans: int) -> None:
        """A try failed and there will be another: told now and then."""
        self._retrying.failed(Refused(result.reason, result.detail), spans)

    def gives_up(self, result: Result, spans: int) -> None:
        """``spans`` will not be tried again at this backend."""
        self.metrics.gave_up(spans)
        self._failing.failed(Refused(result.reason, result.detail), spans)

    def keeps(self, epoch: int) -> bool:
        """Whether what was begun at ``epoch`` may stay here for another try."""
        return self.epoch == epoch and not self.leaving

    def wake(self) -> None:
        """Let every request that waits for its next try have it now."""
        for sending in self.sendings:
            sending.wake()

    def _answered(self) -> None:
        if self.suspected:  # it is back
            self.suspected = False
            for sending in self.sendings:
                sending.came_back()

    async def close(self) -> None:
        """Give up the connection."""
        self._retrying.flush()
        self._failing.flush()
        if self._client is not None:
            await self._client.close()


def delivered(rejected: int, detail: str) -> Result:
    """Delivered, all but ``rejected`` spans, for the reason that the backend gave."""
    if not rejected:
        return DELIVERED
    return Result(Outcome.DELIVERED, "partial", detail, rejected=rejected)
