"""Sources: connect, change, disconnect, try out; and the way from a source to its connector."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import aiohttp
from pydantic import BaseModel, ValidationError

from consumers.sources.connector import Connector, Push
from consumers.sources.remote import (
    AccessRefusedError,
    MalformedError,
    MisconfiguredError,
    SourceTroubleError,
    UnreachableError,
)
from consumers.sources.system import AnySystem, Place
from consumers.sources.systems import SYSTEMS
from delivery.domain.deeds import By
from delivery.domain.errors import Conflict, InvalidInput, NotFound, TooManySources
from delivery.domain.guard import EgressPolicy, parse_target
from delivery.domain.ids import new_id
from delivery.domain.model import AccountId
from delivery.domain.sealing import KeyRing, UnreadableSecretError
from delivery.domain.sources import STANDSTILL, Source, SourceId, SourceState, Wake, connected, done_between
from delivery.ports import Surroundings
from delivery.store import audit
from delivery.store import sources as rows
from delivery.store.engine import Store, Transaction
from delivery.store.reach import EVERYONE, Reach

#: Sources of an account: each is polled again and again.
MOST_SOURCES = 1_000


@dataclass(frozen=True, slots=True)
class NewSource:
    """What somebody asks to connect, as typed; checked before anything of it is used."""

    system: str
    name: str
    url: str
    credentials: Mapping[str, Any]
    settings: Mapping[str, Any]
    active: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """What trying a source out came to: ``says`` is what was found, or what is wrong."""

    source: Source
    ok: bool
    says: str


def state_of(trouble: SourceTroubleError) -> SourceState:
    """Which state a trouble puts its source into."""
    match trouble:
        case AccessRefusedError():
            return "auth_failed"
        case MisconfiguredError():
            return "misconfigured"
        case MalformedError():
            return "broken"
        case _:
            return "failing"


class Sources:
    """Changes sources. Whatever is changed ends a poll under way and lets the next one begin at once."""

    def __init__(
        self,
        store: Store,
        ring: KeyRing,
        policy: EgressPolicy,
        session: aiohttp.ClientSession,
        around: Surroundings,
    ) -> None:
        self._store = store
        self._ring = ring
        self._policy = policy
        self._session = session
        self._around = around

    async def connect(self, account_id: AccountId, wanted: NewSource, *, by: By) -> Source:
        """Add a source. It is polled from now on.

        Raises:
            InvalidInput: there is no such system, or its settings or credentials are not as it has them.
            Unprocessable: the URL must not be called.
            TooManySources: the account has as many as one may have.
        """
        now = self._around.clock.now()
        system = _known(wanted.system)
        source_id = SourceId(new_id("src", now, self._around.luck))
        source = Source(
            id=source_id,
            account_id=account_id,
            system=system.name,
            name=wanted.name or system.title,
            url=parse_target(wanted.url, self._policy).url,
            settings=_checked(system.settings, wanted.settings, "settings"),
            credentials=self._sealed(source_id, system, wanted.credentials),
            active=wanted.active,
            due_at=now,
            created_at=now,
            updated_at=now,
        )
        async with self._store.writing() as tx:
            if await rows.has(tx, account_id, MOST_SOURCES):
                raise TooManySources(MOST_SOURCES)
            await rows.add(tx, source)
            await audit.note(tx, by, connected(source), now=now, luck=self._around.luck)
        return source

    async def change(self, reach: Reach, source_id: str, changes: Mapping[str, Any], *, by: By) -> Source:
        """Change some of a source: name, url, settings (member by member), credentials (all of them), active."""

        def changed(source: Source) -> Source:
            system = SYSTEMS[source.system]
            wanted: dict[str, Any] = {name: changes[name] for name in ("name", "active") if name in changes}
            if changes.get("url", source.url) != source.url:
                wanted["url"] = parse_target(changes["url"], self._policy).url
            if "settings" in changes:
                wanted["settings"] = _checked(system.settings, {**source.settings, **changes["settings"]}, "settings")
            if "credentials" in changes:
                wanted["credentials"] = self._sealed(source.id, system, changes["credentials"])
            return replace(source, **wanted)

        return await self._update(reach, source_id, by, changed)

    async def remove(self, reach: Reach, source_id: str, *, by: By) -> None:
        """Disconnect a source. What it published stays."""
        now = self._around.clock.now()
        await self._update(reach, source_id, by, lambda source: replace(source, deleted_at=now, active=False))

    async def find(self, reach: Reach, source_id: str) -> Source:
        """One source."""
        async with self._store.reading() as tx:
            return await _found(tx, reach, source_id)

    def credential_names(self, source: Source) -> Sequence[str]:
        """Which credentials a source has, without them; none where they cannot be opened."""
        try:
            return [name for name, value in self._opened(source).items() if value]
        except UnreachableError:  # its polls tell of it
            return []

    async def poll_now(self, reach: Reach, source_id: str) -> Source:
        """Let a source be polled at once, whatever its state.

        Raises:
            Conflict: it is paused.
        """
        async with self._store.writing() as tx:
            source = await _found(tx, reach, source_id, for_update=True)
            if not source.active:
                raise Conflict("source_paused", "The source is paused; resume it first")
            due = replace(source, due_at=self._around.clock.now())
            await rows.make_due(tx, due)
        return due

    async def check(self, reach: Reach, source_id: str) -> Finding:
        """Ask a source's system for little, now. One that was given up is polled again if that goes well."""
        async with self._store.reading() as tx:
            source = await _found(tx, reach, source_id)
        try:
            says = await self.connector(source).check()
        except SourceTroubleError as trouble:
            return Finding(source, ok=False, says=str(trouble))
        if source.state in STANDSTILL:
            source = await self._give_another_chance(reach, source.id)
        return Finding(source, ok=True, says=says)

    async def hear(self, source_id: str, push: Push) -> None:
        """Take in what a system says of itself; what became of it is found out by polling.

        Raises:
            NotFound: no such source.
            Unauthorised: the push does not prove where it comes from.
            InvalidInput: it is nothing that this system sends.
        """
        async with self._store.reading() as tx:
            source = await _found(tx, EVERYONE, source_id)
        now = self._around.clock.now()
        heard = self.connector(source).hear(push, now)
        if heard and source.active:
            async with self._store.writing() as tx:
                await rows.wake(tx, source.id, [Wake(one.subject, one.detail, now) for one in heard])

    def connector(self, source: Source) -> Connector:
        """Make the connector of a source, as it is set now.

        Raises:
            UnreachableError: its credentials cannot be opened.
        """
        system, credentials = SYSTEMS[source.system], self._opened(source)
        return system.connect(
            Place(source.id, source.url, self._session),
            system.settings.model_validate(source.settings),
            system.credentials.model_validate(credentials),
        )

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _update(self, reach: Reach, source_id: str, by: By, change: Callable[[Source], Source]) -> Source:
        async with self._store.writing() as tx:
            source = await _found(tx, reach, source_id, for_update=True)
            now = self._around.clock.now()
            changed = replace(_afresh(change(source), now), updated_at=now)
            await rows.save(tx, changed)
            if changed.deleted_at is not None or _is_elsewhere(source, changed):
                await rows.forget(tx, source.id)
            await audit.note(tx, by, *done_between(source, changed), now=now, luck=self._around.luck)
            return changed

    async def _give_another_chance(self, reach: Reach, source_id: str) -> Source:
        async with self._store.writing() as tx:
            source = await _found(tx, reach, source_id, for_update=True)
            renewed = _afresh(source, self._around.clock.now())
            await rows.save(tx, renewed)
        return renewed

    def _opened(self, source: Source) -> dict[str, Any]:
        try:
            opened: dict[str, Any] = json.loads(self._ring.open(source.credentials, owner=source.id))
        except UnreadableSecretError as error:  # with the missing master key in the settings, all is well again
            raise UnreachableError(f"The credentials cannot be opened: {error}") from error
        return opened

    def _sealed(self, source_id: SourceId, system: AnySystem, credentials: Mapping[str, Any]) -> str:
        checked = _checked(system.credentials, credentials, "credentials")
        return self._ring.seal(json.dumps(checked), owner=source_id, entropy=self._around.entropy)


