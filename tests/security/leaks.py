"""Looking for secrets in whatever came out, in whatever disguise."""

import base64
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

#: Fewer characters may stand anywhere by chance.
_SHORTEST = 8


def disguises(secret: str) -> set[str]:
    """A secret as it is, and as it looks in URLs, in JSON, in hexadecimal, and within something in base64."""
    raw = secret.encode()
    plain = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        secret.encode("unicode_escape").decode(),
    }
    return plain | {raw.hex()} | {form for form in _in_base64(raw) if len(form) >= _SHORTEST}


def _in_base64(raw: bytes) -> Iterator[str]:
    """The characters that only the secret decides, wherever in the encoded text it begins."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        inner = whole[(0, 2, 3)[before] : len(whole) - (1 if (before + len(raw)) % 3 else 0)]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))


def leaks(secrets: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
    """Which secret came out where, by their names; not the secrets themselves, for this is printed."""
    return [
        f"{name} in {place}"
        for name, secret in secrets.items()
        for place, text in outputs.items()
        if any(form in text for form in disguises(secret))
    ]
