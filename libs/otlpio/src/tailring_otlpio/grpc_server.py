"""The OTLP/gRPC server: raw bytes in, a status out.

Rules:

* No protobuf object is built for a request. The method is found by its path; each
  signal that has a pipeline has one handler, made once.
* The handler is registered as a stream although the method is unary, which is the
  same on the wire: so it also runs when no message arrives, and a request that gRPC's
  core turned away (larger than its own limit, a compression bomb) is counted.
* The core's limit lies above ours, so that what is somewhat too large is answered and
  counted by us; a bomb stops at the core's limit while it is inflated.
* Never ``maximum_concurrent_rpcs``: it answers RESOURCE_EXHAUSTED, which clients take
  as final. And the core's limit of calls that wait to be looked at lies far above the
  intake's of requests in flight: its answer is CANCELLED, without a delay, and nobody
  counts it (its own limit is 1,000, which a burst of small requests reaches).
* Messages that are not complete are bounded (`message_timeout`): the oldest are
  answered UNAVAILABLE, so that clients send them again.

It does not know what becomes of a request; that is the intake's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, cast

import grpc
import grpc.aio

from tailring_otlpio import status
from tailring_otlpio.guard import Guard
from tailring_otlpio.health_service import HealthService
from tailring_otlpio.intake import Envelope, Intake, Lane
from tailring_otlpio.message_timeout import MessageTimeout
from tailring_otlpio.metrics import ReceiverMetrics
from tailring_otlpio.receiver_config import GrpcServerConfig, KeepaliveServerConfig
from tailring_otlpio.rpc_status import STATUS_DETAILS, response_proto, status_proto
from tailring_otlpio.services import EXPORT, SERVICE
from tailring_otlpio.status import Answer, Outcome
from tailring_otlpio.tenants import MARK_BYTES_MAX, MARK_TOO_LARGE, mark_of
from tailring_otlpio.tls_grpc import server_credentials
from tailring_pipeline import Refused
from tailring_runtime.address import join_host_port, split_host_port
from tailring_runtime.errors import StartError
from tailring_runtime.process import resident_bytes

__all__ = ["GrpcServer"]

# How far the core's limit lies above ours.
_CORE_MARGIN_BYTES: Final = 16 << 20
# How many calls may wait in the core, by default and as a multiple of what the intake
# lets in. Each costs some KiB; at 250 us a call this is a backlog of four seconds.
_WAITING_CALLS_MIN: Final = 16_384
_WAITING_CALLS_FACTOR: Final = 4
_MESSAGE_CHARS_MAX: Final = 1024
# From the connection to the client's first frame, TLS included; grpcio's is 2 minutes.
_HANDSHAKE_MS: Final = 20_000
_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000

Options = list[tuple[str, Any]]
_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcServer(grpc.GenericRpcHandler):
    """The services of OTLP on one port, with ``grpc.health.v1`` beside it.

    ``start`` -> ``stop``; once stopped it cannot be started again.
    """

    def __init__(
        self,
        config: GrpcServerConfig,
        *,
        intake: Intake,
        guard: Guard,
        reuse_port: bool,
    ) -> None:
        self.port = 0
        self._config = config
        self._guard = guard
        self._intake = intake
        self._options = [
            *_options(config, reuse_port=reuse_port),
            *_backlog(intake.admission.requests_max),
        ]
        self._health = HealthService(*(SERVICE[one] for one in intake.signals))
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
        for signal in intake.signals:
            counted = ReceiverMetrics(
                guard.metrics, receiver=guard.receiver, transport="grpc", signal=signal
            )
            export = partial(self._export, intake.lane(signal, counted))
            self._handlers[EXPORT[signal]] = grpc.stream_unary_rpc_method_handler(
                export
            )
        self._messages = MessageTimeout(
            config.read_timeout / _NS_PER_S, room=self._room
        )
        self._metadata_keys = intake.metadata_keys if config.include_metadata else ()
        self._server: grpc.aio.Server | None = None
        # How large the process was then.
        self._began_bytes = 0

    async def start(self) -> None:
        """Listen; raises `StartError` when the address cannot be had."""
        await self.set_serving(False)
        self._began_bytes = resident_bytes()
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers((self,))
        self._health.add_to(server)
        address = _address(self._config)
        try:
            self.port = self._listen(server, address)
        except RuntimeError as error:
            raise StartError(f"cannot listen on {address} (gRPC): {error}") from error
        await server.start()
        self._messages.start()
        self._server = server

    def _listen(self, server: grpc.aio.Server, address: str) -> int:
        guard = self._guard
        if guard.tls is None:
            return server.add_insecure_port(address)
        credentials = server_credentials(guard.tls, guard.handshakes)
        return server.add_secure_port(address, credentials)

    async def set_serving(self, serving: bool) -> None:
        """What ``grpc.health.v1`` answers, for the server and each service."""
        await self._health.set_serving(serving)

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; cut those in flight after ``grace_s``. Safe twice."""
        if self._server is not None:
            await self._server.stop(grace_s)
        self._messages.stop()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method; None answers UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)

    async def _export(self, lane: Lane, _stream: object, context: _Context) -> bytes:
        deadline_ns = _deadline_ns(context)
        if self._guard.auth is not None:
            await self._admit(context, lane)
        try:
            payload = await self._messages.read(context.read())
        except TimeoutError:
            lane.counted.ended(Outcome.FAILURE, 0)
            await _abort(context, status.too_slow())
        except Refused as error:
            lane.counted.ended(Outcome.REFUSED, 0)
            await _abort(context, status.refused(error))
        if isinstance(payload, bytes):
            envelope = Envelope(deadline_ns, self._mark(context))
            answer = await self._answer(payload, lane, envelope)
        else:
            # EOF: nothing came, or it broke off, or the core turned it away; then its
            # own answer takes the place of this one.
            lane.counted.ended(Outcome.FAILURE, 0)
            answer = status.malformed("the call ended before its message was complete")
        if answer.code is not grpc.StatusCode.OK:
            await _abort(context, answer)
        return response_proto(answer)

    def _room(self) -> float:
        """For how many messages; no limit while the process is as large as it may be
        with what is in flight."""
        admission = self._intake.admission
        if resident_bytes() - self._began_bytes <= admission.bytes_max:
            return math.inf
        left = admission.bytes_max - admission.bytes
        return left // self._config.request_bytes_max

    async def _admit(self, context: _Context, lane: Lane) -> None:
        """Return when the client may send; else the call is over (abort raises)."""
        metadata = list(context.invocation_metadata() or ())
        answer = await self._guard.turns_away(lambda name: _first(metadata, name))
        if answer is not None:
            lane.counted.ended(answer.outcome, 0)
            await _abort(context, answer)

    def _mark(self, context: _Context) -> bytes:
        if not self._metadata_keys:
            return b""
        metadata = list(context.invocation_metadata() or ())
        return mark_of(self._metadata_keys, lambda name: _all(metadata, name))

    async def _answer(self, payload: bytes, lane: Lane, envelope: Envelope) -> Answer:
        bytes_max = self._config.request_bytes_max
        if len(payload) > bytes_max:
            lane.counted.ended(Outcome.FAILURE, 0)
            return status.too_large(
                f"the request has {len(payload)} bytes, the limit is {bytes_max}"
            )
        if len(envelope.mark) > MARK_BYTES_MAX:
            lane.counted.ended(Outcome.FAILURE, 0)
            return status.malformed(MARK_TOO_LARGE)
        return await self._intake.accept(payload, lane, envelope)