async def _found(tx: Transaction, reach: Reach, source_id: str, *, for_update: bool = False) -> Source:
    source = await rows.find(tx, reach, source_id, for_update=for_update)
    if source is None:
        raise NotFound("source")
    return source


def _afresh(source: Source, now: datetime) -> Source:
    """A source as if nothing were known of how polling goes; it is polled at once."""
    return replace(source, state="new", trouble=None, failures=0, due_at=now)


def _is_elsewhere(before: Source, after: Source) -> bool:
    """Whether a source has become another project: then what was known of the old one says nothing about it."""
    names = SYSTEMS[after.system].settings.whereabouts
    return before.url != after.url or any(before.settings.get(name) != after.settings.get(name) for name in names)


def _known(name: str) -> AnySystem:
    if name not in SYSTEMS:
        known = ", ".join(SYSTEMS)
        raise InvalidInput("invalid_payload", f'Unknown system "{name[:64]}"; known are {known}', field="system")
    return SYSTEMS[name]


def _checked(model: type[BaseModel], values: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Hold values against a model; return all of them as JSON, with what is not given as it is by default."""
    try:
        return model.model_validate(dict(values)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join([field, *(str(step) for step in first["loc"])])
        raise InvalidInput("invalid_payload", f'"{where}" is not usable: {first["msg"]}', field=where) from error
