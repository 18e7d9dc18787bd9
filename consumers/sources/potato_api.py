"""The calls of Potato's admin API that a source makes, and what they answer (2.8.0 and 2.12.1)."""

import asyncio
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from consumers.sources.remote import AccessRefusedError, Answer, MalformedError, Remote, UnreachableError, expected
from consumers.sources.system import Place

#: Where the decisions of adjudicators lie in the archive, below whatever folder it begins with.
_DECISIONS = "adjudication/decisions.json"

#: How much of an archive is unpacked, in bytes: what is small when packed may be large.
_MOST_UNPACKED = 1024**3


class _User(BaseModel):
    user_id: str


class _Users(BaseModel):
    annotators: list[_User]


class Action(BaseModel):
    """Something that an annotator did. The address and the browser that come with it are not even read."""

    action_id: str
    instance_id: str
    timestamp: str
    server_processing_time_ms: int | float = 0


class History(BaseModel):
    """The last hundred actions at most; ``total_actions`` counts all of them."""

    total_actions: int = Field(ge=0)
    actions: list[Action]


class _Item(BaseModel):
    id: str
    text: str = ""


class _Assignments(BaseModel):
    items: list[_Item] = []


class _Annotations(BaseModel):
    by_instance: dict[str, dict[str, Any]]


class UserState(BaseModel):
    """What an annotator said of each item, and the items' texts."""

    annotations: _Annotations
    assignments: _Assignments = _Assignments()

    @property
    def texts(self) -> Mapping[str, str]:
        """The texts of the items that the annotator was given."""
        return {item.id: item.text for item in self.assignments.items}


class _Scheme(BaseModel):
    name: str
    annotation_type: str


class _Config(BaseModel):
    annotation_schemes: list[_Scheme]
    annotation_task_name: str = ""


class _SystemState(BaseModel):
    config: _Config


class _Pagination(BaseModel):
    total_instances: int


class _Instances(BaseModel):
    pagination: _Pagination


class _OverviewCounts(BaseModel):
    total_items: int
    total_users: int


class _OverviewConfig(BaseModel):
    annotation_task_name: str = ""


class Overview(BaseModel):
    """The project at a glance. Its percentage of completion counts items with a single annotation as complete."""

    config: _OverviewConfig
    overview: _OverviewCounts


class _QueueStats(BaseModel):
    completed: int


class Adjudication(BaseModel):
    """Whether there is any, and how many items are decided."""

    enabled: bool
    queue_stats: _QueueStats | None = None


class Decision(BaseModel):
    """What an adjudicator decided."""

    instance_id: str
    adjudicator_id: str
    timestamp: str
    label_decisions: dict[str, Any] = {}
    span_decisions: list[dict[str, Any]] = []
    source: dict[str, Any] = {}
    notes: str | None = None
    time_spent_ms: int | None = None


class _Decisions(BaseModel):
    decisions: list[Decision]


class _QueueItem(BaseModel):
    instance_id: str


class _Queue(BaseModel):
    items: list[_QueueItem]


class _Decided(BaseModel):
    decision: Decision | None = None


_USERS = TypeAdapter(_Users)
_HISTORY = TypeAdapter(History)
_STATE = TypeAdapter(UserState)
_SYSTEM = TypeAdapter(_SystemState)
_INSTANCES = TypeAdapter(_Instances)
_OVERVIEW = TypeAdapter(Overview)
_ADJUDICATION = TypeAdapter(Adjudication)
_QUEUE = TypeAdapter(_Queue)
_DECIDED = TypeAdapter(_Decided)
_FILED = TypeAdapter(_Decisions)


