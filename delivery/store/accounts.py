"""Statements about accounts, their people, their API keys and what the keys have used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, func, insert, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite

from delivery.domain.model import AccountId, KeyId, Plan, Scope, UserId
from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import Transaction, listed
from delivery.store.reach import Reach
from delivery.store.tables import accounts, api_keys, usage, users


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant. ``monthly_events``: what one of its keys may publish in a month; None: as much as it likes."""

    id: AccountId
    plan: Plan
    monthly_events: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in."""

    id: UserId
    account_id: AccountId
    email: str
    password_hash: str = field(repr=False)
    operator: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, without the key itself."""

    id: KeyId
    account_id: AccountId
    name: str
    digest: str
    last4: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def label(self) -> str:
        """What people know it by."""
        return f"{self.name or 'API key'} …{self.last4}"


async def add_account(tx: Transaction, account: Account) -> None:
    """Insert an account."""
    await tx.execute(
        insert(accounts).values(
            id=account.id, plan=account.plan, monthly_events=account.monthly_events, created_at=account.created_at
        )
    )


async def find_account(tx: Transaction, account_id: str) -> Account | None:
    """One account."""
    row = (await tx.execute(select(accounts).where(accounts.c.id == account_id))).one_or_none()
    return Account(**row._mapping) if row else None  # noqa: SLF001 - the documented way to a row's names


async def account_of(tx: Transaction, account_id: AccountId) -> Account:
    """The account of a person or key: a foreign key keeps it."""
    account = await find_account(tx, account_id)
    if account is None:
        raise LookupError(account_id)
    return account


async def set_plan(tx: Transaction, account_id: AccountId, plan: Plan, monthly_events: int | None) -> None:
    """Change an account's plan."""
    change = update(accounts).where(accounts.c.id == account_id).values(plan=plan, monthly_events=monthly_events)
    await tx.execute(change)


async def add_user(tx: Transaction, user: User) -> None:
    """Insert a user."""
    await tx.execute(
        insert(users).values(
            id=user.id,
            account_id=user.account_id,
            email=user.email,
            password_hash=user.password_hash,
            operator=user.operator,
            created_at=user.created_at,
        )
    )


async def user_by_email(tx: Transaction, email: str) -> User | None:
    """The user who signs in with this address, in whatever case it is typed."""
    return _user((await tx.execute(select(users).where(users.c.email == email.strip().lower()))).one_or_none())


async def find_user(tx: Transaction, user_id: str) -> User | None:
    """One user."""
    return _user((await tx.execute(select(users).where(users.c.id == user_id))).one_or_none())


async def set_password(tx: Transaction, user_id: UserId, password_hash: str, *, operator: bool) -> None:
    """Change how a user signs in, and as what."""
    change = update(users).where(users.c.id == user_id).values(password_hash=password_hash, operator=operator)
    await tx.execute(change)


async def add_key(tx: Transaction, key: ApiKey) -> None:
    """Insert a key."""
    await tx.execute(
        insert(api_keys).values(
            id=key.id,
            account_id=key.account_id,
            name=key.name,
            digest=key.digest,
            last4=key.last4,
            scopes=key.scopes,
            created_at=key.created_at,
        )
    )


async def key_by_digest(tx: Transaction, digest: str) -> ApiKey | None:
    """The key whose SHA-256 this is, revoked or not."""
    row = (await tx.execute(select(api_keys).where(api_keys.c.digest == digest))).one_or_none()
    return _key(row) if row else None


async def browse_keys(tx: Transaction, reach: Reach, request: PageRequest) -> Page[ApiKey]:
    """A page of keys, newest first, revoked ones too."""
    return await page(tx, select(api_keys).where(reach.covers(api_keys)), api_keys.c.id, request, _key)


@dataclass(frozen=True, slots=True)
class Publishers:
    """How many keys may publish, and when one of them was last used."""

    keys: int
    last_used_at: datetime | None


async def publishers(tx: Transaction) -> Publishers:
    """Count the keys in use that may publish, of all accounts."""
    used = (api_keys.c.revoked_at.is_(None), type_coerce(api_keys.c.scopes, Text).contains('"publish"'))
    query = select(func.count().label("keys"), func.max(api_keys.c.last_used_at).label("last_used_at")).where(*used)
    return Publishers(**(await tx.execute(query)).one()._mapping)  # noqa: SLF001 - the documented way to a row's names


async def revoke_key(tx: Transaction, reach: Reach, key_id: str, now: datetime) -> ApiKey | None:
    """Revoke a key, for every process at once; None: there is no such key in use."""
    used = (reach.covers(api_keys), api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    revoked = update(api_keys).where(*used).values(revoked_at=now).returning(api_keys)
    row = (await tx.execute(revoked)).one_or_none()
    return _key(row) if row else None


async def touch_keys(tx: Transaction, last_used: Mapping[KeyId, datetime]) -> None:
    """Note when keys were last used."""
    for key_id, moment in sorted(last_used.items()):
        await tx.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=moment))


async def used(tx: Transaction, key_ids: Sequence[KeyId], period: str) -> dict[KeyId, int]:
    """How many events these keys have published in the period."""
    query = select(usage.c.key_id, usage.c.events).where(
        usage.c.key_id.in_(listed(tx, key_ids)), usage.c.period == period
    )
    return {KeyId(row.key_id): row.events for row in await tx.execute(query)}


async def lock_usage(tx: Transaction, key_ids: Sequence[KeyId], period: str) -> dict[KeyId, int]:
    """Read the counters of these keys and keep everybody else from them until the transaction ends."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    opened = dialect.insert(usage).on_conflict_do_nothing()
    # sorted: two transactions that lock several keys must do so in the same order
    await tx.execute(opened, [{"key_id": key_id, "period": period, "events": 0} for key_id in sorted(key_ids)])
    query = (
        select(usage.c.key_id, usage.c.events)
        .where(usage.c.key_id.in_(listed(tx, key_ids)), usage.c.period == period)
        .order_by(usage.c.key_id)
        .with_for_update()
    )
    return {KeyId(row.key_id): row.events for row in await tx.execute(query)}


async def count_usage(tx: Transaction, totals: Mapping[KeyId, int], period: str) -> None:
    """Write counters that this transaction holds."""
    for key_id, total in totals.items():
        row = (usage.c.key_id == key_id, usage.c.period == period)
        await tx.execute(update(usage).where(*row).values(events=total))


def _user(row: Row[Any] | None) -> User | None:
    return User(**row._mapping) if row else None  # noqa: SLF001 - the documented way to a row's names


def _key(row: Row[Any]) -> ApiKey:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's names
    return ApiKey(**values | {"scopes": tuple(values["scopes"])})
