"""tagtog, as far as our source asks it: a project whose documents are saved when a test says so."""

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

from aiohttp import web

from delivery.ports import Clock

OWNER, PROJECT = "ada", "travel"
LOGIN = {"username": "ada", "password": "the-password"}
LEGEND = {"e_1": "PLACE", "e_3": "PERSON", "m_2": "sentiment"}

_PAGE = 50
_UPDATED = re.compile(r"updated:\[(\S+) TO NOW\]")


def predicted(start: int, text: str, label: str = "e_1", prob: float = 0.9, **confidence: Any) -> dict[str, Any]:
    """An entity as a model puts it in."""
    sure = {"state": "pre-added", "who": ["ml:model-a"], "prob": prob} | confidence
    offsets = [{"start": start, "text": text}]
    entity = {"classId": label, "part": "s1p1", "offsets": offsets, "confidence": sure}
    return entity | {"fields": {}, "normalizations": {}}


def by_hand(start: int, text: str, label: str = "e_1", user: str = "dana") -> dict[str, Any]:
    """An entity as a person marks it."""
    return predicted(start, text, label, prob=1, state="", who=[f"user:{user}"])


def meta(value: Any, **confidence: Any) -> dict[str, Any]:
    """A label of the document as a model puts it in."""
    return {"value": value, "confidence": {"state": "pre-added", "who": ["ml:model-a"], "prob": 0.8} | confidence}


def ann(*entities: dict[str, Any], anncomplete: bool = False, **metas: dict[str, Any]) -> dict[str, Any]:
    """An ann.json of a document with a heading and a paragraph."""
    return {
        "annotatable": {"parts": ["s1h1", "s1p1"]},
        "anncomplete": anncomplete,
        "sources": [],
        "metas": metas,
        "entities": list(entities),
        "relations": [],
    }


@dataclass
class Document:
    """What is kept of one; ``versions`` by member."""

    title: str
    text: str
    created: str
    updated: str
    versions: dict[str, dict[str, Any]]

    @property
    def plain_html(self) -> str:
        return (
            '<!DOCTYPE html><html id="d" data-origid="d"><head><meta charset="UTF-8"/><title>d</title></head>'
            f'<body><article><section data-type="title"><h2 id="s1h1">{escape(self.title)}</h2></section>'
            f'<section><p id="s1p1">{escape(self.text)}</p></section></article></body></html>'
        )


@dataclass
class Tagtog:
    """One project.

    ``answers`` are what it says instead of anything, by what is asked: ``search``, ``ann.json``, ``plain.html``,
    ``legend``, or the id of a document. ``unindexed`` are documents that no search finds yet.
    ``asked`` is what was asked, in order.
    """

    clock: Clock
    url: str = ""
    documents: dict[str, Document] = field(default_factory=dict)
    legend: dict[str, str] = field(default_factory=lambda: dict(LEGEND))
    answers: dict[str, web.Response] = field(default_factory=dict)
    unindexed: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    def save(self, docid: str, content: dict[str, Any], member: str = "master", **text: str) -> None:
        """Let a version of a document be imported or saved."""
        now = _written(self.clock.now())
        old = self.documents.get(docid)
        versions = (old.versions if old else {}) | {member: content}
        title = text.get("title", "News")
        body = text.get("text", old.text if old else "Ada flew from New York to Paris & back")
        self.documents[docid] = Document(title, body, old.created if old else now, now, versions)

    # -- routes --------------------------------------------------------------------------------------------------------

    async def read(self, request: web.Request) -> web.Response:
        if "search" in request.query:
            return self._instead("search") or self._search(request.query["search"], int(request.query.get("page", 0)))
        docid = request.query["ids"]
        document = self.documents.get(docid)
        output = request.query["output"]
        if (instead := self._instead(docid) or self._instead(output)) is not None:
            return instead
        if document is None:
            return web.Response(status=404, text="No such document")
        if output == "plain.html":
            return web.Response(text=document.plain_html, content_type="text/html")
        member = request.query.get("member") or "master"
        own = document.versions.get(member)
        headers = {} if own else {"Warning": f'199 - "{member} has no version of their own"'}
        return web.json_response(own or document.versions["master"], headers=headers)

    async def show_legend(self, _request: web.Request) -> web.Response:
        return self._instead("legend") or web.json_response(self.legend)

    def _instead(self, what: str) -> web.Response | None:
        self.asked.append(what)
        given = self.answers.get(what)
        if given is None:
            return None
        kept = {name: given.headers[name] for name in ("Retry-After",) if name in given.headers}
        return web.Response(status=given.status, body=given.body, headers=kept)

    def _search(self, query: str, page: int) -> web.Response:
        self.queries.append(query)
        since = _UPDATED.fullmatch(query)
        if since is None and query != "*":
            return web.Response(status=400, text=f"Cannot parse {query}")
        indexed = [(name, one) for name, one in self.documents.items() if name not in self.unindexed]
        found = [(name, one) for name, one in indexed if since is None or one.updated >= since[1]]
        shown = found[page * _PAGE : (page + 1) * _PAGE]
        last = max(0, (len(found) - 1) // _PAGE)
        return web.json_response(
            {
                "version": "1",
                "search": query,
                "totalFound": len(found),
                "pages": {
                    "current": page,
                    "previous": page - 1,
                    "next": page + 1 if page < last else -1,
                    "numPages": last + 1,
                    "pageSize": _PAGE,
                },
                "docs": [_listed(name, one) for name, one in shown],
            }
        )


def _listed(name: str, one: Document) -> dict[str, Any]:
    complete = [member for member, version in one.versions.items() if version["anncomplete"]]
    return {
        "id": name,
        "filename": f"{name}.txt",
        "header": one.title,
        "created": one.created,
        "updated": one.updated,
        "anncomplete": "master" in complete,
        "members_anncomplete": [member for member in complete if member != "master"],
        "members_assigned": [],
        "folder": "pool",
    }


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@web.middleware
async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse strangers, and know no other project."""
    expected = base64.b64encode(f"{LOGIN['username']}:{LOGIN['password']}".encode()).decode()
    if request.headers.get("Authorization") != f"Basic {expected}":
        return web.Response(status=401, text="Unauthorized")
    if (request.query.get("owner"), request.query.get("project")) != (OWNER, PROJECT):
        return web.Response(status=404, text="No such project")
    return await handler(request)  # type: ignore[no-any-return] # aiohttp's own word for a handler


@asynccontextmanager
async def open_tagtog(clock: Clock) -> AsyncIterator[Tagtog]:
    """Run one while the block is open; ``clock`` is the one that it goes by."""
    tagtog = Tagtog(clock)
    app = web.Application(middlewares=[_guarded])
    app.router.add_get("/-api/documents/v1", tagtog.read)
    app.router.add_get("/-api/settings/v1/annotationsLegend", tagtog.show_legend)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tagtog.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield tagtog
    finally:
        await runner.cleanup()
