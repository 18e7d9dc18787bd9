"""Who is asking, and what they may do: API keys, passwords, session tokens."""

import re
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import NamedTuple, SupportsFloat, assert_never

from delivery.domain.deeds import COMMAND_LINE, By, Deed
from delivery.domain.errors import HooklineError, InvalidInput
from delivery.domain.ids import new_id
from delivery.domain.model import AccountId, KeyId, Plan, Scope, UserId
from delivery.gather import Gatherer
from delivery.intake import Meter, period
from delivery.ports import Surroundings
from delivery.store import accounts, audit, logins
from delivery.store.accounts import Account, ApiKey, User
from delivery.store.cursors import PageRequest
from delivery.store.engine import Store, Transaction
from delivery.store.reach import EVERYONE, Reach
from service.credentials import (
    KEY_ENTROPY,
    Credentials,
    Passwords,
    Unauthorised,
    digest,
    invalid_token,
    is_key,
    make_key,
)
from service.logins import Logins
from service.plans import PLANS, Allowance, allowance
from service.settings import Settings
from service.tokens import InSession, OfPlatform, OwnTokens, tokens_of

ALL_SCOPES: frozenset[Scope] = frozenset({"publish", "manage", "operate"})
ACCOUNT_SCOPES: frozenset[Scope] = frozenset({"publish", "manage"})

