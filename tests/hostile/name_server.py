"""A name server on loopback that answers as a test tells it to, and a resolver that asks it over the wire.

The service asks the machine's own resolver, which cannot be pointed to a port of this process: so the one of these
tests takes its place at the port that ``open_session`` has for it, and everything after it is the real thing.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
from aiohttp.abc import AbstractResolver, ResolveResult

#: What is said instead of an answer.
SILENCE = "silence"
GARBAGE = "garbage"
NO_SUCH_NAME = "NXDOMAIN"
BROKEN = "SERVFAIL"
REFUSED = "REFUSED"
_INSTEAD = (SILENCE, GARBAGE, NO_SUCH_NAME, BROKEN, REFUSED)

#: Records of an answer: addresses, or "-> name" for an alias; or one of the things that are said instead.
Records = Sequence[str] | str
_LARGEST_DATAGRAM = 512


@dataclass
class Zone:
    """The answers for each name: each lookup takes the next, the last one stays. Times to live are 0."""

    answers: Mapping[str, Sequence[Records]]
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, wire: bytes, *, whole: bool) -> bytes | None:
        """Answer a question; None: say nothing. What is too large for a datagram is cut, unless asked for ``whole``."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        records = self._next(name, kind)
        if records == SILENCE:
            return None
        if records == GARBAGE:
            return wire[:2] + b"\xff" * 20
        reply = dns.message.make_response(query)
        if isinstance(records, str):
            reply.set_rcode(dns.rcode.from_text(records))
        else:
            self._fill(reply, name, kind, records)
        text = reply.to_wire(max_size=65535)
        if not whole and len(text) > _LARGEST_DATAGRAM:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            text = reply.to_wire()
        return text

    def _next(self, name: str, kind: str) -> Records:
        turns = self.answers.get(name)
        if turns is None:
            return NO_SUCH_NAME
        earlier = self.asked.count((name, kind)) - 1
        return turns[min(earlier, len(turns) - 1)]

    def _fill(self, reply: dns.message.Message, name: str, kind: str, records: Sequence[str]) -> None:
        """Put in the records of this kind; an alias is followed here, as a server does for names of its own."""
        alias = next((record[3:] for record in records if record.startswith("-> ")), None)
        if alias is not None:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 0, "IN", "CNAME", f"{alias}."))
            beyond = self.answers.get(alias, [[]])[0]
            if not isinstance(beyond, str) and len(reply.answer) < len(self.answers) + 1:
                self._fill(reply, alias, kind, beyond)
            return
        version = {"A": 4, "AAAA": 6}[kind]
        wanted = [record for record in records if ip_address(record).version == version]
        if wanted:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 0, "IN", kind, *wanted))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        said = self._zone.answer(data, whole=False)
        if said is not None and self._transport is not None:
            self._transport.sendto(said, addr)


class WireResolver(AbstractResolver):
    """Asks a name server over the wire for both kinds of address, and fails as the machine's resolver does."""

    def __init__(self, port: int, patience_s: float) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = ["127.0.0.1"]
        self._resolver.port = port
        self._patience_s = patience_s

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            found = await self._resolver.resolve_name(host, family, lifetime=self._patience_s, search=False)
        except dns.resolver.NXDOMAIN as error:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from error
        except (dns.resolver.NoAnswer, dns.exception.DNSException) as error:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from error
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
            for address, kind in found.addresses_and_families()
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def naming(
    answers: Mapping[str, Sequence[Records]], *, patience_s: float = 5
) -> AsyncIterator[tuple[WireResolver, Zone]]:
    """Run a name server, over UDP and TCP as they are, and give a resolver that asks it."""
    zone = Zone(answers)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        said = zone.answer(await reader.readexactly(length), whole=True)
        if said is not None:
            writer.write(len(said).to_bytes(2) + said)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(zone), local_addr=("127.0.0.1", port)
    )
    try:
        yield WireResolver(port, patience_s), zone
    finally:
        transport.close()
        server.close()
