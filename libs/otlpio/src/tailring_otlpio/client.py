"""A client of one backend: encoded requests out, `Refused` or `Rejected` back.

Rules:

* Raw bytes; a full success (an empty response) builds no object.
* A call is ended by its timeout, never by cancelling whoever waits for it: grpc.aio
  leaks the operations of a call whose awaiter is cancelled (grpc/grpc#43360), and a
  request that is on its way may arrive. So the wait is on a future beside the call.
* Every client has its own connections, also when two have the same target.
* "unreachable" means that no backend answered: there is no connection, or it broke.
  An answer of the backend has the name of its code.

It does not queue, retry or count, but for the log lines of partial successes; that is
for the stages in front of it.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Final

import grpc
import grpc.aio

from tailring_otlpio import status
from tailring_otlpio.channel import Options, RenewedChannel
from tailring_otlpio.client_config import OtlpClientConfig
from tailring_otlpio.credentials import PLAINTEXT, Credentials
from tailring_otlpio.rpc_status import STATUS_DETAILS, partial_success_of, retry_info_s
from tailring_otlpio.services import EXPORT
from tailring_otlpio.target import grpc_target
from tailring_pipeline import FailureLog, Refused, Rejected, Signal
from tailring_runtime.logs import get_logger

__all__ = ["MetadataItems", "OtlpClient"]

# OTLP's recommended limit of a response.
_RESPONSE_BYTES_MAX: Final = 4 << 20
# grpcio's own are 20 s to connect and 2 min between attempts: a sampler that is back
# would be avoided for as long.
_CONNECT_TIMEOUT_MS: Final = 5_000
_RECONNECT_MIN_MS: Final = 250
_RECONNECT_MAX_MS: Final = 2_000
_NS_PER_MS: Final = 1_000_000
_DETAIL_CHARS_MAX: Final = 1_000

# Codes that grpcio itself makes up when the connection is at fault.
_OWN_CODES: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
)

# What the core says when a connection breaks, before the channel's state shows it.
_BROKEN: Final = "Stream removed"

# What TLS says when the other side does not speak it.
_PLAINTEXT_ANSWER: Final = "WRONG_VERSION_NUMBER"

MetadataItems = tuple[tuple[str, str | bytes], ...]


class OtlpClient:
    """Made on the running event loop; connects with the first request, reconnects.

    ``target`` is an endpoint as `grpc_target` reads it (ValueError otherwise);
    ``credentials`` are those of ``config``. All requests are of one ``signal``.
    """

    def __init__(
        self,
        target: str,
        config: OtlpClientConfig,
        *,
        credentials: Credentials = PLAINTEXT,
        signal: Signal = Signal.TRACES,
    ) -> None:
        assert config.plaintext or credentials.tls, "TLS is on, its files were not read"
        self.target = grpc_target(target)
        self._method = EXPORT[signal]
        self._auth = credentials.auth
        self._channel = RenewedChannel(
            self.target,
            options=_options(config),
            compression=_compression(config),
            tls=credentials.tls,
        )
        self._partials = FailureLog(
            "Partial success response",
            log=get_logger(endpoint=target),
            level="warning",
        )
        self._closed = False
        self._metadata = _metadata(config)
        self._wait_for_ready = config.wait_for_ready or None

    async def export(
        self, payload: bytes, *, timeout_s: float, metadata: MetadataItems = ()
    ) -> Rejected | None:
        """Send one request; returns what the backend says of items it did not take.

        The others were taken: a partial success must not be sent again. Raises
        `Refused` or `Rejected` with the words of `status.failure`, or "unreachable".
        ``timeout_s`` 0 is no limit. When the caller is cancelled the request goes on.
        """
        if self._auth is not None:
            metadata = self._auth.headers() + metadata
        call = self._channel.call_of(self._method)(
            payload,
            timeout=timeout_s or None,
            metadata=self._metadata + metadata,
            wait_for_ready=self._wait_for_ready,
        )
        done = asyncio.get_running_loop().create_future()
        call.add_done_callback(partial(_wake, done))
        await done
        if self._closed and call.cancelled():  # awaiting it would cancel our caller
            raise Refused("closed", f"the connection to {self.target} was closed")
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from None
        return self._partial(response) if response else None

    def connected(self) -> bool:
        """Whether a request would find a connection now; does not wait."""
        return self._channel.current().get_state() is grpc.ChannelConnectivity.READY

    def connect_nowait(self) -> None:
        """Begin to connect, so that the first request need not wait for it."""
        self._channel.current().get_state(try_to_connect=True)

    async def close(self, grace_s: float = 0.0) -> None:
        """End the connections; requests in flight after ``grace_s`` are refused."""
        self._closed = True
        self._partials.flush()
        await self._channel.close(grace_s)

    def _partial(self, response: bytes) -> Rejected | None:
        rejected, message = partial_success_of(response)
        if not rejected and not message:
            return None
        detail = message[:_DETAIL_CHARS_MAX] or "the backend did not say why"
        partial = Rejected("partial_success", detail, items=rejected)
        self._partials.failed(partial, rejected)
        return partial if rejected else None

    def _failure(self, error: grpc.aio.AioRpcError) -> Refused | Rejected:
        code = error.code()
        words = (error.details() or "")[:_DETAIL_CHARS_MAX]
        detail = f"{code.name}: {words}"
        delay_s: float | None = None
        answered = False
        for key, value in error.trailing_metadata() or ():
            answered = True
            if key == STATUS_DETAILS and isinstance(value, bytes):
                delay_s = retry_info_s(value)
        if _PLAINTEXT_ANSWER in words:
            detail += "; the backend speaks plaintext: give it TLS, or write tls:"
            detail += " {insecure: true} here"
        lost = words.startswith(_BROKEN) or not self.connected()
        if code in _OWN_CODES and lost and not answered:
            return Refused("unreachable", f"{self.target}: {detail}")
        return status.failure(code, detail, retry_info_s=delay_s)


def _wake(done: asyncio.Future[None], _call: object) -> None:
    if not done.done():
        done.set_result(None)


def _compression(config: OtlpClientConfig) -> grpc.Compression:
    if config.compression == "gzip":
        return grpc.Compression.Gzip
    return grpc.Compression.NoCompression


def _metadata(config: OtlpClientConfig) -> MetadataItems:
    return tuple(
        (key.lower(), _value(key, secret.get_secret_value()))
        for key, secret in config.headers.items()
    )


def _value(key: str, text: str) -> str | bytes:
    return text.encode() if key.lower().endswith("-bin") else text


def _options(config: OtlpClientConfig) -> Options:
    options: Options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", _RESPONSE_BYTES_MAX),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MIN_MS),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_TIMEOUT_MS),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MAX_MS),
        ("grpc.service_config", _service_config(config)),
    ]
    if config.tls.server_name_override:
        name = config.tls.server_name_override
        options.append(("grpc.ssl_target_name_override", name))
    if config.authority:
        options.append(("grpc.default_authority", config.authority))
    if config.user_agent:
        options.append(("grpc.primary_user_agent", config.user_agent))
    return options + _keepalive(config)


def _service_config(config: OtlpClientConfig) -> str:
    balancer = config.balancer_name or "pick_first"
    return json.dumps({"loadBalancingConfig": [{balancer: {}}]})


def _keepalive(config: OtlpClientConfig) -> Options:
    given = config.keepalive
    if given is None or not given.time:
        return []
    timeout_ms = max(1, given.timeout // _NS_PER_MS)
    return [
        ("grpc.keepalive_time_ms", max(1, given.time // _NS_PER_MS)),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        # Without this one a peer that is silent is noticed after a minute only.
        ("grpc.http2.ping_timeout_ms", timeout_ms),
        ("grpc.keepalive_permit_without_calls", int(given.permit_without_stream)),
        # grpcio stops pinging after two pings without data unless told otherwise.
        ("grpc.http2.max_pings_without_data", 0),
    ]
