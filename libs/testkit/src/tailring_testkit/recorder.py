"""A backend in a process of its own, which writes down every span that it takes.

It can be killed, stopped and continued as a real one, and what it took is known all
the same: the numbers of the spans of a request (see `numbered`) are in its file before
the answer leaves. What it answers is set from outside, at any time.

    with Recorder(folder) as backend:
        backend.answer(Answer(delay_s=5.0))
        backend.child.send(signal.SIGSTOP)
        backend.numbers()
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_testkit import ports
from tailring_testkit.backend import EXPORT_TRACES, OK, Answer, status_details
from tailring_testkit.process import Child, port_open

__all__ = ["Recorder", "main"]

_ANSWER = "/tailring.testkit.Recorder/Answer"
_MESSAGE_BYTES_MAX = 256 << 20
_CALL_S = 10.0


class Recorder:
    """The process and its file; a context manager, or started and stopped by hand."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        arguments: Sequence[str | Path] = (),
    ) -> None:
        """``arguments`` are further words of the command line (see `main`)."""
        self.host = host
        self.port = port or ports.free_port(host)
        self.path = folder / f"{host}-{self.port}.spans"
        self._arguments = arguments
        self._child: Child | None = None

    @property
    def target(self) -> str:
        """Where it listens."""
        return f"{self.host}:{self.port}"

    @property
    def child(self) -> Child:
        """The process that runs now."""
        assert self._child is not None, "it was not started"
        return self._child

    def start(self) -> Self:
        """Listen, on the same port and with the same file as before."""
        command = (sys.executable, "-m", "tailring_testkit.recorder")
        words = ("--listen", self.target, "--record", self.path)
        self._child = Child(
            [*command, *words, *self._arguments], log=self.path.with_suffix(".log")
        )
        self._child.wait_ready(port_open(self.port, self.host), timeout_s=60.0)
        return self

    def stop(self) -> None:
        """End the process, whatever state it is in. Safe twice."""
        if self._child is not None:
            self._child.kill()

    def answer(self, answer: Answer) -> None:
        """From now on requests are answered like this; what it keeps as `Answer`."""
        words = {
            "code": answer.code.name,
            "message": answer.message,
            "retry_after_s": answer.retry_after_s,
            "delay_s": answer.delay_s,
            "keeps": answer.keeps,
        }
        with grpc.insecure_channel(self.target) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            call = channel.unary_unary(_ANSWER)
            call(json.dumps(words).encode(), timeout=_CALL_S)

    def numbers(self) -> array[int]:
        """The number of every span that was taken, in order, with repetitions."""
        taken = array("Q")
        if self.path.exists():
            taken.frombytes(self.path.read_bytes())
        if sys.byteorder == "little":
            taken.byteswap()
        return taken

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


# ---------------------------------------------------------------- the process


class _Server(grpc.GenericRpcHandler):
    def __init__(self, file: int) -> None:
        self._file = file
        self._answer = OK
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            EXPORT_TRACES: grpc.unary_unary_rpc_method_handler(self._export),
            _ANSWER: grpc.unary_unary_rpc_method_handler(self._set),
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._handlers.get(handler_call_details.method)

    async def _set(self, words: bytes, _context: object) -> bytes:
        given = json.loads(words)
        self._answer = Answer(**{**given, "code": grpc.StatusCode[given["code"]]})
        return b""

    async def _export(
        self, payload: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        answer = self._answer
        if answer.code is grpc.StatusCode.OK or answer.keeps:
            os.write(self._file, _span_ids(payload))
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.code is not grpc.StatusCode.OK:
            await context.abort(answer.code, answer.message, status_details(answer))
        return answer.response


def _span_ids(payload: bytes) -> bytes:
    return b"".join(
        span.span_id
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


async def _serve(given: argparse.Namespace) -> None:
    options = (
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    )
    file = os.open(given.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((_Server(file),))
    if given.certificate:
        pair = (given.key.read_bytes(), given.certificate.read_bytes())
        credentials = grpc.ssl_server_credentials([pair])
        server.add_secure_port(given.listen, credentials)
    else:
        server.add_insecure_port(given.listen)
    await server.start()
    await server.wait_for_termination()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until it is killed; ``--certificate`` and ``--key`` make it TLS."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, help="host:port")
    parser.add_argument("--record", required=True, type=Path, help="appended to")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    asyncio.run(_serve(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
