"""A Potato as far as its admin API, its annotators and its adjudicators are concerned, on 127.0.0.1, with a state.

What it answers is a part of what a real 2.12.1 answers: ``tests/consumers/sources/test_potato_fake.py`` holds it to
that. As 2.8.0 (``forgetful``) it loses its history when it is started again.
"""

import io
import json
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from aiohttp import web

KEY = "potato-admin-key-for-tests"
ADJUDICATOR = "adjudicator"

ITEMS = {
    "item_001": "This product is absolutely fantastic, exceeded all my expectations!",
    "item_002": "Book a flight from New York to Paris for Alice Johnson on March 5th.",
    "item_003": "The delivery was late and the box was damaged.",
}
SCHEMES = [
    {"name": "sentiment", "annotation_type": "radio", "labels": ["positive", "neutral", "negative"]},
    {"name": "entities", "annotation_type": "span", "labels": ["PERSON", "LOCATION"]},
]

_CAP = 100

State = dict[str, Any]


@dataclass
class User:
    """Somebody who annotates: states by item, and what was done."""

    states: dict[str, State] = field(default_factory=dict)
    actions: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class FakePotato:
    """The server. ``faults`` are answers by the beginning of a path, given instead of any other."""

    url: str = ""
    items: dict[str, str] = field(default_factory=lambda: dict(ITEMS))
    schemes: list[dict[str, Any]] = field(default_factory=lambda: list(SCHEMES))
    required: int = 2
    forgetful: bool = False
    adjudication: bool = True
    users: dict[str, User] = field(default_factory=dict)
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, Callable[[], web.Response]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    done: int = 0
    now: datetime = datetime(2026, 11, 23, 20, 43, 56)  # noqa: DTZ001 - Potato's times have no zone

    # -- what people do ------------------------------------------------------------------------------------------------

    def annotates(
        self, user: str, item: str, labels: Mapping[str, Any], spans: list[dict[str, Any]] | None = None
    ) -> None:
        """Save, as a browser does: all labels of a schema that is mentioned are replaced."""
        state = self._user(user).states.setdefault(item, {})
        for schema in {name.split(":", 1)[0] for name in labels}:
            for name in [name for name in state if name.startswith(f"Label(schema:{schema}, ")]:
                del state[name]
        for whole, value in labels.items():
            schema, name = whole.split(":", 1)
            if value == "":  # an emptied field is no action
                continue
            state[f"Label(schema:{schema}, name:{name})"] = value
            self._acts(user, item, {"action_type": "add_label", "schema_name": schema, "label_name": name}, value)
        for span in spans or []:
            self._marks(user, item, state, span)

    def _marks(self, user: str, item: str, state: State, span: Mapping[str, Any]) -> None:
        schema, name, start, end = (span[member] for member in ("schema", "name", "start", "end"))
        whole = f"SpanAnnotation(schema:{schema}, name:{name}, start:{start}, end:{end}, id:{_span_id(span)})"
        if span["value"] is None:  # a span that is taken away is no action
            state.pop(whole, None)
            return
        state[whole] = span["value"]
        self._acts(user, item, {"action_type": "add_span", "schema_name": schema, "label_name": name}, span["value"])

    def decides(self, item: str, **decision: Any) -> None:
        """Adjudicate an item."""
        empty = {"label_decisions": {}, "span_decisions": [], "source": {}, "notes": "", "time_spent_ms": 0}
        told = {"instance_id": item, "adjudicator_id": ADJUDICATOR, "timestamp": self._tick()}
        self.decisions[item] = empty | decision | told

    def restarts(self) -> None:
        """Start again."""
        for user in self.users.values():
            user.actions = [] if self.forgetful else user.actions

    def _user(self, name: str) -> User:
        return self.users.setdefault(name, User())

    def _tick(self) -> str:
        self.now += timedelta(milliseconds=1, microseconds=7)
        return self.now.isoformat()

    def _acts(self, user: str, item: str, what: Mapping[str, Any], value: Any) -> None:
        self.done += 1
        action = {
            "action_id": str(UUID(int=self.done)),
            "old_value": None,
            "new_value": value,
            "timestamp": self._tick(),
            "server_processing_time_ms": 1,
            "metadata": {"ip_address": "127.0.0.1"},
        }
        self.users[user].actions.append({"user_id": user, "instance_id": item, **what, **action})

    # -- what it answers -----------------------------------------------------------------------------------------------

    async def overview(self, _request: web.Request) -> web.Response:
        figures = {"total_items": len(self.items), "total_users": len(self.users)}
        return _json({"config": {"annotation_task_name": "Hookline Potato Fixture"}, "overview": figures})

    async def annotators(self, _request: web.Request) -> web.Response:
        return _json({"annotators": [{"user_id": name} for name in self.users], "total_annotators": len(self.users)})

    async def history(self, request: web.Request) -> web.Response:
        name, item = request.query.get("user_id"), request.query.get("instance_id")
        if name is not None and name not in self.users:
            return _json({"error": f"User {name} not found"}, 404)
        if not request.query.get("minutes", "1").isdigit():
            return _json({"error": "Invalid minutes parameter"}, 400)
        chosen = self.users.values() if name is None else [self.users[name]]
        actions = [action for user in chosen for action in user.actions if item in (None, action["instance_id"])]
        return _json({"context": name or "all_users", "total_actions": len(actions), "actions": actions[-_CAP:]})

    async def instances(self, request: web.Request) -> web.Response:
        page, size = int(request.query.get("page", 1)), int(request.query.get("page_size", 25))
        chosen = [told for told in map(self._instance, self.items) if _is_asked_for(told, request)]
        pages = {"page": page, "page_size": size, "total_instances": len(chosen)}
        return _json({"instances": chosen[(page - 1) * size : page * size], "pagination": pages})

    def _instance(self, item: str) -> dict[str, Any]:
        annotators = [name for name, user in self.users.items() if any((user.states.get(item) or {}).values())]
        done = min(100, 100 * len(annotators) / self.required)
        return {"id": item, "text": self.items[item], "annotators": annotators, "completion_percentage": done}

    async def user_state(self, request: web.Request) -> web.Response:
        name = request.match_info["user"]
        if name not in self.users:
            return _json({"error": f"User {name} not found"}, 404)
        return _json({"user_id": name, "annotations": {"by_instance": self.users[name].states}})

    async def item_state(self, request: web.Request) -> web.Response:
        what = "keys must be str, int, float, bool or None, not Label"
        return _json({"error": f"Failed to get item state for '{request.match_info['item']}': {what}"}, 500)

    async def all_instances(self, _request: web.Request) -> web.Response:
        items = [{"id": item, "text": text, "displayed_text": text} for item, text in self.items.items()]
        return _json({"items": items, "total_items": len(items)})

    async def system_state(self, _request: web.Request) -> web.Response:
        return _json({"config": {"annotation_schemes": self.schemes}})

    async def adjudicated(self, _request: web.Request) -> web.Response:
        if not self.adjudication:
            return _json({"enabled": False, "message": "Adjudication is not enabled"})
        spent = sum(decision["time_spent_ms"] for decision in self.decisions.values())
        stats = {ADJUDICATOR: {"completed": len(self.decisions), "total_time_ms": spent}} if self.decisions else {}
        return _json({"enabled": True, "queue_stats": {"completed": len(self.decisions), "adjudicator_stats": stats}})

    async def archive(self, _request: web.Request) -> web.Response:
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w:gz") as archive:
            for name, user in self.users.items():
                lines = "".join(json.dumps(action) + "\n" for action in user.actions)
                _add(archive, f"annotation_output/{name}/annotation_history.jsonl", lines)
            if self.decisions:
                decisions = json.dumps({"decisions": list(self.decisions.values())})
                _add(archive, "annotation_output/adjudication/decisions.json", decisions)
        return web.Response(body=written.getvalue(), content_type="application/gzip")

    # -- with a login --------------------------------------------------------------------------------------------------

    async def auth(self, request: web.Request) -> web.Response:
        name = str((await request.post()).get("email", ""))
        if not name:
            return web.Response(text="<!DOCTYPE html>", content_type="text/html")
        if name != ADJUDICATOR:
            self._user(name)
        return web.Response(status=302, headers={"Location": "/annotate", "Set-Cookie": f"session={name}; HttpOnly"})

    async def update(self, request: web.Request) -> web.Response:
        name, body = request.cookies.get("session"), await request.json()
        if name is None:
            return _json({"status": "error", "message": "No active session"}, 401)
        if body["instance_id"] not in self.items:
            return _json({"status": "error", "message": "Instance not assigned to user"}, 403)
        labels = {f"{body['schema']}:{one['name']}": one["value"] for one in body.get("state", [])}
        self.annotates(name, body["instance_id"], body.get("annotations", labels), body.get("span_annotations"))
        return _json({"status": "success"})

    async def queue(self, request: web.Request) -> web.Response:
        items = [told for told in map(self._queued, self.items) if told["status"] == request.query["status"]]
        return _json({"items": items, "total": len(items)})

    def _queued(self, item: str) -> dict[str, Any]:
        return {"instance_id": item, "status": "completed" if item in self.decisions else "pending"}

    async def decided(self, request: web.Request) -> web.Response:
        item = request.match_info["item"]
        told = {"item": self._queued(item), "decision": self.decisions.get(item), "item_text": self.items[item]}
        return _json(told)

    async def submit(self, request: web.Request) -> web.Response:
        body = await request.json()
        item = body.pop("instance_id")
        self.decides(item, **body)
        return _json({"status": "ok", "instance_id": item})


