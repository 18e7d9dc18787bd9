"""Dead letters, for operators: why each could not be used, and back onto the bus with it, mended where it was wrong."""

import re
from typing import Any, Literal
from urllib.parse import urlencode

from aiohttp import web

from consumers.health import BusUnavailable
from delivery.domain.envelope import MOST_BYTES
from delivery.domain.errors import InvalidEvent, InvalidInput
from service.api import dead_letters as letters
from service.api.calls import Call, fields
from service.api.dead_letters import DeadLetterInFull, Requeue
from service.api.shapes import PageQuery
from service.dashboard.pages import see, show
from service.failures import refused, unavailable

#: What a form does not bring back as it was.
_LOST_IN_FORMS = "\0"


class ListQuery(PageQuery):
    """Which part of the list, and what was done just before."""

    said: Literal["requeued", "discarded"] | None = None


async def browse(call: Call[ListQuery]) -> web.Response:
    """All of them, newest first."""
    which = PageQuery(limit=call.asked.limit, cursor=call.asked.cursor)
    found = await letters.browse(Call(call.request, call.runtime, which))
    older = found.next and urlencode({"cursor": found.next})
    return show(call, "dead_letters", found=found, older=older, said=call.asked.said)


async def find(call: Call[None]) -> web.Response:
    """One of them."""
    return _page(call, await letters.find(call))


async def requeue(call: Call[None]) -> web.Response:
    """Publish it again: as it came, or as somebody has mended it."""
    letter = await letters.find(call)
    typed = (await fields(call.request)).get("body")
    try:
        wanted = Requeue(body=_edit(letter, typed))
        await letters.requeue(Call(call.request, call.runtime, wanted))
    except (InvalidEvent, InvalidInput) as error:  # people read it where they typed
        return _page(call, letter, typed, error.message, refused(call.request, error))
    except BusUnavailable as error:  # and what they typed is not lost by it
        return _page(call, letter, typed, f"The bus is away: {error}. Try again in a moment.", unavailable(str(error)))
    return see("/dead-letters?said=requeued")


async def discard(call: Call[None]) -> web.Response:
    """Delete it for good."""
    await letters.discard(call)
    return see("/dead-letters?said=discarded")


def _edit(letter: DeadLetterInFull, typed: str | None) -> str | None:
    """What is to be published in the place of the body; None: the body itself, byte for byte.

    Raises:
        InvalidInput: an empty one, or one for a body that cannot be edited.
    """
    if typed is None or _lines(typed) == _lines(letter.body):
        return None
    if not _is_editable(letter):
        raise InvalidInput("invalid_payload", "This body cannot be edited: requeue it as it is", field="body")
    if not typed.strip():
        raise InvalidInput("invalid_payload", "There is nothing to publish. Discard the letter instead", field="body")
    return _lines(typed)


def _is_editable(letter: DeadLetterInFull) -> bool:
    """Whether it is a text that a form brings back as it is, and no longer than any message that can be used."""
    return letter.encoding == "utf-8" and letter.size <= MOST_BYTES and _LOST_IN_FORMS not in letter.body


def _lines(text: str) -> str:
    """A text with one kind of line ends: browsers send all of them as CR LF."""
    return re.sub("\r\n?", "\n", text)


def _page(
    call: Call[Any],
    letter: DeadLetterInFull,
    typed: str | None = None,
    problem: str | None = None,
    answer: web.Response | None = None,
) -> web.Response:
    page = show(
        call,
        "dead_letter",
        status=answer.status if answer else 200,
        letter=letter,
        editable=_is_editable(letter),
        typed=letter.body if typed is None else typed,
        most=MOST_BYTES,
        problem=problem,
    )
    if answer and "Retry-After" in answer.headers:
        page.headers["Retry-After"] = answer.headers["Retry-After"]
    return page
