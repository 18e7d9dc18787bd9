"""Statements about logging in: the sessions that last, and the tries that went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from delivery.domain.model import UserId
from delivery.store.accounts import User
from delivery.store.engine import Transaction
from delivery.store.tables import login_tries, sessions, users


@dataclass(frozen=True, slots=True)
class Session:
    """A person who has logged in somewhere, until ``expires_at`` or until it is ended."""

    id: str
    user_id: UserId
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Tries:
    """How often it was tried since a moment."""

    count: int
    since: datetime


async def begin_session(tx: Transaction, session: Session) -> None:
    """Insert a session."""
    row = {"id": session.id, "user_id": session.user_id}
    await tx.execute(insert(sessions).values(**row, created_at=session.created_at, expires_at=session.expires_at))


async def user_in_session(tx: Transaction, session_id: str, now: datetime) -> User | None:
    """Whose session this is, if it goes on."""
    lasting = select(users).join(sessions, sessions.c.user_id == users.c.id)
    row = (await tx.execute(lasting.where(sessions.c.id == session_id, sessions.c.expires_at > now))).one_or_none()
    return User(**row._mapping) if row else None  # noqa: SLF001 - the documented way to a row's names


async def end_session(tx: Transaction, session_id: str) -> None:
    """End a session, for every process at once."""
    await tx.execute(delete(sessions).where(sessions.c.id == session_id))


async def end_sessions_of(tx: Transaction, user_id: UserId) -> None:
    """End every session of a user."""
    await tx.execute(delete(sessions).where(sessions.c.user_id == user_id))


async def count_tries(
    tx: Transaction, subjects: Sequence[str], *, now: datetime, none_before: datetime
) -> Mapping[str, Tries]:
    """Count one more try for each of the subjects; what was tried before ``none_before`` counts no longer."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    stale = login_tries.c.since <= none_before
    counted = (
        dialect.insert(login_tries)
        .values(tries=1, since=now)
        .on_conflict_do_update(
            index_elements=[login_tries.c.subject],
            set_={
                "tries": case((stale, 1), else_=login_tries.c.tries + 1),
                "since": case((stale, now), else_=login_tries.c.since),
            },
        )
        .returning(login_tries.c.tries, login_tries.c.since)
    )
    found: dict[str, Tries] = {}
    for subject in sorted(subjects):  # in one order for everybody, so that two who try do not lock each other out
        row = (await tx.execute(counted, {"subject": subject})).one()
        found[subject] = Tries(row.tries, row.since)
    return found


async def forget_tries(tx: Transaction, subject: str) -> None:
    """Forget every try of a subject."""
    await tx.execute(delete(login_tries).where(login_tries.c.subject == subject))


async def take_back_try(tx: Transaction, subject: str) -> None:
    """Take back the last try of a subject: it was not wrong."""
    tried = (login_tries.c.subject == subject, login_tries.c.tries > 0)
    await tx.execute(update(login_tries).where(*tried).values(tries=login_tries.c.tries - 1))


async def prune(tx: Transaction, *, expired_at: datetime, tried_before: datetime, limit: int) -> int:
    """Delete sessions and tries that mean nothing any more; return how many rows that were."""
    old_sessions = select(sessions.c.id).where(sessions.c.expires_at <= expired_at).limit(limit)
    old_tries = select(login_tries.c.subject).where(login_tries.c.since <= tried_before).limit(limit)
    gone = 0
    for table, key, old in ((sessions, sessions.c.id, old_sessions), (login_tries, login_tries.c.subject, old_tries)):
        gone += (await tx.execute(delete(table).where(key.in_(old)))).rowcount
    return gone
