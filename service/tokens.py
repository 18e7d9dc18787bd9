"""Session tokens: JWT. Our own mean a session in the store; the platform's name a user, under keys it publishes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import digest
from typing import Any

import jwt

from delivery.domain.model import UserId
from delivery.ports import Clock
from service.credentials import Forbidden, invalid_token
from service.platform import PlatformKeys
from service.settings import Settings

#: How long a session lasts.
SESSION = timedelta(days=30)

#: By how many seconds the platform's clock may differ from ours.
_LEEWAY_S = 60

#: The library compares times with the machine's clock; ours is the one that was handed in.
_OPTIONS: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_sub": False}


@dataclass(frozen=True, slots=True)
class InSession:
    """Somebody who logged in here."""

    session_id: str


@dataclass(frozen=True, slots=True)
class OfPlatform:
    """Somebody whom the platform vouches for: ids or e-mail addresses, the first one of a known user counts."""

    names: tuple[str, ...]


class OwnTokens:
    """HS256 under a secret of ours, for 30 days. They mean a session, and nothing when that has ended."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, user_id: UserId, session_id: str, issued: datetime) -> str:
        """Make a token."""
        at = int(issued.timestamp())
        claims = {"sub": user_id, "jti": session_id, "iat": at, "exp": at + int(SESSION.total_seconds())}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    async def read(self, token: str) -> InSession:
        """The session that a valid token means.

        Raises:
            Unauthorised: ``invalid_token``.
        """
        options = _OPTIONS | {"require": ["exp", "jti"]}
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], options=options)
        except jwt.InvalidTokenError as error:  # not a token, not ours, or changed
            raise invalid_token() from error
        if not _in_time(claims, self._clock.now().timestamp(), leeway_s=0):
            raise invalid_token()
        return InSession(str(claims["jti"]))

    def csrf(self, session_id: str) -> str:
        """What a page of a session hands back with everything that it asks to change. No other site can know it."""
        return digest(self._secret.encode(), b"csrf " + session_id.encode(), sha256).hex()


class PlatformTokens:
    """Tokens of the platform that people log in at: RS256, ES256 or EdDSA, as its key says and not as the token does.

    Users are found by ``sub``, which is a user's id or e-mail address here; else by ``email``, if the token says that
    the platform has verified it.
    """

    def __init__(self, keys: PlatformKeys, clock: Clock, *, audience: str | None, issuer: str | None) -> None:
        self._keys = keys
        self._clock = clock
        self._audience = audience
        self._issuer = issuer

    async def read(self, token: str) -> OfPlatform:
        """Whom a valid token names.

        Raises:
            Unauthorised: ``invalid_token``.
            PlatformAway: its keys cannot be had at the moment.
        """
        try:
            key = await self._keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise invalid_token()
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                options=_OPTIONS | {"require": self._required()},
            )
        except jwt.InvalidTokenError as error:  # not a token, not the platform's, for somebody else, or changed
            raise invalid_token() from error
        if not _in_time(claims, self._clock.now().timestamp(), leeway_s=_LEEWAY_S):
            raise invalid_token()
        return OfPlatform(_names(claims))

    def _required(self) -> list[str]:
        wanted = {"exp": True, "sub": True, "aud": self._audience, "iss": self._issuer}
        return [claim for claim, demand in wanted.items() if demand]


Tokens = OwnTokens | PlatformTokens


def tokens_of(settings: Settings, clock: Clock) -> Tokens:
    """The tokens that the settings say are accepted: the platform's, or our own."""
    if settings.jwt_jwks_url is not None:
        keys = PlatformKeys(settings.jwt_jwks_url, clock)
        return PlatformTokens(keys, clock, audience=settings.jwt_audience, issuer=settings.jwt_issuer)
    assert settings.jwt_secret is not None, "the settings see to it"
    return OwnTokens(settings.jwt_secret, clock)


def own(tokens: Tokens) -> OwnTokens:
    """The tokens as ours to issue.

    Raises:
        Forbidden: the platform issues them.
    """
    if isinstance(tokens, PlatformTokens):
        raise Forbidden("forbidden", "People log in at the platform here; bring its token, or an API key")
    return tokens


def _names(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Whom claims name.

    >>> _names({"sub": 42, "email": "you@example.com", "email_verified": True})
    ('42', 'you@example.com')
    >>> _names({"sub": "usr_1", "email": "you@example.com"})
    ('usr_1',)
    """
    verified = claims.get("email_verified") is True
    return (str(claims["sub"]), *([str(claims["email"])] if verified and "email" in claims else []))


def _in_time(claims: Mapping[str, Any], now: float, *, leeway_s: float) -> bool:
    """Whether a token holds now. What is no number holds never.

    >>> _in_time({"exp": 100, "nbf": 90, "iat": 90}, 95, leeway_s=0), _in_time({"exp": 95}, 95, leeway_s=0)
    (True, False)
    >>> _in_time({"exp": "never"}, 95, leeway_s=0), _in_time({"exp": 100, "nbf": 96}, 95, leeway_s=0)
    (False, False)
    """
    begins = [claims.get("nbf", now), claims.get("iat", now)]
    if not all(isinstance(moment, (int, float)) for moment in (claims["exp"], *begins)):
        return False
    return bool(claims["exp"] > now - leeway_s and all(begin <= now + leeway_s for begin in begins))
