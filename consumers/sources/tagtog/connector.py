"""tagtog: documents' annotations, searched for every few minutes, and looked at sooner where its webhooks point.

What is published is the difference between two versions of a document, so that a webhook that never came costs only
time. A member's own version is looked at beside the one that counts, which is called master.
"""

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from consumers.sources.connector import Desk, Heard, MarkName, Push, Step
from consumers.sources.names import key
from consumers.sources.remote import MalformedError
from consumers.sources.system import Credentials, Interval, Place, Settings, System
from consumers.sources.tagtog.ann import Ann, Document
from consumers.sources.tagtog.api import GoneError, TagtogApi
from consumers.sources.tagtog.events import Change, Look, Subject, annotation, job_of, review
from consumers.sources.tagtog.push import MASTER, Login, authenticate, read_push

#: A search looks back at least so far: tagtog's index comes after its documents.
_LEAST_OVERLAP = timedelta(minutes=5)

Name = Annotated[str, Field(min_length=1, max_length=100)]


class TagtogSettings(Settings):
    """A project, and whose versions of its documents to follow."""

    whereabouts = ("owner", "project")

    owner: Name = Field(description="Whose project it is, as in its address")
    project: Name = Field(description="The project's name, as in its address")
    members: tuple[Name, ...] = Field(
        (MASTER,), min_length=1, max_length=50, description="Whose annotations to publish: master, or members' names"
    )
    interval_s: Interval = 300
    webhook_auth: Literal["basic", "none"] = Field(
        "basic", description="How tagtog's webhook proves itself; none: anybody can let this source be polled"
    )


