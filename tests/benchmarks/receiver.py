"""A receiver that costs next to nothing: answers every request on a connection with 200, and counts them.

``python -m tests.benchmarks.receiver`` prints its port, then, for each line on its standard input, its count so far.
"""

import asyncio
import sys
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_END_OF_HEADERS = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Receiver(asyncio.Protocol):
    """One connection; requests have a Content-Length, as ours have."""

    count = 0

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own class says nothing of its kind

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._end_of_request()) is not None:
            self._buffer = self._buffer[end:]
            Receiver.count += 1
            assert self._transport is not None
            self._transport.write(_ANSWER)

    def _end_of_request(self) -> int | None:
        head = self._buffer.find(_END_OF_HEADERS)
        if head < 0:
            return None
        start = self._buffer[:head].lower().index(_LENGTH) + len(_LENGTH)
        length = int(self._buffer[start : self._buffer.index(b"\r\n", start)])
        end = head + len(_END_OF_HEADERS) + length
        return end if len(self._buffer) >= end else None


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(Receiver.count, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
