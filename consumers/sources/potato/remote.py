"""Asking a Potato: with the admin key, and with an adjudicator's login."""

import asyncio
import io
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
from pydantic import TypeAdapter

from consumers.sources.potato.answers import (
    Adjudication,
    Annotators,
    Decided,
    Decision,
    Decisions,
    History,
    Instances,
    Overview,
    Page,
    Queue,
    States,
    SystemState,
    UserState,
)
from consumers.sources.remote import AccessRefusedError, Answer, MalformedError, Remote, expected

T = TypeVar("T")

#: How large a file in the archive may be.
_MOST_BYTES = 32 * 1024 * 1024

#: How much of an archive is unpacked, in bytes: what is small when packed may be large.
_MOST_UNPACKED = 1024**3

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

_OVERVIEW = TypeAdapter(Overview)
_ANNOTATORS = TypeAdapter(Annotators)
_HISTORY = TypeAdapter(History)
_INSTANCES = TypeAdapter(Instances)
_PAGE = TypeAdapter(Page)
_USER_STATE = TypeAdapter(UserState)
_SYSTEM_STATE = TypeAdapter(SystemState)
_ADJUDICATION = TypeAdapter(Adjudication)
_DECISIONS = TypeAdapter(Decisions)
_QUEUE = TypeAdapter(Queue)
_DECIDED = TypeAdapter(Decided)


class Potato:
    """A Potato server, with the admin key; with an adjudicator's login, if there is one."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, key: str, adjudicator: str = "", password: str = ""
    ) -> None:
        self._remote = Remote(session, url, headers={"X-API-Key": key})
        self._login = {"email": adjudicator, "pass": password} if adjudicator else None
        self._cookie = ""

    async def overview(self) -> Overview:
        """Ask how much there is."""
        return await self._admin(_OVERVIEW, "api", "overview")

    async def users(self) -> Sequence[str]:
        """List whoever has an account."""
        found = await self._admin(_ANNOTATORS, "api", "annotators")
        return [annotator.user_id for annotator in found.annotators]

    async def history(self, user: str, item: str = "") -> History | None:
        """Ask what a user did last, to one item or at all; None: there is no such user."""
        which = {"user_id": user} | ({"instance_id": item} if item else {})
        answer = await self._remote.get("admin", "api", "annotation_history", params=which)
        return None if answer.status == HTTPStatus.NOT_FOUND else _admitted(answer).read(_HISTORY)

    async def states(self, user: str) -> States:
        """Ask for all that a user has annotated."""
        found = await self._admin(_USER_STATE, "user_state", user)
        return found.annotations.by_instance

    async def texts(self) -> Mapping[str, str]:
        """Ask for all items' texts."""
        return {item.id: item.text for item in (await self._admin(_INSTANCES, "all_instances")).items}

    async def types(self) -> Mapping[str, str]:
        """Ask for the type of each schema."""
        found = await self._admin(_SYSTEM_STATE, "system_state")
        return {scheme.name: scheme.annotation_type for scheme in found.config.annotation_schemes}

    async def count(self, completion: str) -> int:
        """Ask how many items are ``completed`` or ``incomplete``: have as many annotations as they are to have."""
        which: Mapping[str, str | int] = {"filter_completion": completion, "page": 1, "page_size": 1}
        return (await self._admin(_PAGE, "api", "instances", params=which)).pagination.total_instances

    async def adjudication(self) -> Adjudication:
        """Ask how far adjudication is. A server too old for it has none."""
        answer = await self._remote.get("admin", "api", "adjudication")
        return Adjudication() if answer.status == HTTPStatus.NOT_FOUND else _admitted(answer).read(_ADJUDICATION)

    # -- adjudication --------------------------------------------------------------------------------------------------

    async def logged_in(self) -> bool:
        """Log in as the adjudicator, if one is known, and see that it is one.

        Raises:
            AccessRefusedError: the login is not accepted, or nobody may adjudicate with it.
        """
        if self._login is None:
            return False
        await self._adjudicated("queue", params={"status": "completed"})
        return True

    @property
    def has_adjudicator(self) -> bool:
        """Whether decisions can be asked for one by one."""
        return self._login is not None

    async def decided(self) -> Sequence[str]:
        """List the items with a decision, as the adjudicator."""
        answer = await self._adjudicated("queue", params={"status": "completed"})
        return [item.instance_id for item in answer.read(_QUEUE).items]

    async def decision(self, item: str) -> Decision | None:
        """Ask for the decision on an item, as the adjudicator."""
        return (await self._adjudicated("item", item)).read(_DECIDED).decision

    async def archived_decisions(self) -> Sequence[Decision]:
        """Read all decisions in the archive of the server's output; none if nobody has decided yet."""
        answer = await self._remote.get("admin", "api", "data", "archive")
        body = await asyncio.to_thread(_in_archive, _admitted(answer), "adjudication/decisions.json")
        return [] if body is None else replace(answer, body=body).read(_DECISIONS).decisions

    async def _adjudicated(self, *path: str, **how: Any) -> Answer:
        if not self._cookie:
            self._cookie = await self._entered()
        answer = await self._remote.get("adjudicate", "api", *path, headers={"Cookie": self._cookie}, **how)
        if answer.status in _REFUSALS:
            raise AccessRefusedError(f"{answer.what} may not be asked by this adjudicator ({answer.status})")
        return expected(answer)

    async def _entered(self) -> str:
        """Log in; return the cookie. A login that is refused is answered by a page, and by 200."""
        answer = await self._remote.ask("POST", "auth", data=self._login)
        cookies = [text.split(";", 1)[0] for text in answer.headers.getall("Set-Cookie", [])]
        if answer.status != HTTPStatus.FOUND or not cookies:
            raise AccessRefusedError(f"{answer.what} refused the adjudicator's login ({answer.status})")
        return "; ".join(cookies)

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _admin(self, shape: TypeAdapter[T], *path: str, **how: Any) -> T:
        return _admitted(await self._remote.get("admin", *path, **how)).read(shape)


def _admitted(answer: Answer) -> Answer:
    if answer.status in _REFUSALS:  # Potato says 403 of a wrong key
        raise AccessRefusedError(f"{answer.what} refused the API key ({answer.status})")
    return expected(answer)


def _in_archive(answer: Answer, end: str) -> bytes | None:
    """Take a file out of a tar archive by the end of its name.

    Raises:
        MalformedError: it is no archive, or the file is too large.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:gz") as archive:
            for member in archive:
                if member.offset_data > _MOST_UNPACKED:
                    raise MalformedError(f"{answer.what} holds more than {_MOST_UNPACKED:,} bytes, unpacked")
                if member.isfile() and member.name.endswith(end):
                    return _content(archive, member, answer.what)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:  # half of one, or something else
        raise MalformedError(f"{answer.what} answered what is no archive") from error
    return None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, what: str) -> bytes:
    file = archive.extractfile(member)
    if file is None or member.size > _MOST_BYTES:
        raise MalformedError(f"{what} holds a {member.name[:200]} of more than {_MOST_BYTES:,} bytes")
    return file.read()
