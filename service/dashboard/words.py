"""Facts in words: what pages say of moments, durations, sizes and errors."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from markupsafe import Markup

from delivery.domain.model import ErrorClass
from delivery.domain.sources import SourceState
from service.api.shapes import rfc3339

_STEPS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_MS = 1_000
_KIB = 1024

#: What an error class means, and what to do about it.
ADVICE: dict[ErrorClass, tuple[str, str]] = {
    "blocked_address": (
        "The host leads to an address that deliveries must not reach",
        "Register an address on the public internet. An operator can allow a network with ALLOWED_NETWORKS.",
    ),
    "dns_error": (
        "The host's name could not be resolved",
        "Look for a typing error in the URL, and at the domain's DNS records.",
    ),
    "connect_refused": (
        "Nothing listens at the address and port",
        "Start the receiver, or correct the port. A firewall that rejects looks the same.",
    ),
    "connect_error": (
        "No connection could be made",
        "Look at the receiver's network and firewall: it has to be reachable from the internet.",
    ),
    "connection_closed": (
        "The connection was closed before an answer came",
        "The receiver, or a proxy before it, ended the connection. Look at its log at this time.",
    ),
    "tls_error": (
        "No safe connection could be agreed on",
        "Look at the certificate: expired, for another name, or without its intermediate certificates.",
    ),
    "timeout": (
        "No answer came in time",
        "Answer 200 at once and do the work afterwards, from a queue of your own.",
    ),
    "protocol_error": (
        "What came back is not HTTP",
        "The port serves something else, or a proxy breaks the answer.",
    ),
    "http_3xx": (
        "The receiver sent us elsewhere, and redirects are not followed",
        "Register the URL that it leads to.",
    ),
    "http_4xx": (
        "The receiver refused the request",
        "Its log says why. 401 and 403 often mean another secret: debug the signature. 404 and 405: another path.",
    ),
    "http_5xx": (
        "The receiver failed",
        "Its log at this time says why. The delivery is tried again by the schedule.",
    ),
    "internal_error": (
        "We failed to make the request",
        "This is our mistake; the service's log at this time says more.",
    ),
}

#: Why a message became a dead letter, and what to do about it.
REFUSALS: Mapping[str, tuple[str, str]] = {
    "invalid_json": ("It is no usable JSON", "Mend it, and the program that wrote it."),
    "invalid_payload": ("It is not what its type must be", "Mend it: the catalogue has the fields of each type."),
    "invalid_event_type": (
        "No such type of event comes this way",
        "Correct the event in it, or the routing key that its publisher uses.",
    ),
    "text_too_long": ("Its text is too long", "Shorten data.text to 32,000 characters."),
    "payload_too_large": ("It is too large", "An event has at most 256 KiB. Its publisher has to leave something out."),
    "unknown_account": (
        "It names no account that is known here",
        "Its publisher has to send the header account-id. If the account was made since, requeue it.",
    ),
    "unreadable_message": ("Its headers cannot be read", "Its publisher has to send it anew, with plain headers."),
    "unstorable": ("The database refuses what is in it", "Take out what is no plain text, and requeue it."),
    "internal_error": ("We failed to take it", "This is our mistake. The service's log says more; then requeue it."),
    "delivery_limit": (
        "The broker handed it over too often without an answer",
        "Processes died over it, or while they had it. Look at their logs, then requeue it.",
    ),
    "expired": ("It waited in the queue for too long", "Requeue it, and look whether the consumers are at work."),
    "maxlen": ("The queue was full", "Requeue it when there is room, and look whether the consumers are at work."),
    "rejected": ("A consumer sent it back", "Requeue it: what is wrong with it is told if it comes back."),
}
#: What to do about a source in trouble.
SOURCES: Mapping[SourceState, str] = {
    "new": "It is polled in a moment.",
    "ok": "It is polled when it is due.",
    "failing": "It is asked again by itself, ever more seldom, but every ten minutes. Nothing is lost meanwhile.",
    "broken": "Look at what it answers at this address: perhaps a proxy or another version answers. It is asked again.",
    "auth_failed": "It is not polled any more. Give it other credentials, or mend them there and check it.",
    "misconfigured": "It is not polled any more. Correct its URL or settings, or mend it there and check it.",
}

_REFUSED = ("It could not be used", "Requeue it: what is wrong with it is told if it comes back.")


def moment(when: datetime | None) -> Markup:
    """A time, that a script may show in the reader's own zone."""
    if when is None:
        return Markup("—")
    text = rfc3339(when)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, text, f"{when:%Y-%m-%d %H:%M:%S}")


