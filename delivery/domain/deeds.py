"""What people do, as the audit trail says it: who, what, on what, and what it was before and after.

Nothing in here may be a secret. Of signing secrets and API keys it has the last four characters, as the API shows them;
of headers only the names, because a value may be a credential; of passwords nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from delivery.domain.model import AccountId, Endpoint

What = Literal[
    "account.created",
    "account.changed",
    "password.changed",
    "key.created",
    "key.revoked",
    "webhook.registered",
    "webhook.changed",
    "webhook.paused",
    "webhook.resumed",
    "webhook.rotated",
    "webhook.tested",
    "webhook.disabled",
    "webhook.deleted",
    "delivery.retried",
    "delivery.cancelled",
    "replay.started",
    "replay.stopped",
    "events.erased",
    "source.connected",
    "source.changed",
    "source.paused",
    "source.resumed",
    "source.disconnected",
    "dead_letter.requeued",
    "dead_letter.discarded",
]

Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class By:
    """Who does something. ``name`` stays as it is now: an e-mail address, or what a key is called and ends in."""

    id: str
    name: str


#: Who has the database and the settings; and the service itself, which disables what only fails.
COMMAND_LINE = By("command line", "command line")
HOOKLINE = By("hookline", "hookline")


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done to an object. ``account_id`` is whose it is; None: nobody's, or everybody's."""

    what: What
    account_id: AccountId | None
    object_id: str
    name: str
    before: Members | None = None
    after: Members | None = None


#: What people change of an endpoint, beside its headers, its secrets, and whether it is active.
_MEMBERS = ("url", "events", "description", "filter", "rate_limit", "retry_schedule")


def registered(endpoint: Endpoint) -> Deed:
    """Somebody registered an endpoint."""
    return _of(endpoint, "webhook.registered", after=_told(endpoint))


def tested(endpoint: Endpoint) -> Deed:
    """Somebody sent an endpoint a sample."""
    return _of(endpoint, "webhook.tested")


def given_up(endpoint: Endpoint) -> Deed:
    """An endpoint was disabled, not by anybody. ``endpoint`` is what it is now."""
    return _of(endpoint, "webhook.disabled", {"active": True}, _state(endpoint))


def done_between(before: Endpoint, after: Endpoint) -> Iterator[Deed]:
    """What somebody did to an endpoint who found it so and left it so."""
    if after.deleted_at is not None:
        yield _of(after, "webhook.deleted", before=_told(before))
        return
    other = [name for name in _MEMBERS if getattr(before, name) != getattr(after, name)]
    old, new = ({name: getattr(endpoint, name) for name in other} for endpoint in (before, after))
    if before.headers != after.headers:
        old["headers"], new["headers"] = list(before.headers), marked(before.headers, after.headers)
    if new:
        yield _of(after, "webhook.changed", old, new)
    if before.secrets != after.secrets:
        yield _of(after, "webhook.rotated", _secrets(before), _secrets(after))
    if before.active != after.active:
        yield _of(after, "webhook.resumed" if after.active else "webhook.paused", _state(before), _state(after))


def marked(before: Mapping[str, str], after: Mapping[str, str]) -> Sequence[str]:
    """The names of headers; what has another value than before is marked.

    >>> marked({"X-Whose": "ada", "X-Same": "1"}, {"X-Whose": "bob", "X-Same": "1", "X-New": "2"})
    ['X-Whose (another value)', 'X-Same', 'X-New']
    """
    return [f"{name} (another value)" if before.get(name, value) != value else name for name, value in after.items()]


def _of(endpoint: Endpoint, what: What, before: Members | None = None, after: Members | None = None) -> Deed:
    return Deed(what, endpoint.account_id, endpoint.id, endpoint.url, before, after)


def _told(endpoint: Endpoint) -> Members:
    """What an endpoint is, without what says nothing."""
    members = {name: getattr(endpoint, name) for name in _MEMBERS} | {"headers": list(endpoint.headers)}
    return {name: value for name, value in members.items() if value or value == 0}


def _state(endpoint: Endpoint) -> Members:
    why = {} if endpoint.disabled_reason is None else {"disabled_reason": endpoint.disabled_reason}
    return {"active": endpoint.active, **why}


def _secrets(endpoint: Endpoint) -> Members:
    return {"secrets": [f"…{secret.last4}" for secret in endpoint.secrets]}
