"""Asking an annotation tool over HTTP, through the guarded client, and telling apart how that can fail."""

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDictProxy
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from delivery.destinations.journey import request
from delivery.destinations.session import BlockedAddressError
from delivery.domain.errors import Unprocessable

T = TypeVar("T")

#: How long an answer may take, in seconds, and how large it may be.
_PATIENCE_S = 30.0
_MOST_BYTES = 16 * 1024 * 1024

_CHUNK = 64 * 1024


class SourceTroubleError(Exception):
    """Why a source cannot be asked, in words for people."""


class UnreachableError(SourceTroubleError):
    """It is away, or asks for fewer requests: try again. ``after_s``: not before so many seconds."""

    def __init__(self, message: str, *, after_s: float = 0) -> None:
        super().__init__(message)
        self.after_s = after_s


class AccessRefusedError(SourceTroubleError):
    """It does not accept the credentials."""


class MisconfiguredError(SourceTroubleError):
    """What the settings name is not there, or must not be asked."""


class MalformedError(SourceTroubleError):
    """It answered what is not as it should be: not JSON, or a member is missing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system answered. ``what`` names the request in messages, without its query.

    ``quotable``: what it says may be shown. It may repeat the query, in which some systems want their credentials.
    """

    what: str
    quotable: bool
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever bytes it holds."""
        return self.body.decode(errors="replace")

    def read(self, shape: TypeAdapter[T]) -> T:
        """Read the body as JSON of a shape.

        Raises:
            MalformedError: it is not.
        """
        try:
            return shape.validate_python(json.loads(self.body))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "the whole"
            raise MalformedError(f"{self.what} answered something unexpected: {where}: {first['msg']}") from error
        except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
            raise MalformedError(f"{self.what} answered what is not JSON") from error


class Remote:
    """A system at its base URL."""

    def __init__(self, session: aiohttp.ClientSession, base: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._session = session
        self._base = base.rstrip("/")
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity"} | dict(headers or {})

    async def get(self, *path: str, params: Mapping[str, str | int] | None = None, **how: Any) -> Answer:
        """Ask for something; ``path`` are segments, in which every character is allowed."""
        return await self.ask("GET", *path, params=params, **how)

    async def ask(
        self,
        method: str,
        *path: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Answer:
        """Make one request, sending ``json=…`` or ``data=…``, and take in its answer: any below 500, but 429.

        Raises:
            UnreachableError: no answer, or one that says to come again later.
            MisconfiguredError: the address may not be called.
            MalformedError: the answer is too large.
        """
        route = "/".join(quote(segment, safe="") for segment in path)
        url = URL(f"{self._base}/{route}", encoded=True)
        what = f"{method} {url.path}"
        how["headers"] = self._headers | dict(headers or {})
        try:
            async with asyncio.timeout(_PATIENCE_S):
                async with await request(self._session, method, url.with_query(params), **how) as response:
                    body = await _received(response, what)
        except (BlockedAddressError, Unprocessable) as error:
            raise MisconfiguredError(f"{self._base} may not be called: {error}") from error
        except TimeoutError as error:  # asyncio's, or the socket's
            raise UnreachableError(f"{what} did not answer within {_PATIENCE_S:g} seconds") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error.__cause__, BlockedAddressError):
                raise MisconfiguredError(f"{self._base} may not be called: {error.__cause__}") from error
            raise UnreachableError(f"{what} got no answer: {_said(error)}") from error
        return _reachable(Answer(what, not params, response.status, response.headers, body))


def _said(error: Exception) -> str:
    """What an error says of itself, without the query of the URL, in which some systems want their credentials."""
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return said or type(error).__name__


async def _received(response: aiohttp.ClientResponse, what: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > _MOST_BYTES:
            raise MalformedError(f"{what} answered more than {_MOST_BYTES:,} bytes")
    return bytes(body)


def _reachable(answer: Answer) -> Answer:
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise UnreachableError(
            f"{answer.what} asks for fewer requests (429)", after_s=_seconds(answer.headers.get("Retry-After", ""))
        )
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnreachableError(f"{answer.what} answered {answer.status}")
    return answer


def _seconds(text: str) -> float:
    """Read a number of seconds; of anything else, nothing is believed.

    >>> _seconds("7"), _seconds("Fri, 31 Dec 1999 23:59:59 GMT"), _seconds("nan")
    (7.0, 0.0, 0.0)
    """
    try:
        value = float(text)
    except ValueError:  # a date, which means the same wait as none: the usual one
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def expected(answer: Answer) -> Answer:
    """Pass on a success; say of anything else what it means where a system has no rules of its own.

    Raises:
        AccessRefusedError: 401.
        MisconfiguredError: a redirect, or any other refusal.
    """
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise AccessRefusedError(f"{answer.what} refused the credentials (401)")
    if answer.status < HTTPStatus.BAD_REQUEST:
        target = f" to {answer.headers.get('Location', '')[:200]}" if answer.quotable else ""
        raise MisconfiguredError(f"{answer.what} answered a redirect{target}; give the final address")
    said = f": {answer.text[:200]}" if answer.quotable and answer.body else ""
    raise MisconfiguredError(f"{answer.what} answered {answer.status}{said}")