def countdown(when: datetime | None) -> Markup:
    """A time to come, that a script counts down to."""
    if when is None:
        return Markup("—")
    return Markup('<time datetime="{}" title="{}" data-countdown>{}</time>').format(
        rfc3339(when), rfc3339(when), f"{when:%Y-%m-%d %H:%M:%S}"
    )


def span(length: timedelta | float | None) -> str:
    """A length of time; a number is in seconds.

    >>> span(0.0123), span(42), span(timedelta(hours=10, minutes=36)), span(None)
    ('12 ms', '42 s', '10 h 36 m', '—')
    """
    if length is None:
        return "—"
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if abs(seconds) < 1:
        return milliseconds(seconds * _MS)
    left, words = round(seconds), []
    for unit, size in _STEPS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words[:2]) or "0 s"


def milliseconds(length: float | None) -> str:
    """A duration.

    >>> milliseconds(0.42), milliseconds(12.34), milliseconds(10_000.0), milliseconds(None)
    ('0.4 ms', '12 ms', '10.00 s', '—')
    """
    if length is None:
        return "—"
    if length >= _MS:
        return f"{length / _MS:.2f} s"
    return f"{length:.1f} ms" if length < 10 else f"{length:.0f} ms"  # noqa: PLR2004 - two digits are enough


def percent(share: float | None) -> str:
    """A share.

    >>> percent(1.0), percent(0.9996), percent(0.5), percent(None)
    ('100 %', '99.96 %', '50 %', '—')
    """
    if share is None:
        return "—"
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + " %"


def number(count: float | None) -> str:
    """A count.

    >>> number(1234567)
    '1,234,567'
    """
    return "—" if count is None else f"{count:,.0f}"


def size(count: int) -> str:
    """A number of bytes.

    >>> size(12), size(262_144), size(5_000_000)
    ('12 bytes', '256 KiB', '4.8 MiB')
    """
    if count < _KIB:
        return f"{count} bytes"
    return f"{count / _KIB:.0f} KiB" if count < _KIB**2 else f"{count / _KIB**2:.1f} MiB"


def host(url: str) -> str:
    """Where a URL leads, in short.

    >>> host("https://example.com:8443/hooks?x=1")
    'example.com:8443/hooks'
    """
    parts = urlsplit(url)
    return parts.netloc + parts.path.rstrip("/")


def meaning(error: ErrorClass) -> str:
    """What an error class means."""
    return ADVICE[error][0]


def advice(error: ErrorClass) -> str:
    """What to do about it."""
    return ADVICE[error][1]


def refusal(reason: str) -> str:
    """Why a message became a dead letter.

    >>> refusal("invalid_json"), refusal("a reason of the broker's own")
    ('It is no usable JSON', 'It could not be used')
    """
    return REFUSALS.get(reason, _REFUSED)[0]


def remedy(reason: str) -> str:
    """What to do about it."""
    return REFUSALS.get(reason, _REFUSED)[1]


def source_remedy(state: SourceState) -> str:
    """What to do about a source in this state."""
    return SOURCES[state]


FILTERS = {
    function.__name__: function
    for function in (
        moment,
        countdown,
        span,
        milliseconds,
        percent,
        number,
        size,
        host,
        meaning,
        advice,
        refusal,
        remedy,
        source_remedy,
    )
}