def _json(told: Any, status: int = 200) -> web.Response:
    return web.json_response(told, status=status)


def _span_id(span: Mapping[str, Any]) -> str:
    return f"{span['schema']}_{span['name']}___{span['start']}_{span['end']}"


def _is_asked_for(told: Mapping[str, Any], request: web.Request) -> bool:
    wanted = request.query.get("filter_completion")
    return wanted is None or (wanted == "completed") == (told["completion_percentage"] >= 100)


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    archive.addfile(member, io.BytesIO(text.encode()))


def _door(fake: FakePotato) -> Any:
    """Let in whoever may come in; answer what is set instead of anything."""

    @web.middleware
    async def door(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        fake.asked.append(request.path_qs)
        if request.path.startswith("/admin") and request.headers.get("X-API-Key") != KEY:
            return _json({"error": "Admin access required"}, 403)
        if request.path.startswith("/adjudicate") and request.cookies.get("session") != ADJUDICATOR:
            return _json({"error": "Not authenticated"}, 401)
        for begin, answer in fake.faults.items():
            if request.path.startswith(begin):
                return answer()
        return await handler(request)

    return door


@asynccontextmanager
async def potato_at_work(**settings: Any) -> AsyncIterator[FakePotato]:
    """Run one."""
    fake = FakePotato(**settings)
    app = web.Application(middlewares=[_door(fake)])
    app.add_routes(
        [
            web.get("/admin/api/overview", fake.overview),
            web.get("/admin/api/annotators", fake.annotators),
            web.get("/admin/api/annotation_history", fake.history),
            web.get("/admin/api/instances", fake.instances),
            web.get("/admin/user_state/{user}", fake.user_state),
            web.get("/admin/item_state/{item}", fake.item_state),
            web.get("/admin/all_instances", fake.all_instances),
            web.get("/admin/system_state", fake.system_state),
            web.get("/admin/api/adjudication", fake.adjudicated),
            web.get("/admin/api/data/archive", fake.archive),
            web.post("/auth", fake.auth),
            web.post("/updateinstance", fake.update),
            web.get("/adjudicate/api/queue", fake.queue),
            web.get("/adjudicate/api/item/{item}", fake.decided),
            web.post("/adjudicate/api/submit", fake.submit),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
