"""Either signature of a request is enough; the second one also refuses old requests that somebody plays back."""

import base64
import hashlib
import hmac
import re
import time

TOLERANCE_S = 5 * 60


def verify_signature(body: bytes, signature: str, secret: str) -> bool:
    """Check X-Tagmatic-Signature. The body is taken as it came, before anything parses it."""
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


def verify_webhook(body: bytes, webhook_id: str, timestamp: str, signatures: str, secret: str) -> bool:
    """Check webhook-id, webhook-timestamp and webhook-signature; the secret is the standard_webhooks_secret."""
    if not re.fullmatch("[0-9]{10}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
    return any(hmac.compare_digest(expected, one.encode()) for one in signatures.split(" "))
