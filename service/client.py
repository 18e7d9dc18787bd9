"""A client of the HTTP API, as small as the commands need it."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from service.trouble import Trouble

_PATIENCE_S = 60.0

#: A stream that lives says so every quarter of a minute.
_SILENCE_S = 60.0

#: A line of a stream is an event of up to 256 KiB, escaped once more.
_LONGEST_LINE = 2 * 1024 * 1024


class ApiError(Trouble):
    """What the API refused, in its own words. ``code`` is machine-readable; status 0: nobody answered."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """One of a stream: where in it this is, and the JSON that it says; without any it is a sign of life."""

    position: str | None
    says: Any = None


class Api:
    """One service, called as one publisher or customer. Paths begin with ``/api``."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def get(self, path: str, **query: str | int | None) -> Any:
        """Read something; a query member that is None is left out."""
        return await self._call("GET", path, params=_present(query))

    async def post(self, path: str, body: Any = None) -> Any:
        """Do something. ``body`` is sent as JSON; bytes are taken to be JSON already."""
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        return await self._call("POST", path, data=raw, headers={"Content-Type": "application/json"})

    async def patch(self, path: str, body: Any) -> Any:
        """Change something."""
        return await self._call("PATCH", path, json=body)

    async def delete(self, path: str) -> Any:
        """Remove something."""
        return await self._call("DELETE", path)

    async def stream(self, path: str, headers: Mapping[str, str], **query: str | int | None) -> AsyncIterator[Message]:
        """Follow server-sent events, each as it comes, until the service ends the stream."""
        forever = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE_S, sock_read=_SILENCE_S)
        async with self._answer("GET", path, params=_present(query), headers=headers, timeout=forever) as response:
            position, data = None, ""
            async for raw in response.content:
                name, _, value = raw.decode().rstrip("\r\n").partition(": ")
                match name:
                    case "id":
                        position = value
                    case "data":
                        data = value
                    case "":
                        yield Message(position, json.loads(data) if data else None)
                        data = ""

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        async with self._answer(method, path, **options) as response:
            text = await response.read()
            return json.loads(text) if text else None

    @asynccontextmanager
    async def _answer(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(method, self._url + path, **options) as response:
                if not response.ok:
                    raise await _refusal(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # nobody there, or the connection broke: the same to whoever called, and nothing that a traceback explains
            why = str(error) or type(error).__name__
            raise ApiError(0, "unreachable", f"No answer from {self._url}: {why}") from error


@asynccontextmanager
async def open_api(url: str, key: str | None = None) -> AsyncIterator[Api]:
    """Open a client. ``key`` is an API key or a token of ``/api/auth/login``."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=_LONGEST_LINE) as session:
        yield Api(session, url)


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    try:
        said = json.loads(await response.read())
        return ApiError(response.status, said["code"], said["error"])
    except (ValueError, KeyError, TypeError):  # something between us and the service answered instead of it
        return ApiError(response.status, "unexpected", f"{response.url} answered {response.status} {response.reason}")


def _present(query: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in query.items() if value is not None}


def batch_of(events: Iterable[bytes]) -> bytes:
    """Write the body of a batch from events that are JSON already, byte for byte.

    >>> batch_of([b'{"event": 1}', b'{"event": 2}'])
    b'{"events":[{"event": 1},{"event": 2}]}'
    """
    return b'{"events":[' + b",".join(events) + b"]}"
