"""What people and programs show to be recognised: API keys, passwords, session tokens. Nothing here knows the store."""

import asyncio
import hashlib
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from delivery.domain.errors import HooklineError

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
    """What a request brings along: an API key or a session token, not yet believed.

    ``from_cookie``: a browser sent it by itself, whoever made it send the request.
    """

    kind: Literal["key", "token"]
    text: str = field(repr=False)
    from_cookie: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, str], cookie: str | None = None) -> "Credentials | None":
        """Find them; ``X-API-Key`` wins over ``Authorization``, and that over a session's ``cookie``.

        >>> Credentials.of({"X-API-Key": "a", "Authorization": "Bearer b"}, "c").text
        'a'
        >>> Credentials.of({}, "c")
        Credentials(kind='token', from_cookie=True)
        >>> Credentials.of({"Authorization": "Basic eDp5"})
        """
        key = headers.get("X-API-Key")
        if key is not None:
            return cls("key", key.strip())
        scheme, _, rest = headers.get("Authorization", "").partition(" ")
        text = rest.strip()
        if scheme.lower() == "bearer" and text:
            return cls("key" if text.startswith(_PREFIX) else "token", text)
        return cls("token", cookie, from_cookie=True) if cookie else None


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


def invalid_token() -> Unauthorised:
    """A token that is none, is not ours, was changed, or is too old."""
    return Unauthorised("invalid_token", "Invalid or expired session token")
