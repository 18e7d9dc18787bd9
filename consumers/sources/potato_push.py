"""Potato's own webhooks: they lose content, so they are believed to say that something happened, and to whom."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from consumers.sources.connector import Heard, Push, Unauthorised
from delivery.domain.errors import InvalidInput

#: How far apart the clocks may be. Its retries are signed anew.
_TOLERANCE = timedelta(minutes=5)


def read_push(push: Push, secret: str | None, now: datetime) -> Sequence[Heard]:
    """Read a webhook; with a secret it must bear a signature of Standard Webhooks, made with the secret as it stands.

    Raises:
        Unauthorised: the signature is missing, wrong or old.
        InvalidInput: it is not JSON.
    """
    if secret is not None:
        _verify(push, secret, now)
    try:
        said: Any = json.loads(push.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput("invalid_json", "A webhook of Potato is JSON") from error
    data = said.get("data") if isinstance(said, Mapping) else None
    user = data.get("user_id") if isinstance(data, Mapping) else None
    return [Heard(user[:255] if isinstance(user, str) else "")]


def _verify(push: Push, secret: str, now: datetime) -> None:
    name, at = push.headers.get("webhook-id", ""), push.headers.get("webhook-timestamp", "")
    given = push.headers.get("webhook-signature", "").split()
    if not (name and at and given):
        raise Unauthorised("The signature is missing: set the secret in Potato's configuration, too")
    signed = b".".join([name.encode(errors="surrogateescape"), at.encode(errors="surrogateescape"), push.body])
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    if not any(hmac.compare_digest(digest, _decoded(one)) for one in given):
        raise Unauthorised("The signature is wrong: the secret is another one in Potato's configuration")
    if abs(now - _moment(at)) > _TOLERANCE:
        raise Unauthorised("The signature is older than five minutes: compare the clocks")


def _decoded(signature: str) -> bytes:
    """The bytes of ``v1,base64``; of anything else none, which no digest is equal to."""
    version, _, text = signature.partition(",")
    try:
        return base64.b64decode(text, validate=True) if version == "v1" else b""
    except (binascii.Error, ValueError):
        return b""


def _moment(seconds: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):  # no moment at all is an old one
        return datetime.min.replace(tzinfo=UTC)
