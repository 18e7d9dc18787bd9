"""What people and programs show to be recognised: API keys, passwords, session tokens. Nothing here knows the store."""

import asyncio
import hashlib
import re
import string
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Literal

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cachetools import LRUCache

from delivery.domain.errors import HooklineError
from delivery.domain.model import UserId
from delivery.ports import Clock

#: How long a session token is good for, in seconds.
SESSION_S = 2_592_000

_PREFIX = "tmk_"
_KEY_LENGTH = 32
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_KEY = re.compile(rf"{_PREFIX}[{_BASE62}]{{{_KEY_LENGTH}}}")

#: Random bytes that go into a key: so many that no letter is likelier than another.
KEY_ENTROPY = 64


class Unauthorised(HooklineError):
    """Nobody we know is asking."""

    kind = "unauthorised"


class Forbidden(HooklineError):
    """Somebody we know is asking for what is not theirs."""

    kind = "forbidden"


class TooManyLogins(HooklineError):
    """So many wrong passwords that the next one has to wait."""

    kind = "limit"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too_many_logins", f"Too many wrong passwords; try again in {retry_after_s} seconds")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brings along: an API key or a session token, not yet believed."""

    kind: Literal["key", "token"]
    text: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Credentials | None":
        """Find them; ``X-API-Key`` wins over ``Authorization``.

        >>> Credentials.of({"X-API-Key": "a", "Authorization": "Bearer b"})
        Credentials(kind='key', text='a')
        >>> Credentials.of({"Authorization": "Basic eDp5"})
        """
        key = headers.get("X-API-Key")
        if key is not None:
            return cls("key", key.strip())
        scheme, _, rest = headers.get("Authorization", "").partition(" ")
        text = rest.strip()
        if scheme.lower() != "bearer" or not text:
            return None
        return cls("key" if text.startswith(_PREFIX) else "token", text)


def is_key(text: str) -> bool:
    """Whether this looks like an API key at all."""
    return _KEY.fullmatch(text) is not None


def make_key(entropy: bytes) -> str:
    """Make an API key's text.

    >>> make_key(bytes(64))
    'tmk_00000000000000000000000000000000'
    """
    number = int.from_bytes(entropy)
    letters = []
    for _ in range(_KEY_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        letters.append(_BASE62[digit])
    return _PREFIX + "".join(letters)


def digest(key: str) -> str:
    """What the store keeps of an API key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Sessions:
    """Session tokens: JWT, HS256, 30 days.

    Tokens of a platform that publishes its keys would be read here too, and issued there.
    """

    def __init__(self, secret: str | None, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, user_id: UserId) -> str:
        """Make a token."""
        if self._secret is None:
            raise Forbidden("forbidden", "Session tokens are issued by the platform; log in there")
        issued = int(self._clock.now().timestamp())
        claims = {"sub": user_id, "iat": issued, "exp": issued + SESSION_S}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def read(self, token: str) -> str:
        """The user whom a valid token names."""
        if self._secret is None:
            raise invalid_token()
        # the library compares with the machine's clock; ours is the one that was handed in
        options: Any = {"require": ["exp", "sub"], "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], options=options)
        except jwt.InvalidTokenError as error:  # not a token, not ours, or changed
            raise invalid_token() from error
        expires = claims["exp"]
        if not isinstance(expires, int) or expires <= self._clock.now().timestamp():
            raise invalid_token()
        return str(claims["sub"])


class Passwords:
    """Argon2id hashes, made in threads and two at a time: each takes 64 MiB and some fifty milliseconds of a core."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = asyncio.Semaphore(2)
        costs = f"m={self._hasher.memory_cost},t={self._hasher.time_cost},p={self._hasher.parallelism}"
        self._nobodys = f"$argon2id$v=19${costs}${'A' * 22}${'A' * 43}"

    async def hash(self, password: str) -> str:
        """Make a hash."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def match(self, password: str, password_hash: str | None) -> bool:
        """Compare; None is the hash of a user who does not exist, which takes as long and never matches."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, password_hash or self._nobodys, password)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):  # another password, or a hash that is none
            return False


class Throttle:
    """Slows down guessing: at most ten tries with wrong passwords for one address in a quarter of an hour."""

    MOST = 10
    WINDOW = timedelta(minutes=15)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries: LRUCache[str, deque[datetime]] = LRUCache(10_000)

    def admit(self, email: str) -> None:
        """Count a try. It counts before the password is looked at, so that many at once are no way around."""
        now = self._clock.now()
        tries = self._tries.setdefault(email, deque())
        while tries and tries[0] <= now - self.WINDOW:
            tries.popleft()
        if len(tries) >= self.MOST:
            raise TooManyLogins(ceil((tries[0] + self.WINDOW - now).total_seconds()))
        tries.append(now)

    def forget(self, email: str) -> None:
        """The password was right."""
        self._tries.pop(email, None)


def invalid_token() -> Unauthorised:
    """A token that is none, is not ours, was changed, or is too old."""
    return Unauthorised("invalid_token", "Invalid or expired session token")
