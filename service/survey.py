"""What a look at the bus from outside finds, in words, and how to mend what is wrong with it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from consumers.bus import Bus
from consumers.families import DEAD_LETTERS
from consumers.health import BusUnavailable, Survey

#: How long a look may take. A broker that says nothing is away.
_PATIENCE_S = 5.0

#: What a refusal of the broker means, by the word that it begins with, and how to mend what it refers to.
_REFUSALS = {
    "NOT_FOUND": ("it is missing", "A process with the role worker declares it within 15 seconds: see that one runs"),
    "PRECONDITION_FAILED": (
        "it is there, and not as it should be",
        "Delete it on the broker, after whatever waits in it: it is declared anew within 15 seconds",
    ),
    "ACCESS_REFUSED": (
        "the user of BUS_URL is not allowed to use it",
        "Allow that user to configure, write and read everything that begins with hookline",
    ),
    "RESOURCE_LOCKED": ("somebody else has it for themselves", "End the connection that holds it"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that wants mending: what it is about, what is wrong, and what to do."""

    subject: str
    says: str
    mend: str


@dataclass(frozen=True, slots=True)
class Look:
    """What was found; ``survey`` is None where the bus gave no answer."""

    survey: Survey | None
    problems: Sequence[Problem]


async def look(bus: Bus) -> Look:
    """Look at a bus, changing nothing. A broker is asked over a connection that is opened for it."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            survey = await bus.survey()
    except BusUnavailable as error:  # that is what one looks for
        return Look(None, [away(str(error))])
    except TimeoutError:  # a broker that says nothing is away, too
        return Look(None, [away(f"nothing came within {_PATIENCE_S:g} seconds")])
    return Look(survey, [*differing(survey), *unattended(survey)])


def away(why: str) -> Problem:
    """A broker that does not answer."""
    return Problem("bus", f"no answer: {why}", "Check BUS_URL, and that RabbitMQ runs and lets this machine in")


def differing(survey: Survey) -> Sequence[Problem]:
    """What is not as it should be.

    >>> [problem] = differing(Survey((), {"hookline.batch": "NOT_FOUND - no queue 'hookline.batch' in vhost '/'"}))
    >>> problem.says
    "it is missing (NOT_FOUND - no queue 'hookline.batch' in vhost '/')"
    """
    return [_explained(name, refusal) for name, refusal in survey.problems.items()]


def unattended(survey: Survey) -> Sequence[Problem]:
    """Queues from which nobody takes. That of the dead letters is for people, and has no consumer.

    >>> from consumers.health import Depth
    >>> found = unattended(Survey((Depth("hookline.batch", 3, 0), Depth("hookline.dead-letters", 1, 0)), {}))
    >>> [(problem.subject, problem.says) for problem in found]
    [('hookline.batch', 'nobody consumes it, and 3 messages wait')]
    """
    mend = "Start a process with the role worker"
    return [
        Problem(depth.queue, f"nobody consumes it, and {depth.messages} messages wait", mend)
        for depth in survey.depths
        if depth.consumers == 0 and depth.queue != DEAD_LETTERS
    ]


def _explained(name: str, refusal: str) -> Problem:
    for word, (says, mend) in _REFUSALS.items():
        if refusal.startswith(word):
            return Problem(name, f"{says} ({refusal})", mend)
    return Problem(name, refusal, "See what the broker's log says at this time")
