"""Potato, as far as annotators, adjudicators and our source ask it. Its annotators' pages are calls of this object.

``history_is_kept``: version 2.12.1; without it, a restart forgets the history, as in 2.8.0.
"""

import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from aiohttp import web

KEY = "potato-admin-key-for-tests"
ADJUDICATOR = ("adjudicator@example.com", "")
COOKIE = "session=adjudicators"

#: What annotators do takes this long.
_A_WHILE = timedelta(milliseconds=40)
_MOST_SHOWN = 100

SCHEMES = [
    {"annotation_type": "radio", "name": "sentiment", "labels": ["positive", "neutral", "negative"]},
    {"annotation_type": "span", "name": "entities", "labels": ["PERSON", "LOCATION"]},
]


@dataclass
class Potato:
    """One server. ``answer`` is what it says instead of anything; ``now`` is its local time."""

    url: str = ""
    now: datetime = datetime(2026, 11, 23, 20, 43, 56)  # noqa: DTZ001 - as Potato writes it
    items: dict[str, str] = field(default_factory=dict)
    required: int = 2
    schemes: list[dict[str, Any]] = field(default_factory=lambda: list(SCHEMES))
    states: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    actions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    adjudicates: bool = False
    history_is_kept: bool = True
    answer: Callable[[], web.Response] | None = None
    asked: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: count(1))

    # -- what people do ------------------------------------------------------------------------------------------------

    def given(self, **items: str) -> None:
        """Let there be items."""
        self.items |= items

    def sign_in(self, *users: str) -> None:
        for user in users:
            self.states.setdefault(user, {})
            self.actions.setdefault(user, [])

    def choose(self, user: str, item: str, label: str, schema: str = "sentiment") -> None:
        """Choose one of several: the others are no longer chosen, and the history does not say so."""
        self.sign_in(user)
        state = self.states[user].setdefault(item, {})
        for entry in [entry for entry in state if entry.startswith(f"Label(schema:{schema},")]:
            del state[entry]
        state[f"Label(schema:{schema}, name:{label})"] = "1"
        self._act(user, item, schema, label, new_value="1")

    def tick(self, user: str, item: str, schema: str, label: str, *, on: bool = True) -> None:
        """Tick a box, or take the tick away: an action of the same kind."""
        self.sign_in(user)
        self.states[user].setdefault(item, {})[f"Label(schema:{schema}, name:{label})"] = label if on else False
        self._act(user, item, schema, label, new_value=label if on else False)

    def mark(self, user: str, item: str, label: str, start: int, end: int) -> None:
        """Mark a span."""
        self.sign_in(user)
        where = f"start:{start}, end:{end}, id:entities_{label}___{start}_{end}"
        name = f"SpanAnnotation(schema:entities, name:{label}, {where})"
        self.states[user].setdefault(item, {})[name] = "true"
        span = {"start": start, "end": end, "title": label}
        self._act(user, item, "entities", label, new_value="true", action_type="add_span", span_data=span)

    def unmark_everything(self, user: str, item: str) -> None:
        """Take spans away: nothing in the history tells of it."""
        state = self.states[user][item]
        self.states[user][item] = {entry: value for entry, value in state.items() if not entry.startswith("Span")}

    def take_back(self, user: str, item: str) -> None:
        """Empty an item, without a trace."""
        self.states[user][item] = {}

    def decide(self, item: str, labels: Mapping[str, Any], **members: Any) -> None:
        """Decide an item as the adjudicator."""
        self.now += _A_WHILE
        self.decisions[item] = {
            "instance_id": item,
            "adjudicator_id": "adjudicator",
            "timestamp": self.now.isoformat(),
            "label_decisions": dict(labels),
            "span_decisions": [],
            "source": {},
            "confidence": "high",
            "notes": "",
            "error_taxonomy": [],
            "guideline_update_flag": False,
            "time_spent_ms": 5400,
        } | members

    def restart(self) -> None:
        if not self.history_is_kept:
            self.actions = {user: [] for user in self.actions}

    def _act(self, user: str, item: str, schema: str, label: str, **members: Any) -> None:
        self.now += _A_WHILE
        self.actions[user].append(
            {
                "action_id": str(UUID(int=next(self._numbers))),
                "action_type": "add_label",
                "user_id": user,
                "instance_id": item,
                "schema_name": schema,
                "label_name": label,
                "old_value": None,
                "span_data": None,
                "timestamp": self.now.isoformat(timespec="microseconds"),
                "client_timestamp": None,
                "server_processing_time_ms": 0,
                "metadata": {"ip_address": "127.0.0.1", "user_agent": "a browser"},
            }
            | members
        )

    # -- what is known of it -------------------------------------------------------------------------------------------

    def annotators_of(self, item: str) -> list[str]:
        return [user for user, state in self.states.items() if any(state.get(item, {}).values())]

    def _instance(self, item: str) -> dict[str, Any]:
        annotators = self.annotators_of(item)
        return {
            "id": item,
            "text": self.items[item],
            "displayed_text": self.items[item],
            "annotation_count": len(annotators),
            "annotators": annotators,
            "completion_percentage": min(100, 100 * len(annotators) / self.required),
        }

    def _said(self, item: str) -> dict[str, dict[str, dict[str, Any]]]:
        """What annotators said of an item, as the adjudicator sees it."""
        said: dict[str, dict[str, dict[str, Any]]] = {}
        for user in self.annotators_of(item):
            for entry, value in self.states[user][item].items():
                if entry.startswith("Label"):
                    schema, name = entry.removeprefix("Label(schema:").removesuffix(")").split(", name:")
                    said.setdefault(user, {}).setdefault(schema, {})[name] = value
        return said

    # -- routes --------------------------------------------------------------------------------------------------------

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def overview(self, _request: web.Request) -> web.Response:
        counts = {"total_items": len(self.items), "total_users": len(self.states)}
        config = {"annotation_task_name": "Hookline Potato Fixture", "max_annotations_per_item": self.required}
        return web.json_response({"config": config, "overview": counts})

    async def annotators(self, _request: web.Request) -> web.Response:
        listed = [{"user_id": user, "total_actions": min(100, len(done))} for user, done in self.actions.items()]
        return web.json_response({"annotators": listed})

    async def history(self, request: web.Request) -> web.Response:
        user, item, minutes = (request.query.get(name) for name in ("user_id", "instance_id", "minutes"))
        if minutes is not None and not minutes.isdigit():
            return web.json_response({"error": "Invalid minutes parameter"}, status=400)
        if user is not None and user not in self.actions:
            return web.json_response({"error": f"User {user} not found"}, status=404)
        mine: Iterable[str] = [user] if user is not None else self.actions
        done = [action for one in mine for action in self.actions[one] if item in (None, action["instance_id"])]
        return web.json_response(
            {"context": user or "all_users", "total_actions": len(done), "actions": done[-_MOST_SHOWN:]}
        )

    async def user_state(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        if user not in self.states:
            return web.json_response({"error": f"User {user} not found"}, status=404)
        state = self.states[user]
        given = [{"id": item, "text": text, "displayed_text": text} for item, text in self.items.items()]
        return web.json_response(
            {"annotations": {"by_instance": state}, "assignments": {"items": given}, "user_id": user}
        )

    async def item_state(self, request: web.Request) -> web.Response:
        item = request.match_info["item"]
        why = f"Failed to get item state for '{item}': keys must be str, int, float, bool or None, not Label"
        return web.json_response({"error": why}, status=500)

    async def system_state(self, _request: web.Request) -> web.Response:
        return web.json_response({"config": {"annotation_schemes": self.schemes}})

    async def instances(self, request: web.Request) -> web.Response:
        found = [self._instance(item) for item in sorted(self.items)]
        wanted = request.query.get("filter_completion")
        if wanted is not None:
            complete = wanted == "completed"
            found = [one for one in found if (one["annotation_count"] >= self.required) == complete]
        size, number = int(request.query.get("page_size", 25)), int(request.query.get("page", 1))
        shown = found[(number - 1) * size : number * size]
        return web.json_response({"instances": shown, "pagination": {"page": number, "total_instances": len(found)}})

    async def adjudication(self, _request: web.Request) -> web.Response:
        if not self.adjudicates:
            return web.json_response({"enabled": False, "message": "Adjudication is not configured"})
        return web.json_response({"enabled": True, "queue_stats": {"completed": len(self.decisions)}})

    async def archive(self, _request: web.Request) -> web.Response:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, body in (
                ("annotation_output/ada/user_state.json", b"{}"),
                ("annotation_output/adjudication/decisions.json", self._filed()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(body)
                archive.addfile(member, io.BytesIO(body))
        return web.Response(body=packed.getvalue(), content_type="application/gzip")

    def _filed(self) -> bytes:
        return json.dumps({"decisions": list(self.decisions.values())}).encode()

    async def log_in(self, request: web.Request) -> web.Response:
        form = await request.post()
        if (form.get("email"), form.get("pass")) != ADJUDICATOR:
            return web.Response(text="<!DOCTYPE html>\n\n<html", content_type="text/html")
        return web.Response(status=302, headers={"Location": "/annotate", "Set-Cookie": f"{COOKIE}; HttpOnly; Path=/"})

    async def queue(self, request: web.Request) -> web.Response:
        if request.headers.get("Cookie") != COOKIE:
            return web.json_response({"error": "Not authenticated"}, status=401)
        listed = [self._queued(item) | {"text_preview": self.items[item]} for item in self.decisions]
        return web.json_response({"items": listed, "total": len(listed)})

    async def decided_item(self, request: web.Request) -> web.Response:
        if request.headers.get("Cookie") != COOKIE:
            return web.json_response({"error": "Not authenticated"}, status=401)
        item = request.match_info["item"]
        return web.json_response(
            {"decision": self.decisions.get(item), "item": self._queued(item), "item_text": self.items[item]}
        )

    def _queued(self, item: str) -> dict[str, Any]:
        status = "completed" if item in self.decisions else "pending"
        return {"instance_id": item, "annotations": self._said(item), "status": status}


_POTATO = web.AppKey("potato", Potato)


@web.middleware
async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    potato = request.app[_POTATO]
    potato.asked.append(request.path_qs)
    if potato.answer is not None:
        return potato.answer()
    if request.path.startswith("/admin") and request.headers.get("X-API-Key") != KEY:
        return web.json_response({"error": "Admin access required"}, status=403)
    return await handler(request)  # type: ignore[no-any-return] # aiohttp's own word for a handler


@asynccontextmanager
async def open_potato() -> AsyncIterator[Potato]:
    """Run one while the block is open."""
    potato = Potato()
    app = web.Application(middlewares=[_guarded])
    app[_POTATO] = potato
    app.add_routes(
        [
            web.get("/admin/health", potato.health),
            web.get("/admin/api/overview", potato.overview),
            web.get("/admin/api/annotators", potato.annotators),
            web.get("/admin/api/annotation_history", potato.history),
            web.get("/admin/user_state/{user}", potato.user_state),
            web.get("/admin/item_state/{item}", potato.item_state),
            web.get("/admin/system_state", potato.system_state),
            web.get("/admin/api/instances", potato.instances),
            web.get("/admin/api/adjudication", potato.adjudication),
            web.get("/admin/api/data/archive", potato.archive),
            web.post("/auth", potato.log_in),
            web.get("/adjudicate/api/queue", potato.queue),
            web.get("/adjudicate/api/item/{item}", potato.decided_item),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    potato.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield potato
    finally:
        await runner.cleanup()
