"""Who is asking, and what they may do: API keys, passwords, session tokens."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from delivery.domain.errors import HooklineError, InvalidInput
from delivery.domain.ids import new_id
from delivery.domain.model import AccountId, KeyId, Plan, Scope, UserId
from delivery.gather import Gatherer
from delivery.intake import Meter, period
from delivery.ports import Surroundings
from delivery.store import accounts
from delivery.store.accounts import Account, ApiKey, User
from delivery.store.cursors import PageRequest
from delivery.store.engine import Store, Transaction
from delivery.store.reach import EVERYONE, Reach
from service.credentials import (
    KEY_ENTROPY,
    Credentials,
    Passwords,
    Sessions,
    Throttle,
    Unauthorised,
    digest,
    invalid_token,
    is_key,
    make_key,
)
from service.settings import Settings

#: What a key of each plan may publish in a month; None: as much as it likes.
PLANS: Mapping[Plan, int | None] = {"free": 500, "starter": 10_000, "pro": 100_000, "enterprise": None}

#: What ``X-RateLimit-Limit`` and ``-Remaining`` say where nothing is counted.
UNMETERED = 1_000_000_000

ALL_SCOPES: frozenset[Scope] = frozenset({"publish", "manage", "operate"})
ACCOUNT_SCOPES: frozenset[Scope] = frozenset({"publish", "manage"})

BOOTSTRAP_KEY = "bootstrap"

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LONGEST_EMAIL = 320


@dataclass(frozen=True, slots=True)
class Allowance:
    """The numbers of the ``X-RateLimit-…`` headers, as they were when the request came in."""

    limit: int
    remaining: int
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a key or a user, the account they act for, and whose rows they may see."""

    account_id: AccountId
    scopes: frozenset[Scope]
    key: ApiKey | None
    user: User | None
    reach: Reach
    meter: Meter | None
    allowance: Allowance

    @property
    def id(self) -> str:
        """The id of the key, or of the user where none was shown."""
        holder = self.key or self.user
        assert holder is not None
        return holder.id


class Bootstrapped(NamedTuple):
    """What ``bootstrap`` made or found. The key is shown this once."""

    account_id: AccountId
    user_id: UserId
    api_key: str
    token: str