class TagtogCredentials(Credentials):
    """Of a user who may read the project, and what its webhook proves itself with."""

    username: str = Field(min_length=1, description="A user who may read the project")
    password: str = Field(min_length=1, description="The user's password")
    webhook_username: str | None = Field(None, min_length=1, description="The user name set in tagtog's webhook")
    webhook_password: str | None = Field(None, min_length=1, description="The password set in tagtog's webhook")

    @property
    def login(self) -> Login:
        """What to ask with."""
        return Login(self.username, self.password)

    @property
    def webhook_login(self) -> Login | None:
        """What webhooks must have."""
        if self.webhook_username is None or self.webhook_password is None:
            return None
        return Login(self.webhook_username, self.webhook_password)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of a version of a document: when it was changed, and its annotations, as text.

    ``revision`` counts the changes since first contact.
    """

    updated: str | None = None
    ann: str | None = None
    revision: int = 0

    @property
    def version(self) -> Ann | None:
        """The annotations."""
        return None if self.ann is None else Ann.read(self.ann)


class Tagtog:
    """The connector."""

    def __init__(self, place: Place, settings: TagtogSettings, credentials: TagtogCredentials) -> None:
        self._source_id = place.source_id
        self._settings = settings
        self._webhook_login = credentials.webhook_login
        self._api = TagtogApi(place, settings.owner, settings.project, credentials.login)
        self._names: Mapping[str, str] | None = None

    async def check(self) -> str:
        """Count the project's documents."""
        return f"{self._settings.owner}/{self._settings.project}: {await self._api.count()} documents"

    def hear(self, push: Push, _now: datetime) -> Sequence[Heard]:
        """Believe a webhook that knows the password; it says which document to look at."""
        if self._settings.webhook_auth == "basic":
            authenticate(push, self._webhook_login)
        return read_push(push, self._settings.owner, self._settings.project)

    async def poll(self, desk: Desk) -> AsyncGenerator[Step, None]:
        """A step for each version of a document that is another one, and one to say how far the search came.

        A document that nobody understands holds up no other. It is looked at again the next time.
        """
        reached = {member: await desk.mark("reached", key(member)) for member in self._settings.members}
        documents = await self._api.search(self._query(reached.values()))
        trouble: MalformedError | None = None
        left = []
        for look in self._looks(desk, documents):
            try:
                step = await self._of_version(desk, look, first=reached[look.member] is None)
            except MalformedError as error:
                trouble = trouble or error
                left.append(look.at)
                continue
            except GoneError:  # remembered as it was: a proxy may have said so
                continue
            if step is not None:
                yield step
        upto = _reached(_moments(reached.values()), [one.at for one in documents], left, desk.now()).isoformat()
        yield Step(marks={("reached", key(member)): upto for member in reached})
        if trouble is not None:
            raise trouble

    def _query(self, reached: Collection[str | None]) -> str:
        """What to search for: all that may have changed since the search that came least far."""
        if None in reached:
            return "*"
        overlap = max(_LEAST_OVERLAP, timedelta(seconds=2 * self._settings.interval_s))
        start = (min(_moments(reached)) - overlap).astimezone(UTC).isoformat(timespec="milliseconds")
        return f"updated:[{start.replace('+00:00', 'Z')} TO NOW]"

    def _looks(self, desk: Desk, documents: Iterable[Document]) -> Iterable[Look]:
        """Where to look: at what was searched and found, and at what webhooks told of."""
        found = {
            (one.docid, member): Look(one.docid, member, one) for one in documents for member in self._settings.members
        }
        for wake in desk.wakes:
            docid, member = wake.detail.get("docid"), wake.detail.get("member")
            if docid is not None and member in self._settings.members:
                found[docid, member] = replace(found.get((docid, member), Look(docid, member)), wake=wake)
        return found.values()

    async def _of_version(self, desk: Desk, look: Look, *, first: bool) -> Step | None:
        """Compare a version with the one before; None: there is nothing to remember of it.

        At ``first`` contact nothing is published of what was not there before.
        """
        name = ("document", key(look.docid, look.member))
        seen = _Seen(**await desk.mark(*name) or {})
        if look.updated == seen.updated:
            if look.wake is None:
                return None
            look = replace(look, found=None)  # the index does not know of it yet
        ann = await self._api.ann(look.docid, look.member)
        text = seen.ann if ann is None else ann.text()
        now = _Seen(look.updated or seen.updated, text, seen.revision + (text != seen.ann))
        marks: dict[MarkName, object] = {name: asdict(now)}
        if ann is None or (first and seen == _Seen() and not self._settings.backfill):
            return Step(marks=marks)
        return await self._of_change(desk, Change(look, seen.version, ann, now.revision), marks)

    async def _of_change(self, desk: Desk, change: Change, marks: dict[MarkName, object]) -> Step:
        """Say what a change means, if anything."""
        kind = change.kind()
        if kind is None:
            return Step(marks=marks)
        docid = change.look.docid
        text = await self._api.text(docid, change.after.annotatable.parts)
        job = ("job", key(docid))
        if kind == "annotation":
            marks |= {job: job_of(self._source_id, change)}
            return Step([annotation(await self._subject(), change, text)], marks)
        return Step([review(await self._subject(), change, text, await desk.mark(*job))], marks)

    async def _subject(self) -> Subject:
        """Ask once a poll what the labels are called."""
        if self._names is None:
            self._names = await self._api.names()
        return Subject(self._source_id, self._settings.project, self._names)


def _moments(reached: Iterable[str | None]) -> Sequence[datetime]:
    return [datetime.fromisoformat(one) for one in reached if one is not None]


def _reached(
    before: Iterable[datetime], found: Iterable[datetime], left: Iterable[datetime], now: datetime
) -> datetime:
    """Up to when everything was looked at, by tagtog's clock where it ever said anything.

    A search that finds nothing moves it nowhere: it may be the index that has lost something. What is ``left`` is
    searched for again.

    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> minute = timedelta(minutes=1)
    >>> _reached([noon], [], [], noon + 9 * minute) == noon
    True
    >>> _reached([noon], [noon + minute, noon + 4 * minute], [noon + minute], noon + 9 * minute) == noon + minute
    True
    """
    latest = max([*before, *found], default=now)
    return min([latest, now, *left])


TAGTOG = System("tagtog", "tagtog", TagtogSettings, TagtogCredentials, Tagtog)
