"""tagtog's webhooks: who sent one, and which document it is about. They bear no signature, id or time."""

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from consumers.sources.connector import Heard, Push, Unauthorised
from consumers.sources.names import LONGEST_KEY, key
from delivery.domain.errors import InvalidInput

#: The version of a document that counts, where nobody's own is meant.
MASTER = "master"

_EVENTS = frozenset({"created/GUI", "created/API", "updated/GUI", "updated/API"})


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password, as HTTP has them in its Basic authentication."""

    username: str
    password: str

    @property
    def header(self) -> str:
        """What the header ``Authorization`` says.

        >>> Login("ada", "secret").header
        'Basic YWRhOnNlY3JldA=='
        """
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def authenticate(push: Push, login: Login | None) -> None:
    """Refuse who does not know the name and the password that are expected.

    Raises:
        Unauthorised: they are missing or wrong, or nobody has set any.
    """
    if login is None:
        raise Unauthorised(
            "No webhooks are expected: set webhook_username and webhook_password of this source", challenge="Basic"
        )
    scheme, _, given = push.headers.get("authorization", "").partition(" ")
    expected = login.header.removeprefix("Basic ").encode()
    if scheme.lower() != "basic" or not hmac.compare_digest(given.strip().encode(errors="replace"), expected):
        raise Unauthorised(
            "The webhook needs Basic authentication with this source's webhook_username and password", challenge="Basic"
        )


def read_push(push: Push, owner: str, project: str) -> Sequence[Heard]:
    """Read what a webhook says. One with annotations says not whose they are: search finds it.

    Raises:
        InvalidInput: it is nothing that tagtog sends, or about another project.
    """
    try:
        said: Any = json.loads(push.body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("invalid_json", "A webhook of tagtog is JSON") from error
    if not isinstance(said, Mapping):
        raise InvalidInput("invalid_payload", "A webhook of tagtog is an object")
    if "annotatable" in said:
        return [Heard("")]
    document = said.get("docid") or said.get("tagtogID")
    member = said.get("member") or MASTER
    if not (_is_name(document) and _is_name(member)):
        raise InvalidInput("invalid_payload", "A webhook of tagtog has a tagtogID", field="tagtogID")
    if (said.get("owner", owner), said.get("project", project)) != (owner, project):
        raise InvalidInput("invalid_payload", f"This source is {owner}/{project}, no other", field="project")
    return [Heard(key(document, member), {"docid": document, "member": member, "event": _event(push)})]


def _is_name(said: Any) -> TypeGuard[str]:
    """Whether it can be what a document or a member is called; it is asked for, and kept."""
    return isinstance(said, str) and 0 < len(said) <= LONGEST_KEY and said.isprintable()


def _event(push: Push) -> str | None:
    """What happened and where, like ``updated/GUI``; None: it does not say."""
    said = "/".join(push.headers.get(f"x-tagtog-onpushsave-{what}", "") for what in ("status", "source"))
    return said if said in _EVENTS else None
