"""What people type into the form of a webhook: read as the API takes it, shown as it was typed."""

from collections.abc import Mapping
from typing import Any

import orjson

from delivery.domain.catalogue import OPERATIONAL, PUBLISHED, known_patterns
from delivery.domain.envelope import read_json, write_json
from delivery.domain.errors import HooklineError, InvalidInput
from service.api.webhooks import Webhook

#: A box for each pattern is called so; a ticked one is in the form, whatever it says.
TICKED = "event:"

#: What is typed where a schedule has no retries at all.
_NO_RETRIES = "none"

#: What may be subscribed to, in groups as the form shows them.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "Everything": ("*",),
    "Families": tuple(sorted(name for name in known_patterns() if name.endswith(".*"))),
    "Events": tuple(PUBLISHED),
    "About this service": tuple(OPERATIONAL),
}


def asked(typed: Mapping[str, str]) -> dict[str, Any]:
    """The members of a request that say what the form says.

    Raises:
        InvalidInput: a field that is not what it should be, or that no database could keep.
    """
    members = {
        "url": typed.get("url", "").strip(),
        "events": [name.removeprefix(TICKED) for name in typed if name.startswith(TICKED)],
        "description": typed.get("description", "").strip(),
        "headers": _headers(typed.get("headers", "")),
        "filter": _filter(typed.get("filter", "")),
        "rate_limit": _whole(typed.get("rate_limit", ""), "rate_limit"),
        "retry_schedule": _waits(typed.get("retry_schedule", "")),
    }
    write_json(members)
    return members


def typed_of(webhook: Webhook) -> dict[str, str]:
    """A webhook as somebody would have typed it."""
    waits = webhook.retry_schedule
    return {
        "url": webhook.url,
        "description": webhook.description,
        "headers": "\n".join(f"{name}: {value}" for name, value in webhook.headers.items()),
        "filter": orjson.dumps(webhook.filter, option=orjson.OPT_INDENT_2).decode() if webhook.filter else "",
        "rate_limit": str(webhook.rate_limit or ""),
        "retry_schedule": "" if waits is None else ", ".join(map(str, waits)) or _NO_RETRIES,
        **{TICKED + name: "on" for name in webhook.events},
    }


def _headers(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise InvalidInput("invalid_payload", "Write one header per line, as Name: value", field="headers")
        found[name.strip()] = value.strip()
    return found


def _filter(text: str) -> Any:
    try:
        return read_json(text.encode()) if text.strip() else None
    except HooklineError as error:  # the parser knows no fields
        raise InvalidInput(error.code, error.message, field="filter") from error


def _waits(text: str) -> list[int] | None:
    """The waits of a schedule; without a word it is the service's own.

    >>> _waits("60, 300 1800"), _waits("none"), _waits(" ")
    ([60, 300, 1800], [], None)
    """
    if text.strip().lower() == _NO_RETRIES:
        return []
    words = text.replace(",", " ").split()
    return [_number(word, "retry_schedule") for word in words] or None


def _whole(text: str, field: str) -> int | None:
    return _number(text.strip(), field) if text.strip() else None


def _number(word: str, field: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= len("1000000000")):
        raise InvalidInput("invalid_payload", "Whole numbers are wanted here", field=field)
    return int(word)