class PotatoApi:
    """One server, which is one project. ``adjudicator`` is the e-mail address and the password of one."""

    def __init__(self, place: Place, key: str, adjudicator: tuple[str, str] | None) -> None:
        self._remote = Remote(place.session, place.url, headers={"X-API-Key": key})
        self._public = Remote(place.session, place.url)
        self._adjudicator = adjudicator

    async def overview(self) -> Overview:
        """Look at the project."""
        return (await self._get("admin", "api", "overview")).read(_OVERVIEW)

    async def users(self) -> list[str]:
        """List the annotators."""
        return [user.user_id for user in (await self._get("admin", "api", "annotators")).read(_USERS).annotators]

    async def history(self, user: str, item: str | None = None) -> History:
        """What an annotator did last, in order; of all items, or of one."""
        params: dict[str, str | int] = {"user_id": user}
        if item is not None:
            params["instance_id"] = item
        return (await self._get("admin", "api", "annotation_history", params=params)).read(_HISTORY)

    async def state(self, user: str) -> UserState:
        """What an annotator has said."""
        return (await self._get("admin", "user_state", user)).read(_STATE)

    async def schemas(self) -> dict[str, str]:
        """The types of the schemas, by their names."""
        found = (await self._get("admin", "system_state")).read(_SYSTEM)
        return {scheme.name: scheme.annotation_type for scheme in found.config.annotation_schemes}

    async def incomplete(self) -> int:
        """How many items have not as many annotators yet as they need."""
        params: dict[str, str | int] = {"filter_completion": "incomplete", "page": 1, "page_size": 1}
        return (await self._get("admin", "api", "instances", params=params)).read(_INSTANCES).pagination.total_instances

    async def adjudication(self) -> Adjudication:
        """Whether there is any, and how far it is."""
        return (await self._get("admin", "api", "adjudication")).read(_ADJUDICATION)

    @property
    def can_adjudicate(self) -> bool:
        """Whether decisions can be asked for one by one."""
        return self._adjudicator is not None

    async def decisions(self) -> Sequence[Decision]:
        """Everything that adjudicators have decided."""
        return await (self._asked_for() if self._adjudicator else self._filed())

    async def _asked_for(self) -> Sequence[Decision]:
        """As an adjudicator sees them."""
        cookie = {"Cookie": await self._log_in()}
        queue = await self._public.get("adjudicate", "api", "queue", params={"status": "completed"}, headers=cookie)
        found = []
        for item in expected(queue).read(_QUEUE).items:
            answer = await self._public.get("adjudicate", "api", "item", item.instance_id, headers=cookie)
            found.append(expected(answer).read(_DECIDED).decision)
        return [decision for decision in found if decision is not None]

    async def _filed(self) -> Sequence[Decision]:
        """As they lie on the server's disk."""
        answer = await self._get("admin", "api", "data", "archive")
        filed = await asyncio.to_thread(_from_archive, answer.body)
        return Answer(answer.what, answer.quotable, answer.status, answer.headers, filed).read(_FILED).decisions

    async def _log_in(self) -> str:
        assert self._adjudicator is not None
        email, password = self._adjudicator
        answer = await self._public.ask("POST", "auth", data={"email": email, "pass": password})
        cookies = [cookie.partition(";")[0] for cookie in answer.headers.getall("Set-Cookie", ())]
        if answer.status != HTTPStatus.FOUND or not cookies:  # a page that says no comes with 200
            raise AccessRefusedError(
                "Potato does not let the adjudicator in; correct the e-mail address or the password"
            )
        return "; ".join(cookies)

    async def _get(self, *path: str, params: Mapping[str, str | int] | None = None) -> Answer:
        answer = await self._remote.get(*path, params=params)
        if answer.status == HTTPStatus.FORBIDDEN:  # its word for a key that is missing or another one
            raise AccessRefusedError("Potato refused the admin key (403); it is admin_api_key of its configuration")
        if answer.status == HTTPStatus.NOT_FOUND and params and "user_id" in params:
            raise UnreachableError("Potato does not know an annotator whom it has just listed (404)")
        return expected(answer)


def _from_archive(archive: bytes) -> bytes:
    """The file of decisions in an archive; without any there is none, and no decision."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
            for member in opened:
                if member.offset_data > _MOST_UNPACKED:
                    raise MalformedError("Potato's archive is too large to be read")
                if member.isfile() and member.name.endswith(_DECISIONS):
                    file = opened.extractfile(member)
                    assert file is not None
                    return file.read(16 * 1024 * 1024)
    except (tarfile.TarError, OSError, EOFError) as error:  # no archive, or half of one
        raise MalformedError("Potato's archive cannot be read") from error
    return json.dumps({"decisions": []}).encode()
