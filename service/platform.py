"""The keys with which the platform signs its tokens, as it publishes them (JWKS, RFC 7517)."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from delivery.ports import Clock
from delivery.telemetry import warn

#: Keys are asked for again when they are so old; while the platform is away they are good for so long, and no longer.
_FRESH = timedelta(minutes=10)
_GOOD = timedelta(hours=1)

#: However many tokens name keys that nobody knows, the platform is not asked more often.
_BETWEEN = timedelta(seconds=30)

_PATIENCE_S = 5.0
_MOST_BYTES = 256 * 1024
_MOST_KEYS = 100

#: Signatures that need no secret of ours, and are not known to be weak.
_ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
_LEAST_RSA_BITS = 2048


class PlatformAway(Exception):
    """The keys of the platform cannot be had, so nobody can say whether a token is good."""


class PlatformKeys:
    """The platform's keys by their ids, remembered for a while."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._away = False
        self._turn = asyncio.Lock()

    async def find(self, kid: Any) -> jwt.PyJWK | None:
        """The key of this id; without an id, the only key there is.

        Raises:
            PlatformAway: there are no keys, or none of this id, and the platform does not answer.
        """
        now = self._clock.now()
        # one waits for the platform; whoever else has an older key need not, and who has none finds what was fetched
        if not self._known(kid, now, _GOOD if self._turn.locked() else _FRESH):
            async with self._turn:
                await self._refresh(now)
        if self._known(kid, now, _GOOD):
            return self._keys[kid]
        if self._away:
            raise PlatformAway("its keys cannot be fetched")
        return None

    def _known(self, kid: Any, now: datetime, age: timedelta) -> bool:
        current = self._fetched_at is not None and now < self._fetched_at + age
        return current and isinstance(kid, (str, type(None))) and kid in self._keys

    async def _refresh(self, now: datetime) -> None:
        if self._asked_at is not None and now < self._asked_at + _BETWEEN:
            return
        self._asked_at = now
        try:
            self._keys = dict(_usable(await self._fetch()))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
            # away, or no key set: the keys that are known stay good for a while
            self._away = True
            warn("platform.away", url=self._url, error=f"{type(error).__name__}: {error}"[:200])
        else:
            self._away, self._fetched_at = False, now

    async def _fetch(self) -> Any:
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(self._url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status != HTTPStatus.OK:  # a redirect is no answer either: the setting says where the keys are
                raise ValueError(f"the answer is {response.status}")
            raw = bytearray()
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > _MOST_BYTES:
                    raise ValueError(f"the answer has more than {_MOST_BYTES} bytes")
            return json.loads(raw)


def _usable(document: Any) -> Iterator[tuple[str | None, jwt.PyJWK]]:
    """The keys that can verify a signature and are for that; a lone one is found without its id, too."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the answer is no JSON Web Key Set")  # noqa: TRY004 - it is what was fetched that is wrong
    keys = [(entry.get("kid"), key) for entry in entries[:_MOST_KEYS] if (key := _key(entry)) is not None]
    yield from ((kid, key) for kid, key in keys if isinstance(kid, str))
    if len(keys) == 1:
        yield None, keys[0][1]


def _key(entry: Any) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:  # "d": no secret any more
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError):  # of a kind that is not known here: the others may be
        return None
    weak = isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS
    return key if key.algorithm_name in _ALGORITHMS and not weak else None
