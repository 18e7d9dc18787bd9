"""Erasing what is kept of a job or of a person, before its time."""

from typing import Self

from pydantic import Field, model_validator

from delivery.erasure import Errand, Subject
from delivery.store.cursors import decode, encode
from service.api.calls import Call
from service.api.shapes import Body, Shape, Word


class NewErasure(Body):
    """What to erase: all that is kept of a job, or of a person. With ``dry_run`` it is only counted.

    A person is who annotated or reviewed: ``annotator.id``, ``reviewer.id``, or a key of ``metadata.annotations``.
    """

    job_id: Word | None = None
    person_id: Word | None = None
    account_id: Word | None = Field(None, description="of one of all accounts, for operators")
    dry_run: bool = False
    cursor: Word | None = Field(None, description="where to go on: what the answer before gave as `next`")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.job_id is None) == (self.person_id is None):
            raise ValueError('say either "job_id" or "person_id"')
        return self

    @property
    def subject(self) -> Subject:
        """Hand it to the eraser."""
        return Subject("job", self.job_id) if self.job_id is not None else Subject("person", self.person_id or "")


class Erasure(Shape):
    """What is gone with this call, or would be. ``id`` is what the audit trail calls it, null of what is only counted.

    ``in_progress`` events are left, because one of their deliveries is being sent: ask for them again a minute later.
    ``next`` is where to go on; null: all was looked through. Dead letters belong to no account, so only those who
    operate every account erase them.
    """

    id: str | None
    events: int
    deliveries: int
    attempts: int
    dead_letters: int
    in_progress: int
    next: str | None


async def erase(call: Call[NewErasure]) -> Erasure:
    """Erase events with their deliveries and attempts, whatever state they are in; nothing more is sent of them.

    What is republished afterwards is no duplicate: its identity is forgotten, too.
    """
    asked = call.asked
    reach = call.reach.narrowed(asked.account_id)
    errand = Errand(reach, asked.subject, by=None if asked.dry_run else call.principal.by)
    progress = await call.runtime.eraser.run(errand, after="" if asked.cursor is None else decode(asked.cursor))
    return Erasure(
        id=None if asked.dry_run else progress.id,
        events=progress.events,
        deliveries=progress.deliveries,
        attempts=progress.attempts,
        dead_letters=progress.dead_letters,
        in_progress=progress.busy,
        next=None if progress.cursor is None else encode(progress.cursor),
    )
