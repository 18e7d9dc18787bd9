"""What a Potato says of itself: signed as Standard Webhooks are, but with the secret as it was typed for a key.

Its webhooks lose content and deliveries, so each only says whose work to look at.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from consumers.sources.connector import Heard, Push, Unauthorised
from delivery.domain.errors import InvalidInput

#: How far a push's own time may be from ours, in seconds; what Potato sends again it signs anew.
_TOLERANCE_S = 300

#: How much of a user's id is a subject: of a longer one nothing is said but that something happened.
_LONGEST_SUBJECT = 255


def heard(push: Push, secret: str, now: datetime) -> Sequence[Heard]:
    """Read a push. Without a secret to prove it with it is believed: it can do no more than have us look.

    Raises:
        Unauthorised: there is a secret, and the push was not signed with it just now.
        InvalidInput: it is not JSON with an event.
    """
    if secret:
        _verify(push, secret, now)
    said = _read(push.body)
    subject = _user(said)
    return [Heard(subject if len(subject) <= _LONGEST_SUBJECT else "", {"event": str(said["event"])[:64]})]


def _verify(push: Push, secret: str, now: datetime) -> None:
    identity, moment, signatures = (
        push.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    if not (identity and moment and signatures):
        raise Unauthorised("The headers webhook-id, webhook-timestamp and webhook-signature are missing")
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12):  # noqa: PLR2004 - years to come
        raise Unauthorised("webhook-timestamp is not a number of seconds")
    if abs(int(moment) - now.timestamp()) > _TOLERANCE_S:
        raise Unauthorised(f"webhook-timestamp is more than {_TOLERANCE_S} seconds away from now")
    signed = b".".join([identity.encode(errors="surrogateescape"), moment.encode(), push.body])
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    ours = b"v1," + base64.b64encode(digest)
    given = signatures.encode(errors="surrogateescape").split()
    if not any(hmac.compare_digest(ours, theirs) for theirs in given):
        raise Unauthorised("webhook-signature was not made with the source's webhook secret")


def _read(body: bytes) -> Mapping[str, Any]:
    """What a push says; nothing at all says that something happened."""
    if not body:
        return {"event": "", "data": {}}
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("invalid_json", "The body is not JSON") from error
    if not isinstance(said, dict) or not isinstance(said.get("event"), str):
        raise InvalidInput("invalid_payload", 'The body has no "event"', field="event")
    return said


def _user(said: Mapping[str, Any]) -> str:
    """Whose work an event is about; the empty one stands for everybody's."""
    data = said.get("data")
    user = data.get("user_id") if isinstance(data, dict) else None
    return user if isinstance(user, str) else ""
