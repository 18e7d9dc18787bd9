"""tagtog's documents API, as far as it is read here. Nothing is ever changed there."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter

from consumers.sources.remote import Answer, MalformedError, Remote, expected
from consumers.sources.system import Place
from consumers.sources.tagtog.ann import Ann, Document, names_of, text_of
from consumers.sources.tagtog.push import MASTER, Login

_DOCUMENTS = ("-api", "documents", "v1")
_LEGEND = ("-api", "settings", "v1", "annotationsLegend")

#: There is no next page.
_LAST = -1

#: How it may be said that a document is not there: tagtog's pages do not tell.
_GONE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})

Name = Annotated[str, Field(min_length=1)]


class _Document(BaseModel):
    id: Name
    updated: str


class _Pages(BaseModel):
    next: int


class _Found(BaseModel):
    total: int = Field(alias="totalFound")
    pages: _Pages
    docs: tuple[_Document, ...]


_FOUND = TypeAdapter(_Found)
_ANN = TypeAdapter(Ann)
_NAMES = TypeAdapter(dict[str, str])
_MOMENT = TypeAdapter(AwareDatetime)


class GoneError(Exception):
    """A document that was there a moment ago, or never was."""


class TagtogApi:
    """One project."""

    def __init__(self, place: Place, owner: str, project: str, login: Login) -> None:
        self._remote = Remote(place.session, place.url, headers={"Accept": "*/*", "Authorization": login.header})
        self._project = {"owner": owner, "project": project}

    async def count(self) -> int:
        """Return how many documents there are."""
        return (await self._page("*", 0)).total

    async def search(self, query: str) -> Sequence[Document]:
        """Find documents, each once, from all pages."""
        found: dict[str, Document] = {}
        page = 0
        while page != _LAST:
            answer = await self._page(query, page)
            found |= {one.id: Document(one.id, _moment(one.updated), one.updated) for one in answer.docs}
            if answer.pages.next != _LAST and answer.pages.next <= page:
                raise MalformedError(f"A search says that page {answer.pages.next} comes after page {page}")
            page = answer.pages.next
        return list(found.values())

    async def ann(self, docid: str, member: str) -> Ann | None:
        """Read a member's version of a document's annotations; None: they have none of their own.

        Raises:
            GoneError: there is no such document.
        """
        theirs = {} if member == MASTER else {"member": member}
        answer = await self._document(docid, "ann.json", theirs)
        if theirs and "Warning" in answer.headers:  # it is the default version that comes instead
            return None
        return answer.read(_ANN)

    async def text(self, docid: str, parts: Sequence[str]) -> str:
        """Read a document's text.

        Raises:
            GoneError: there is no such document.
        """
        answer = await self._document(docid, "plain.html", {})
        try:
            return text_of(parts, answer.text)
        except KeyError as error:  # between the two answers it became another one, or it is none at all
            raise MalformedError(f"The plain.html of document {docid} has no part {error}") from error

    async def names(self) -> dict[str, str]:
        """Read what the labels are called, by their ids."""
        answer = await self._remote.get(*_LEGEND, params=self._project)
        legend = expected(answer).read(_NAMES)
        return names_of(legend)

    async def _page(self, query: str, page: int) -> _Found:
        answer = await self._remote.get(*_DOCUMENTS, params=self._project | {"search": query, "page": page})
        return expected(answer).read(_FOUND)

    async def _document(self, docid: str, output: str, more: dict[str, str]) -> Answer:
        params = self._project | {"ids": docid, "output": output} | more
        answer = await self._remote.get(*_DOCUMENTS, params=params)
        if answer.status in _GONE:
            raise GoneError(docid)
        return expected(answer)


def _moment(text: str) -> datetime:
    try:
        return _MOMENT.validate_python(text)
    except ValueError as error:
        raise MalformedError(f'A search says that a document was updated at "{text[:40]}"') from error
