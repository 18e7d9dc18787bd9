"""The audit trail: who changed what, before and after, found by what people ask for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlencode

from aiohttp import web

from delivery.domain.deeds import What
from service.api import audit
from service.api.audit import AuditQuery, Change
from service.api.calls import Call
from service.dashboard.pages import show

#: Pages of what can be changed, by the beginning of its id.
_PAGES = {"wh": "/webhooks/{}", "dlv": "/deliveries/{}", "rpl": "/replays/{}", "key": "/keys"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A member that was changed, in words. None: there was nothing to say."""

    member: str
    before: str | None
    after: str | None


async def browse(call: Call[AuditQuery]) -> web.Response:
    """All changes, newest first."""
    found = await audit.browse(call)
    asked = call.asked.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"cursor", "limit"})
    return show(
        call,
        "audit",
        found=found,
        asked=call.asked,
        filtered=bool(asked),
        query=urlencode(asked),
        older=urlencode(asked | {"cursor": found.next}) if found.next else None,
        kinds=get_args(What),
        page_of=page_of,
        differences=lambda change: list(differences(change)),
    )


def page_of(change: Change) -> str | None:
    """Where to see what was changed, if it can still be seen."""
    page = _PAGES.get(change.object.partition("_")[0])
    return page.format(change.object) if page and change.what != "webhook.deleted" else None


def differences(change: Change) -> Iterator[Difference]:
    """What is another one now, member by member."""
    before, after = change.before or {}, change.after or {}
    for member in dict.fromkeys([*before, *after]):
        old, new = (words(side[member]) if member in side else None for side in (before, after))
        yield Difference(member.replace("_", " "), old, new)


def words(value: Any) -> str:
    """A value as people read it.

    >>> words(["batch.*", "*"]), words(True), words(None), words({"data.job_id": "a"}), words("")
    ('batch.*, *', 'yes', 'none', '{"data.job_id": "a"}', 'none')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value in (None, "") else str(value)
