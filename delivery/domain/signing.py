"""Signatures: the seed's, and Standard Webhooks.

Sources: the seed's "HMAC verification"; the Standard Webhooks specification 1.0, "Signature scheme".
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from delivery.domain.errors import Unprocessable

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
_PRINTABLE = re.compile(r"^[\x20-\x7e]{8,128}\Z")


def accept_secret(text: str) -> str:
    """A secret of the customer's own, taken as typed.

    >>> accept_secret("your-webhook-signing-secret")
    'your-webhook-signing-secret'
    """
    if not _PRINTABLE.match(text):
        raise Unprocessable("invalid_secret", "A secret is 8 to 128 printable ASCII characters", field="secret")
    return text


def make_secret(entropy: bytes) -> str:
    """A secret of ours: 24 to 64 random bytes in the form that Standard Webhooks libraries take.

    >>> make_secret(bytes(24))
    'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    return _PREFIX + base64.b64encode(entropy).decode()


def seed_signature(body: bytes, secret: str) -> str:
    """The value of ``X-Tagmatic-Signature``: the key is the secret as text, whatever it looks like.

    >>> seed_signature(b"{}", "your-webhook-signing-secret")[:23]
    'sha256=699549c84e09693a'
    """
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard_key(secret: str) -> bytes:
    """The key that Standard Webhooks signatures are made with.

    A ``whsec_`` secret whose rest decodes to 24 to 64 bytes is those bytes; anything else is its own UTF-8 bytes.

    >>> standard_key("whsec_" + "A" * 32) == bytes(24)
    True
    >>> standard_key("mysecret!")
    b'mysecret!'
    """
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except ValueError:  # not base64 after all: a customer's own string that happens to begin like one
            return secret.encode()
        if len(key) in _KEY_BYTES:
            return key
    return secret.encode()


def standard_secret(secret: str) -> str:
    """The secret in the form to paste into a Standard Webhooks library: the same key, as ``whsec_`` and base64."""
    return _PREFIX + base64.b64encode(standard_key(secret)).decode()


def standard_signature(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """The value of ``webhook-signature``: one ``v1`` signature per secret, newest first, separated by a space."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    digests = (hmac.new(standard_key(secret), signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)
