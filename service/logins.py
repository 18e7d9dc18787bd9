"""People come in with a password, and go out again: sessions begin, last, and end for every process at once."""

from dataclasses import dataclass, field
from datetime import datetime

from delivery.domain.ids import new_id
from delivery.domain.model import UserId
from delivery.ports import Surroundings
from delivery.store import accounts, logins
from delivery.store.accounts import Account, User
from delivery.store.engine import Store, Transaction
from delivery.telemetry import tell, warn
from service import throttle
from service.credentials import Passwords, Unauthorised
from service.throttle import WINDOW, Attempted
from service.tokens import SESSION, OwnTokens, Tokens, own

#: Rows per transaction of pruning.
_HANDFUL = 500


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who is in, and the token that says so. ``csrf``: what a browser's page of this session hands back."""

    token: str = field(repr=False)
    csrf: str = field(repr=False)
    user: User
    account: Account


class Logins:
    """The way in with a password, and the way out."""

    def __init__(self, store: Store, around: Surroundings, passwords: Passwords, tokens: Tokens) -> None:
        self._store = store
        self._around = around
        self._passwords = passwords
        self._tokens = tokens

    @property
    def here(self) -> bool:
        """Whether people log in here, and not at the platform."""
        return isinstance(self._tokens, OwnTokens)

    async def log_in(self, email: str, password: str, address: str | None) -> LoggedIn:
        """Trade a password for a session. ``address`` is where the client calls from, if that is known.

        Raises:
            Unauthorised: ``invalid_credentials``, after the same time whether or not there is such a user.
            TooManyLogins: too many wrong passwords for this user, or from this address, lately.
            Forbidden: people log in at the platform.
        """
        tokens, now = own(self._tokens), self._around.clock.now()
        name = email.strip().lower()
        attempted = Attempted.by(name, address)
        async with self._store.writing() as tx:
            refusal = await throttle.admit(tx, attempted, now)
        if refusal is not None:
            warn("login.throttled", client=address, again_in_s=refusal.retry_after_s)
            raise refusal
        async with self._store.reading() as tx:
            user = await accounts.user_by_email(tx, name)
        if not await self._passwords.match(password, user.password_hash if user else None) or user is None:
            warn("login.failed", user_id=user.id if user else None, client=address)
            raise Unauthorised("invalid_credentials", "Wrong e-mail address or password")
        async with self._store.writing() as tx:
            await throttle.forgive(tx, attempted)
            session_id = await self._begin(tx, user.id, now)
            account = await accounts.account_of(tx, user.account_id)
        tell("login.succeeded", user_id=user.id, session_id=session_id, client=address)
        return LoggedIn(tokens.issue(user.id, session_id, now), tokens.csrf(session_id), user, account)

    async def begin(self, tx: Transaction, user_id: UserId) -> str:
        """Begin a session without asking for a password; return its token."""
        tokens, now = own(self._tokens), self._around.clock.now()
        return tokens.issue(user_id, await self._begin(tx, user_id, now), now)

    async def _begin(self, tx: Transaction, user_id: UserId, now: datetime) -> str:
        session_id = new_id("ses", now, self._around.luck)
        await logins.begin_session(tx, logins.Session(session_id, user_id, now, now + SESSION))
        return session_id

    async def log_out(self, session_id: str) -> None:
        """End a session."""
        async with self._store.writing() as tx:
            await logins.end_session(tx, session_id)
        tell("login.ended", session_id=session_id)

    async def prune(self) -> None:
        """Forget sessions and tries that mean nothing any more, a handful per transaction."""
        now, gone = self._around.clock.now(), _HANDFUL
        while gone >= _HANDFUL:
            async with self._store.writing() as tx:
                gone = await logins.prune(tx, expired_at=now, tried_before=now - WINDOW, limit=_HANDFUL)
