"""Connections of clients: how long they may take and how much they may say, and the answer to what is no request.

What aiohttp's own settings bound is set here; what they leave open, a head that never ends and a reader that never
reads, is bounded by ``Connection``.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.web_request import BaseRequest

from service.failures import failure, of_framework
from service.headers import protect
from service.observability import REQUESTS

_log = structlog.get_logger("hookline")

#: What is said to those who are not understood, by status.
_WORDS = {
    400: ("bad_request", "This is not a request that HTTP/1.1 knows"),
    408: ("request_timeout", "The request took too long"),
    500: ("internal_error", "An unexpected error occurred"),
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long clients may take, in seconds.

    ``head`` from the first byte of a request to the end of its headers; ``idle`` until the first byte, of a new
    connection or after an answer, longer than proxies keep theirs; ``answer`` to read what they asked for; ``rest`` to
    send what is left of a body that was refused, so that they get to read why.
    """

    head: float = 15.0
    idle: float = 75.0
    answer: float = 60.0
    rest: float = 2.0


USUAL = Patience()

#: Bytes of the request line and of one header with its name, and how many headers there may be.
_LONGEST_LINE = 8190
_MOST_HEADERS = 64


class Connection(web.RequestHandler):
    """One connection, with limits to everything that a client can draw out."""

    __slots__ = ("_due", "_patience")

    def __init__(self, manager: web.Server, patience: Patience) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # how aiohttp is told that there is none
            auto_decompress=False,
            keepalive_timeout=patience.idle,
            lingering_time=patience.rest,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )
        self._patience = patience
        self._due: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take what came; from the first byte of a head on, time runs until it is complete."""
        super().data_received(data)
        if not self._between_requests:
            self._stop_the_clock()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._patience.head, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._stop_the_clock()
        super().connection_lost(exc)

    @property
    def _between_requests(self) -> bool:
        """Whether no request is being answered or waits to be, as far as heads that are complete can tell."""
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    def _stop_the_clock(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.write(_too_late())
        self.force_close()

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, to those who read it."""
        if isinstance(resp, web.HTTPException):  # raised before any middleware was asked
            resp = of_framework(resp)
        try:
            async with asyncio.timeout(self._patience.answer):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:  # they asked and do not listen: what is left of the answer is let go
            if self.transport is not None:
                self.transport.abort()
            return resp, True

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's own words, which may quote what came
    ) -> web.StreamResponse:
        """Answer what no application was asked: bytes that are no request, and whatever slipped through every net."""
        if request.writer.output_size > 0:
            raise ConnectionError("An answer was begun already")
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:  # the error quotes what came, keys and all
            _log.debug("http.broken", status=status, remote=request.remote, error=type(exc).__name__)
        else:
            _log.error("http.failed", status=status, remote=request.remote, exc_info=exc)
        REQUESTS.labels("other", "unmatched", status).inc()
        answer = failure(status, *_WORDS.get(status, _WORDS[500]))
        protect(answer, https=False)
        answer.force_close()
        return answer


def _too_late() -> bytes:
    """Write the answer to a head that did not end; there is no request yet that it could be the answer to."""
    answer = failure(408, *_WORDS[408])
    protect(answer, https=False)
    body = answer.body
    assert isinstance(body, bytes)
    lines = {**answer.headers, "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 408 Request Timeout\r\n{head}\r\n".encode() + body