def _deadline_ns(context: _Context) -> int | None:
    """When the client stops waiting, by the event loop's clock; None: never."""
    # None without a deadline, which the library's types do not know.
    left_s = cast("float | None", context.time_remaining())
    if left_s is None or not math.isfinite(left_s):
        return None
    return int((asyncio.get_running_loop().time() + left_s) * _NS_PER_S)


async def _abort(context: _Context, answer: Answer) -> None:
    details = ((STATUS_DETAILS, status_proto(answer)),)
    await context.abort(answer.code, answer.message[:_MESSAGE_CHARS_MAX], details)


def _first(metadata: Iterable[tuple[str, str | bytes]], name: str) -> str | None:
    for key, value in metadata:
        if key == name:
            return value.decode("latin-1") if isinstance(value, bytes) else value
    return None


def _all(metadata: Iterable[tuple[str, str | bytes]], name: str) -> list[str]:
    return [
        value.decode("latin-1") if isinstance(value, bytes) else value
        for key, value in metadata
        if key == name
    ]


def _address(config: GrpcServerConfig) -> str:
    if config.transport == "unix":
        return f"unix:{config.endpoint}"
    host, port = split_host_port(config.endpoint)
    return join_host_port(host or "::", port)


def _options(config: GrpcServerConfig, *, reuse_port: bool) -> Options:
    options: Options = [
        ("grpc.max_receive_message_length", _core_limit(config)),
        # Off, or a second process would share the port without an error.
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
    ]
    if config.max_concurrent_streams:
        options.append(("grpc.max_concurrent_streams", config.max_concurrent_streams))
    return options + _keepalive_options(config.keepalive)


def _backlog(requests_max: int) -> Options:
    calls_max = max(_WAITING_CALLS_MIN, requests_max * _WAITING_CALLS_FACTOR)
    # From the first to the second the core turns calls away at random.
    return [
        ("grpc.server.max_pending_requests", calls_max),
        ("grpc.server.max_pending_requests_hard_limit", calls_max),
    ]


def _core_limit(config: GrpcServerConfig) -> int:
    return min(config.request_bytes_max + _CORE_MARGIN_BYTES, 2**31 - 1)


def _keepalive_options(config: KeepaliveServerConfig) -> Options:
    policy = config.enforcement_policy
    options: Options = [
        (
            "grpc.http2.min_ping_interval_without_data_ms",
            policy.min_time // _NS_PER_MS,
        ),
        ("grpc.keepalive_permit_without_calls", int(policy.permit_without_stream)),
    ]
    given = config.server_parameters
    for argument, duration_ns in (
        ("grpc.max_connection_idle_ms", given.max_connection_idle),
        ("grpc.max_connection_age_ms", given.max_connection_age),
        ("grpc.max_connection_age_grace_ms", given.max_connection_age_grace),
        ("grpc.keepalive_time_ms", given.time),
        ("grpc.keepalive_timeout_ms", given.timeout),
        ("grpc.http2.ping_timeout_ms", given.timeout),
    ):
        if duration_ns:
            options.append((argument, max(1, duration_ns // _NS_PER_MS)))
    return options
