"""A DNS server on loopback whose answers a test sets, and spoils.

It serves UDP and TCP on one port, in a thread with a loop of its own, so that the
part under test may block or use any loop. Answers are dnspython messages: real wire
format, real truncation (an answer that does not fit the client's UDP size is cut and
marked), real sockets. A name that was never set is NXDOMAIN.

    with DnsServer() as server:
        server.set("sampler.test", "10.0.0.1", "fd00::1")
        server.spoil("sampler.test", rcode="SERVFAIL", kind="AAAA")
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import TracebackType
from typing import Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tailring_testkit.ports import free_port

__all__ = ["DnsServer", "Question"]

_UDP_BYTES_MAX = 512  # of a client that does not say more (RFC 1035, 2.3.4)

_TCP_BYTES_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Question:
    """One question as it came in."""

    name: str
    kind: str
    tcp: bool


@dataclass(frozen=True, slots=True)
class _Fault:
    """How the answers to a name are spoiled; see `DnsServer.spoil`."""

    rcode: str = "NOERROR"
    kind: str = ""
    drop: bool = False
    cut: bool = False
    delay_s: float = 0.0
    tcp_too: bool = True

    def hits(self, question: Question) -> bool:
        if question.tcp and not self.tcp_too:
            return False
        return self.kind in ("", question.kind)


@dataclass(frozen=True, slots=True)
class _Records:
    """What a name holds; an alias is followed by the client's own records."""

    addresses: tuple[str, ...] = ()
    alias: str = ""
    services: tuple[str, ...] = ()


@dataclass(slots=True)
class _State:
    records: dict[str, _Records] = field(default_factory=dict)
    faults: dict[str, _Fault] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)


class DnsServer:
    """Use it as a context manager. `set` and the like may be called at any time."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port or free_port(host)
        self._state = _State()
        self._ready = threading.Event()
        self._failure: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="dns server")

    @property
    def nameservers(self) -> list[tuple[str, int]]:
        """This server, as `tailring_resolvers.Lookup` takes it."""
        return [(self.host, self.port)]

    def set(self, name: str, *addresses: str) -> None:
        """Let a name have these A and AAAA records; none: it exists without any."""
        self._state.records[_key(name)] = _Records(addresses)

    def set_services(self, name: str, *records: str) -> None:
        """Let a name have these SRV records: ``priority weight port target``."""
        self._state.records[_key(name)] = _Records(services=records)

    def alias(self, name: str, target: str) -> None:
        """Let a name be a CNAME of another one of this server."""
        self._state.records[_key(name)] = _Records(alias=_key(target))

    def remove(self, name: str) -> None:
        """Let a name be NXDOMAIN again."""
        self._state.records.pop(_key(name), None)

    def spoil(self, name: str, **fault: str | bool | float) -> None:
        """Answer questions for ``name`` wrongly, until `mend`.

        ``rcode`` ("SERVFAIL"), ``drop`` (no answer), ``cut`` (an empty truncated
        answer over UDP), ``delay_s``; of one ``kind`` ("AAAA") or of both; over TCP
        too unless ``tcp_too`` is false. The last call counts.
        """
        self._state.faults[_key(name)] = _Fault(**fault)  # type: ignore[arg-type]

    def mend(self, name: str) -> None:
        """Answer questions for ``name`` rightly again."""
        self._state.faults.pop(_key(name), None)

    def questions(self, name: str = "") -> list[Question]:
        """What was asked so far, of one name or of all."""
        asked = list(self._state.questions)
        return [one for one in asked if not name or one.name == _key(name)]

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure:
            self._thread.join()
            raise self._failure[0]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            transport, server = self._loop.run_until_complete(self._listen())
        except OSError as error:
            self._failure.append(error)
            self._loop.close()
            return
        finally:
            self._ready.set()
        self._loop.run_forever()
        transport.close()
        server.close()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _listen(self) -> tuple[asyncio.DatagramTransport, asyncio.Server]:
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _Udp(self._state), local_addr=(self.host, self.port)
        )
        server = await asyncio.start_server(self._serve_tcp, self.host, self.port)
        return transport, server

    async def _end(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    async def _serve_tcp(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                wire, delay_s = _answer(
                    self._state, await reader.readexactly(size), tcp=True
                )
                await asyncio.sleep(delay_s)
                if wire:
                    writer.write(len(wire).to_bytes(2, "big") + wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, state: _State) -> None:
        self._state = state

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        wire, delay_s = _answer(self._state, data, tcp=False)
        if wire:
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s, self._transport.sendto, wire, addr)


def _answer(state: _State, wire: bytes, *, tcp: bool) -> tuple[bytes, float]:
    """The answer, empty for none at all, and how long it takes."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return b"", 0.0
    asked = query.question[0]
    kind = dns.rdatatype.to_text(asked.rdtype)
    question = Question(_key(asked.name.to_text()), kind, tcp)
    state.questions.append(question)
    fault = state.faults.get(question.name, _Fault())
    if not fault.hits(question):
        fault = _Fault()
    if fault.drop:
        return b"", 0.0
    response = dns.message.make_response(query, recursion_available=True)
    if fault.cut and not tcp:
        response.flags |= dns.flags.TC
    elif fault.rcode != "NOERROR":
        response.set_rcode(dns.rcode.from_text(fault.rcode))
    else:
        _fill(response, state, question)
    return _to_wire(response, query, tcp=tcp), fault.delay_s


def _fill(response: dns.message.Message, state: _State, question: Question) -> None:
    name = question.name
    records = state.records.get(name)
    if records is not None and records.alias:
        alias = dns.rrset.from_text(f"{name}.", 1, "IN", "CNAME", f"{records.alias}.")
        response.answer.append(alias)
        name = records.alias
        records = state.records.get(name)
    if records is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
        return
    version = {"A": 4, "AAAA": 6}.get(question.kind, 0)
    fitting = [a for a in records.addresses if ip_address(a).version == version]
    if question.kind == "SRV":
        fitting = list(records.services)
    if fitting:
        rrset = dns.rrset.from_text(f"{name}.", 1, "IN", question.kind, *fitting)
        response.answer.append(rrset)


def _to_wire(
    response: dns.message.Message, query: dns.message.Message, *, tcp: bool
) -> bytes:
    if tcp:
        return response.to_wire(max_size=_TCP_BYTES_MAX)
    bytes_max = max(query.payload if query.edns >= 0 else 0, _UDP_BYTES_MAX)
    return response.to_wire(max_size=bytes_max, prefer_truncation=True)


def _key(name: str) -> str:
    return name.lower().removesuffix(".")
