"""A way to a server of this machine that can go wrong: fall silent without a word, break, lead somewhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 64 * 1024


class Proxy:
    """Carries connections to ``target``, a port of 127.0.0.1; each new connection goes to what it is then."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._carried: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._forsaken: list[asyncio.StreamWriter] = []

    def forsake(self) -> None:
        """Carry nothing more over the connections that there are, and close none of them: each end waits for ever."""
        for pump, writer in self._carried.items():
            pump.cancel()
            self._forsaken.append(writer)
        self._carried.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Listen while the block is open."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            pumps = list(self._carried)
            self.forsake()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in self._forsaken:
                writer.close()

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # nobody there now: the client learns it as it would without us
            to_client.close()
            return
        self._carry(client, to_server)
        self._carry(server, to_client)

    def _carry(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        pump = asyncio.create_task(_pump(source, to))
        self._carried[pump] = to
        pump.add_done_callback(lambda ended: self._carried.pop(ended, None))


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # one end broke: the other end is closed, as it would be without us
        while chunk := await source.read(_CHUNK):
            to.write(chunk)
            await to.drain()
    to.close()
