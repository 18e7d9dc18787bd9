"""The audit trail: who changed what, and when."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from delivery.domain.deeds import What
from delivery.store import audit
from delivery.store.audit import AuditFilter
from service.api.calls import Call
from service.api.shapes import AskedMoment, Listing, Moment, PageQuery, Shape, Word


class Change(Shape):
    """Something that was changed, by a person, a key, the command line, or by Hookline itself.

    ``object`` is the id of what was changed, ``name`` what it was called then; ``who`` is an e-mail address, or the
    name of a key and what it ends in. ``before`` and ``after`` have the members that are different, and never a secret:
    of headers they have the names only. ``account_id`` is null where it is nobody's, or about everybody's.
    """

    id: str
    account_id: str | None
    at: Moment
    who_id: str
    who: str
    what: What
    object: str
    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class AuditTrail(Listing[Change]):
    """A page of the audit trail."""


class AuditQuery(PageQuery):
    """Which changes."""

    what: What | None = None
    object: Word | None = Field(None, description="the id of what was changed")
    who: Word | None = Field(None, description="an id, or part of a name")
    from_: AskedMoment | None = Field(None, alias="from", description="changed at or after")
    to: AskedMoment | None = Field(None, description="changed before")

    def filter(self) -> AuditFilter:
        """Hand it to the store."""
        return AuditFilter(what=self.what, object_id=self.object, who=self.who, from_=self.from_, to=self.to)


async def browse(call: Call[AuditQuery]) -> AuditTrail:
    """List changes."""
    async with call.runtime.store.reading() as tx:
        page = await audit.browse(tx, call.reach, call.asked.filter(), call.asked.request())
    return AuditTrail(items=[_shape(entry) for entry in page.items], next=page.next)


def _shape(entry: audit.Entry) -> Change:
    same = {name: getattr(entry, name) for name in Change.model_fields if name != "object"}
    return Change(**same, object=entry.object_id)
