"""Why a webhook got an event or not, in words, with what to change to get the next one."""

from dataclasses import dataclass

from delivery.domain.catalogue import PUBLISHED
from service.api.events import Match

_LOST = "There is no delivery in the log any more: it was deleted with age, or the webhook was."
_LATER = "The webhook was registered after the event had come in. It gets what comes from then on."


@dataclass(frozen=True, slots=True)
class Verdict:
    """``mend`` says what to change in the webhook's form."""

    webhook_id: str
    sent: bool
    words: str
    mend: str | None = None


def explained(match: Match, event_type: str) -> Verdict:
    """Explain.

    >>> match = Match(webhook_id="wh_1", sent=False, reason="not subscribed to batch.failed")
    >>> verdict = explained(match, "batch.failed")
    >>> verdict.words, verdict.mend
    ('It is not subscribed to batch.failed.', 'Subscribe to batch.failed or batch.*')
    >>> explained(Match(webhook_id="wh_1", sent=False, reason="disabled: gone"), "batch.failed").words
    'It was disabled: gone.'
    """
    known = match.webhook_id, match.sent
    if match.sent:
        return Verdict(*known, f"It is subscribed to {event_type}.")
    if match.reason.startswith("not subscribed"):
        return Verdict(*known, f"It is not subscribed to {event_type}.", f"Subscribe to {_patterns(event_type)}")
    if match.reason.startswith("disabled: "):
        why = match.reason.removeprefix("disabled: ")
        return Verdict(*known, f"It was disabled: {why}.", "Enable it")
    if match.reason == "filtered out":
        return Verdict(*known, "Its filter does not let this event through.", "Change its filter")
    return Verdict(*known, _LATER if match.reason == "registered later" else _LOST)


def _patterns(event_type: str) -> str:
    """What would name the type; of what this service tells about itself, only its own name does."""
    return f"{event_type} or {event_type.partition('.')[0]}.*" if event_type in PUBLISHED else event_type