BOOTSTRAP_KEY = "bootstrap"

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LONGEST_EMAIL = 320


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a key or a user, the account they act for, and whose rows they may see.

    ``session_id`` is that of a user who logged in here; ``csrf`` is what its pages hand back.
    """

    account_id: AccountId
    scopes: frozenset[Scope]
    key: ApiKey | None
    user: User | None
    reach: Reach
    meter: Meter | None
    allowance: Allowance
    session_id: str | None = None
    csrf: str | None = None

    @property
    def by(self) -> By:
        """Who it is, for the audit trail."""
        if self.key is not None:
            return By(self.key.id, self.key.label)
        assert self.user is not None
        return By(self.user.id, self.user.email)


class Bootstrapped(NamedTuple):
    """What ``bootstrap`` made or found. The key is shown this once; where the platform issues tokens there is none."""

    account_id: AccountId
    user_id: UserId
    api_key: str
    token: str | None


@dataclass(frozen=True, slots=True)
class _WithKey:
    """Somebody who shows an API key of this digest."""

    digest: str


_Claim = _WithKey | InSession | OfPlatform


class Auth:
    """Recognises whoever asks. A revoked key, an ended session, a changed plan: all hold from the next request on."""

    def __init__(self, store: Store, around: Surroundings, settings: Settings) -> None:
        self._store = store
        self._around = around
        self._tokens = tokens_of(settings, around.clock)
        self._passwords = Passwords()
        self.logins = Logins(store, around, self._passwords, self._tokens)
        self._last_used: dict[KeyId, datetime] = {}
        self._lookups: Gatherer[_Claim, Principal | HooklineError] = Gatherer(self._recognise, most=100)

    def running(self, *, grace_s: SupportsFloat) -> AbstractAsyncContextManager[object]:
        """Recognise callers while the block is open; who has asked by then is told within ``grace_s``."""
        return self._lookups.running(grace_s=grace_s)

    # -- on each request -----------------------------------------------------------------------------------------------

    async def identify(self, credentials: Credentials | None) -> Principal:
        """Say who is asking.

        Raises:
            Unauthorised: ``missing_api_key``, ``invalid_api_key`` or ``invalid_token``.
            PlatformAway: the platform's keys cannot be had at the moment.
        """
        if credentials is None:
            raise Unauthorised("missing_api_key", "API key required")
        found = await self._lookups.hand_in(await self._claim(credentials))
        if isinstance(found, HooklineError):
            raise found
        return found

    async def _claim(self, credentials: Credentials) -> _Claim:
        """What credentials say, as far as that can be known without the store."""
        if credentials.kind == "token":
            return await self._tokens.read(credentials.text)
        if not is_key(credentials.text):
            raise _unknown_key()
        return _WithKey(digest(credentials.text))

    async def _recognise(self, batch: Sequence[_Claim]) -> Sequence[Principal | HooklineError]:
        """Look up all who ask at the moment; whoever asks several times at once is looked up once."""
        now = self._around.clock.now()
        found: dict[_Claim, Principal | HooklineError] = {}
        async with self._store.reading() as tx:
            for claim in dict.fromkeys(batch):
                try:
                    found[claim] = await self._principal(tx, claim, now)
                except HooklineError as refusal:  # the answer to this one, and no matter of the others
                    found[claim] = refusal
        return [found[claim] for claim in batch]

    async def _principal(self, tx: Transaction, claim: _Claim, now: datetime) -> Principal:
        match claim:
            case _WithKey():
                return await self._holder(tx, claim, now)
            case InSession():
                user = await logins.user_in_session(tx, claim.session_id, now)
                return await self._visitor(tx, user, now, claim.session_id)
            case OfPlatform():
                return await self._visitor(tx, await _named(tx, claim), now, None)
        assert_never(claim)

    async def _holder(self, tx: Transaction, claim: _WithKey, now: datetime) -> Principal:
        """Whoever holds this API key."""
        key = await accounts.key_by_digest(tx, claim.digest)
        if key is None or key.revoked_at is not None:
            raise _unknown_key()
        self._last_used[key.id] = now
        if "operate" in key.scopes:
            return Principal(key.account_id, ALL_SCOPES, key, None, EVERYONE, None, allowance(None, 0, now))
        limit = (await accounts.account_of(tx, key.account_id)).monthly_events
        used = await accounts.used(tx, [key.id], period(now)) if limit is not None else {}
        return Principal(
            account_id=key.account_id,
            scopes=frozenset(key.scopes),
            key=key,
            user=None,
            reach=Reach(key.account_id),
            meter=Meter(key.id, limit) if limit is not None else None,
            allowance=allowance(limit, used.get(key.id, 0), now),
        )

    async def _visitor(self, tx: Transaction, user: User | None, now: datetime, session_id: str | None) -> Principal:
        """A person. They use up no key's quota, so their numbers are the whole plan's."""
        if user is None:
            raise invalid_token()
        account = await accounts.account_of(tx, user.account_id)
        own = self._tokens if isinstance(self._tokens, OwnTokens) else None
        return Principal(
            account_id=user.account_id,
            scopes=ALL_SCOPES if user.operator else ACCOUNT_SCOPES,
            key=None,
            user=user,
            reach=EVERYONE if user.operator else Reach(user.account_id),
            meter=None,
            allowance=allowance(account.monthly_events, 0, now),
            session_id=session_id,
            csrf=own.csrf(session_id) if own and session_id else None,
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

    async def create_key(
        self, account_id: AccountId, name: str, scopes: Collection[Scope], *, by: By
    ) -> tuple[ApiKey, str]:
        """Make an API key; return it and its text, which is shown this once."""
        key, text = self._new_key(account_id, name, scopes)
        async with self._store.writing() as tx:
            await self._add_key(tx, by, key)
        return key, text

    async def revoke_key(self, reach: Reach, key_id: str, *, by: By) -> bool:
        """Revoke an API key: from now on it is refused everywhere. False: there is no such key in use."""
        async with self._store.writing() as tx:
            return await self._revoke_key(tx, reach, key_id, by)

    async def _add_key(self, tx: Transaction, by: By, key: ApiKey) -> None:
        await accounts.add_key(tx, key)
        scopes = {"scopes": key.scopes}
        await self._note(tx, by, Deed("key.created", key.account_id, key.id, key.label, after=scopes))

    async def _revoke_key(self, tx: Transaction, reach: Reach, key_id: str, by: By) -> bool:
        key = await accounts.revoke_key(tx, reach, key_id, self._around.clock.now())
        if key is not None:
            scopes = {"scopes": key.scopes}
            await self._note(tx, by, Deed("key.revoked", key.account_id, key.id, key.label, before=scopes))
        return key is not None

    async def _note(self, tx: Transaction, by: By, deed: Deed) -> None:
        await audit.note(tx, by, deed, now=self._around.clock.now(), luck=self._around.luck)

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
        async with self._store.reading() as tx:
            known = await accounts.user_by_email(tx, name)
        same = known is not None and await self._passwords.match(password, known.password_hash)
        password_hash = known.password_hash if known and same else await self._passwords.hash(password)
        async with self._store.writing() as tx:
            user = await accounts.user_by_email(tx, name)
            if user is None:
                user = await self._add(tx, name, password_hash, plan or "enterprise", operator=operator)
            else:
                await self._renew(tx, user, password_hash, plan, operator=operator)
            text = await self._replace_bootstrap_key(tx, user.account_id, operator=operator)
            token = await self.logins.begin(tx, user.id) if self.logins.here else None
        return Bootstrapped(user.account_id, user.id, text, token)

    async def _renew(
        self, tx: Transaction, user: User, password_hash: str, plan: Plan | None, *, operator: bool
    ) -> None:
        """Bring a user up to date. With another password, whoever logged in with the one before is out."""
        await accounts.set_password(tx, user.id, password_hash, operator=operator)
        if not compare_digest(user.password_hash, password_hash):
            await logins.end_sessions_of(tx, user.id)
            await self._note(tx, COMMAND_LINE, Deed("password.changed", user.account_id, user.id, user.email))
        account = await accounts.account_of(tx, user.account_id)
        if plan is not None:
            await accounts.set_plan(tx, user.account_id, plan, PLANS[plan])
        before = {"plan": account.plan, "operator": user.operator}
        after = {"plan": plan or account.plan, "operator": operator}
        if before != after:
            deed = Deed("account.changed", account.id, account.id, user.email, before, after)
            await self._note(tx, COMMAND_LINE, deed)

    async def _add(self, tx: Transaction, email: str, password_hash: str, plan: Plan, *, operator: bool) -> User:
        now, luck = self._around.clock.now(), self._around.luck
        account = Account(AccountId(new_id("acc", now, luck)), plan, PLANS[plan], now)
        user = User(UserId(new_id("usr", now, luck)), account.id, email, password_hash, operator, now)
        await accounts.add_account(tx, account)
        await accounts.add_user(tx, user)
        made = Deed("account.created", account.id, account.id, email, after={"plan": plan, "operator": operator})
        await self._note(tx, COMMAND_LINE, made)
        return user

    async def _replace_bootstrap_key(self, tx: Transaction, account_id: AccountId, *, operator: bool) -> str:
        reach, cursor = Reach(account_id), None
        while True:
            page = await accounts.browse_keys(tx, reach, PageRequest(limit=100, cursor=cursor))
            for old in page.items:
                if old.name == BOOTSTRAP_KEY and old.revoked_at is None:
                    await self._revoke_key(tx, reach, old.id, COMMAND_LINE)
            cursor = page.next
            if cursor is None:
                break
        key, text = self._new_key(account_id, BOOTSTRAP_KEY, ALL_SCOPES if operator else ACCOUNT_SCOPES)
        await self._add_key(tx, COMMAND_LINE, key)
        return text


def _unknown_key() -> Unauthorised:
    return Unauthorised("invalid_api_key", "Invalid or revoked API key")


async def _named(tx: Transaction, claim: OfPlatform) -> User | None:
    """The user whom the platform means."""
    for name in claim.names:
        look = accounts.user_by_email if "@" in name else accounts.find_user
        user = await look(tx, name)
        if user is not None:
            return user
    return None