class Auth:
    """Recognises whoever asks. A revoked key or a changed plan holds from the next request on, in every process."""

    def __init__(self, store: Store, around: Surroundings, settings: Settings) -> None:
        self._store = store
        self._around = around
        self._sessions = Sessions(settings.jwt_secret, around.clock)
        self._passwords = Passwords()
        self._throttle = Throttle(around.clock)
        self._last_used: dict[KeyId, datetime] = {}
        self._lookups: Gatherer[Credentials, Principal | HooklineError] = Gatherer(self._recognise, most=100)

    def running(self) -> AbstractAsyncContextManager[object]:
        """Recognise callers while the block is open."""
        return self._lookups.running()

    # -- on each request -----------------------------------------------------------------------------------------------

    async def identify(self, credentials: Credentials | None) -> Principal:
        """Say who is asking.

        Raises:
            Unauthorised: ``missing_api_key``, ``invalid_api_key`` or ``invalid_token``.
        """
        if credentials is None:
            raise Unauthorised("missing_api_key", "API key required")
        found = await self._lookups.hand_in(credentials)
        if isinstance(found, HooklineError):
            raise found
        return found

    async def _recognise(self, batch: Sequence[Credentials]) -> Sequence[Principal | HooklineError]:
        """Look up all who ask at the moment; whoever asks several times at once is looked up once."""
        now = self._around.clock.now()
        found: dict[Credentials, Principal | HooklineError] = {}
        async with self._store.reading() as tx:
            for credentials in dict.fromkeys(batch):
                look = self._holder if credentials.kind == "key" else self._visitor
                try:
                    found[credentials] = await look(tx, credentials.text, now)
                except HooklineError as refusal:  # the answer to this one, and no matter of the others
                    found[credentials] = refusal
        return [found[credentials] for credentials in batch]

    async def _holder(self, tx: Transaction, text: str, now: datetime) -> Principal:
        """Whoever holds this API key."""
        key = await accounts.key_by_digest(tx, digest(text)) if is_key(text) else None
        if key is None or key.revoked_at is not None:
            raise Unauthorised("invalid_api_key", "Invalid or revoked API key")
        self._last_used[key.id] = now
        if "operate" in key.scopes:
            return Principal(key.account_id, ALL_SCOPES, key, None, EVERYONE, None, _allowance(None, 0, now))
        limit = (await _account(tx, key.account_id)).monthly_events
        used = await accounts.used(tx, [key.id], period(now)) if limit is not None else {}
        return Principal(
            account_id=key.account_id,
            scopes=frozenset(key.scopes),
            key=key,
            user=None,
            reach=Reach(key.account_id),
            meter=Meter(key.id, limit) if limit is not None else None,
            allowance=_allowance(limit, used.get(key.id, 0), now),
        )

    async def _visitor(self, tx: Transaction, token: str, now: datetime) -> Principal:
        """Whoever logged in for this token. It uses up no key's quota, so its numbers are the whole plan's."""
        user = await accounts.find_user(tx, self._sessions.read(token))
        if user is None:
            raise invalid_token()
        account = await _account(tx, user.account_id)
        return Principal(
            account_id=user.account_id,
            scopes=ALL_SCOPES if user.operator else ACCOUNT_SCOPES,
            key=None,
            user=user,
            reach=EVERYONE if user.operator else Reach(user.account_id),
            meter=None,
            allowance=_allowance(account.monthly_events, 0, now),
        )

    async def note_key_use(self) -> None:
        """Write down when keys were last used, as gathered since the last call."""
        gathered, self._last_used = self._last_used, {}
        if not gathered:
            return
        try:
            async with self._store.writing() as tx:
                await accounts.touch_keys(tx, gathered)
        except BaseException:  # not written: keep it for the next call, under whatever came in meanwhile
            self._last_used = gathered | self._last_used
            raise

    # -- people and keys -----------------------------------------------------------------------------------------------

    async def log_in(self, email: str, password: str) -> tuple[str, User, Account]:
        """Trade a password for a session token.

        Raises:
            Unauthorised: ``invalid_credentials``, after the same time whether or not there is such a user.
            TooManyLogins: too many wrong passwords for this address lately.
        """
        name = email.strip().lower()
        self._throttle.admit(name)
        async with self._store.reading() as tx:
            user = await accounts.user_by_email(tx, name)
        if not await self._passwords.match(password, user.password_hash if user else None) or user is None:
            raise Unauthorised("invalid_credentials", "Wrong e-mail address or password")
        self._throttle.forget(name)
        async with self._store.reading() as tx:
            account = await _account(tx, user.account_id)
        return self._sessions.issue(user.id), user, account

    async def create_key(self, account_id: AccountId, name: str, scopes: Collection[Scope]) -> tuple[ApiKey, str]:
        """Make an API key; return it and its text, which is shown this once."""
        key, text = self._new_key(account_id, name, scopes)
        async with self._store.writing() as tx:
            await accounts.add_key(tx, key)
        return key, text

    def _new_key(self, account_id: AccountId, name: str, scopes: Collection[Scope]) -> tuple[ApiKey, str]:
        now = self._around.clock.now()
        text = make_key(self._around.entropy(KEY_ENTROPY))
        key_id = KeyId(new_id("key", now, self._around.luck))
        return ApiKey(key_id, account_id, name, digest(text), text[-4:], tuple(sorted(scopes)), now), text

    async def bootstrap(
        self,
        email: str,
        password: str,
        plan: Plan | None = None,
        operator: bool = False,  # noqa: FBT001, FBT002 - one word on the command line as well
    ) -> Bootstrapped:
        """Make an account with a user and a key, or bring the one of this address up to date.

        The account and the user of an address stay the same for ever. A key can be shown only once, so each call makes
        a new one, in the place of the one that the call before made. Without a plan a new account is an unmetered
        ``enterprise`` one, and an existing one keeps what it has.
        """
        name = email.strip().lower()
        if not _EMAIL.fullmatch(name) or len(name) > _LONGEST_EMAIL:
            raise InvalidInput("invalid_payload", "An e-mail address has a name, an @ and a host", field="email")
        if not password:
            raise InvalidInput("invalid_payload", "A password has at least one character", field="password")
        password_hash = await self._passwords.hash(password)
        async with self._store.writing() as tx:
            user = await accounts.user_by_email(tx, name)
            if user is None:
                user = await self._add(tx, name, password_hash, plan or "enterprise", operator=operator)
            else:
                await accounts.set_password(tx, user.id, password_hash, operator=operator)
                if plan is not None:
                    await accounts.set_plan(tx, user.account_id, plan, PLANS[plan])
            text = await self._replace_bootstrap_key(tx, user.account_id, operator=operator)
        token = self._sessions.issue(user.id)
        return Bootstrapped(user.account_id, user.id, text, token)

    async def _add(self, tx: Transaction, email: str, password_hash: str, plan: Plan, *, operator: bool) -> User:
        now, luck = self._around.clock.now(), self._around.luck
        account = Account(AccountId(new_id("acc", now, luck)), plan, PLANS[plan], now)
        user = User(UserId(new_id("usr", now, luck)), account.id, email, password_hash, operator, now)
        await accounts.add_account(tx, account)
        await accounts.add_user(tx, user)
        return user

    async def _replace_bootstrap_key(self, tx: Transaction, account_id: AccountId, *, operator: bool) -> str:
        reach, cursor = Reach(account_id), None
        while True:
            page = await accounts.browse_keys(tx, reach, PageRequest(limit=100, cursor=cursor))
            for old in page.items:
                if old.name == BOOTSTRAP_KEY and old.revoked_at is None:
                    await accounts.revoke_key(tx, reach, old.id, self._around.clock.now())
            cursor = page.next
            if cursor is None:
                break
        key, text = self._new_key(account_id, BOOTSTRAP_KEY, ALL_SCOPES if operator else ACCOUNT_SCOPES)
        await accounts.add_key(tx, key)
        return text


def next_period(now: datetime) -> datetime:
    """The start of the next billing period.

    >>> from datetime import UTC
    >>> next_period(datetime(2026, 12, 24, 18, tzinfo=UTC)).isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _allowance(limit: int | None, used: int, now: datetime) -> Allowance:
    if limit is None:
        return Allowance(UNMETERED, UNMETERED, next_period(now))
    return Allowance(limit, max(0, limit - used), next_period(now))


async def _account(tx: Transaction, account_id: AccountId) -> Account:
    account = await accounts.find_account(tx, account_id)
    if account is None:  # a foreign key keeps accounts that have people or keys
        raise LookupError(account_id)
    return account
