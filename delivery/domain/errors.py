"""What can be wrong with what people hand in. One table in ``service`` turns these into answers."""

from typing import Literal

Fault = Literal["payload", "unauthorised", "forbidden", "missing", "conflict", "unprocessable", "too_large", "limit"]


class HooklineError(Exception):
    """A refusal that the sender can mend.

    ``code`` is machine-readable and stable, ``field`` names the one input at fault (dotted path), ``kind`` says which
    family of refusals it belongs to. What people sent may be quoted in the words, so these are made fit to be sent and
    stored.
    """

    kind: Fault = "payload"

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        self.code = code
        self.message = _storable(message)
        self.field = field and _storable(field)
        super().__init__(self.message)


def _storable(text: str) -> str:
    """Write NUL and halves of surrogate pairs, which neither UTF-8 nor a database takes, as escapes."""
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")


class InvalidEvent(HooklineError):
    """An event that cannot be used, for ever: not JSON, unknown type, breaks its schema, unknown account."""


class InvalidInput(HooklineError):
    """An input of a known route that breaks a rule of form."""


class Unprocessable(HooklineError):
    """Well-formed, and refused all the same: a URL that must not be called, a header that must not be set."""

    kind = "unprocessable"


class NotFound(HooklineError):
    """No such object in this account. Whether another account has it stays untold."""

    kind = "missing"

    def __init__(self, noun: str) -> None:
        super().__init__("not_found", f"No such {noun}")


class Conflict(HooklineError):
    """The object is in a state that does not allow this."""

    kind = "conflict"


class QuotaExceeded(HooklineError):
    """The key's events of this billing period are used up."""

    kind = "limit"

    def __init__(self) -> None:
        super().__init__("rate_limited", "Monthly request limit reached")


class TooManyWebhooks(HooklineError):
    """The account has as many webhooks as one may have. Waiting does not help."""

    kind = "limit"

    def __init__(self, most: int) -> None:
        super().__init__(
            "webhook_limit", f"An account has at most {most:,} webhooks; delete some that are no longer needed"
        )


class TooManySources(HooklineError):
    """The account has as many sources as one may have. Waiting does not help."""

    kind = "limit"

    def __init__(self, most: int) -> None:
        super().__init__("source_limit", f"An account has at most {most:,} sources; remove some that are not needed")
