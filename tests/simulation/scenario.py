"""What a seed stands for: everything that will be tried in one run, drawn before it begins."""

from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.retry import SCHEDULE
from tests.simulation.receivers import Mood
from tests.simulation.troubles import WAYS, Outage, Way

ACCOUNTS = ("acc_1", "acc_2")

#: The short schedule takes minutes; the real one takes eleven hours, in no more steps.
SHORT = (5, 10, 20, 40, 80)

#: How far two clocks may be apart: the least that a lease has more than the longest delivery, less the time to notice.
HEALTHY_SKEW_S = 0.4

Route = Literal["api", "bus"]
Action = Literal["retry", "cancel", "replay", "test", "rotate", "disable", "enable", "delete", "move", "add", "erase"]
Blow = Literal["crash at a step", "crash at a point", "stop", "cut", "broker down", "clock"]

_MOODS: tuple[Mood, ...] = get_args(Mood)
_ACTIONS: tuple[Action, ...] = get_args(Action)
_OFTEN: tuple[Action, ...] = ("retry", "retry", "cancel", "test", "rotate", "rotate")


@dataclass(frozen=True)
class Subscription:
    """An endpoint that is there from the beginning."""

    account: str
    mood: Mood
    events: tuple[str, ...]
    schedule: tuple[int, ...] | None
    rate_limit: int | None = None


@dataclass(frozen=True)
class Publication:
    """An event that is handed in, once or several times, or something that is none."""

    at: float
    account: str
    type: str
    job: str
    name: str | None
    route: Route
    usable: bool = True


@dataclass(frozen=True)
class Deed:
    """Something that an operator does, to whatever there is by then."""

    at: float
    action: Action


@dataclass(frozen=True)
class Misfortune:
    """Something that befalls a process, its machine or the broker. ``size``: steps, points or seconds."""

    at: float
    blow: Blow
    slot: int
    size: float
    back_after: float


@dataclass(frozen=True)
class Scenario:
    """One run. ``calm``: nothing breaks, so that nothing may be late; ``healthy``: no clock is far from the others."""

    seed: int
    calm: bool
    healthy: bool
    shuffles: bool
    disorder: bool
    memory_bus: bool
    processes: int
    schedule: tuple[int, ...]
    parallel: int
    per_endpoint: int
    grace_s: float
    skews: tuple[float, ...]
    subscriptions: tuple[Subscription, ...]
    publications: tuple[Publication, ...]
    deeds: tuple[Deed, ...]
    misfortunes: tuple[Misfortune, ...]
    trouble_share: float
    trouble_until: float
    trouble_ways: tuple[Way, ...]
    trouble_s: float
    outages: tuple[Outage, ...]

    @property
    def length_s(self) -> float:
        """How long the schedule of a delivery is."""
        return float(sum(self.schedule))


def draw(seed: int) -> Scenario:
    """Make a scenario of whatever comes."""
    luck = Random(f"scenario {seed}")
    calm = luck.random() < 0.2
    healthy = calm or luck.random() < 0.75
    schedule = SCHEDULE if luck.random() < 0.3 else SHORT
    processes = luck.choice((1, 2, 2, 3))
    span = luck.choice((2.0, 20.0, 90.0))
    rough = not calm and luck.random() < 0.7
    return Scenario(
        seed=seed,
        calm=calm,
        healthy=healthy,
        shuffles=luck.random() < 0.7,
        disorder=luck.random() < 0.5,
        memory_bus=luck.random() < 0.2,
        processes=processes,
        schedule=schedule,
        parallel=luck.choice((2, 4, 256)),
        per_endpoint=luck.choice((1, 2, 16)),
        grace_s=luck.choice((0.5, 5.0, 25.0)),
        skews=tuple(_skew(luck, healthy=healthy) for _ in range(processes)),
        subscriptions=tuple(_subscription(luck) for _ in range(luck.randint(1, 4))),
        publications=tuple(_publications(luck, span)),
        deeds=tuple(_deeds(luck, span, sum(schedule))),
        misfortunes=() if calm else tuple(_misfortunes(luck, span, sum(schedule), processes, healthy=healthy)),
        trouble_share=luck.choice((0.01, 0.05, 0.2)) if rough else 0.0,
        trouble_until=luck.choice((span, span + 60, sum(schedule) / 4)),
        trouble_ways=WAYS if luck.random() < 0.5 else (luck.choice(WAYS),),
        trouble_s=luck.choice((1.0, 8.0, 45.0)),
        outages=() if calm else tuple(_outages(luck, span, sum(schedule), processes)),
    )


def _skew(luck: Random, *, healthy: bool) -> float:
    return luck.uniform(-HEALTHY_SKEW_S, HEALTHY_SKEW_S) if healthy else luck.choice((-3600, -40, -5, 0, 5, 40, 3600))


def _subscription(luck: Random) -> Subscription:
    told = ("*", "webhook.disabled", "delivery.failed")
    events = luck.choice((("*",), ("*",), told, ("annotation.*", "batch.*"), ("annotation.completed",)))
    schedule = luck.choice((None, None, None, (3, 3), ()))
    rate_limit = luck.choice((None, None, None, 1, 2))
    return Subscription(luck.choice(ACCOUNTS), luck.choice(("well", *_MOODS)), events, schedule, rate_limit)


def _publications(luck: Random, span: float) -> list[Publication]:
    made: list[Publication] = []
    for number in range(luck.choice((1, 3, 8, 14))):
        name = f"msg-{number}" if luck.random() < 0.6 else None
        route: Route = luck.choice(("api", "bus"))
        first = Publication(
            luck.uniform(1, span), luck.choice(ACCOUNTS), luck.choice(tuple(PUBLISHED)), f"job_{number}", name, route
        )
        made.append(first)
        if luck.random() < 0.3:  # once more, by any way, soon after or much later
            made.append(
                _changed(first, at=first.at + luck.choice((0.0, 0.01, 30.0)), route=luck.choice(("api", "bus")))
            )
        if luck.random() < 0.2:  # somebody else's event of the same name
            other = ACCOUNTS[1 - ACCOUNTS.index(first.account)]
            made.append(_changed(first, account=other, at=first.at + luck.choice((0.0, 5.0))))
    if luck.random() < 0.3:
        made.append(Publication(luck.uniform(1, span), "acc_1", "annotation.completed", "bad", None, "bus", False))
    return made


def _changed(publication: Publication, **changes: object) -> Publication:
    return Publication(**{**vars(publication), **changes})


def _moment(luck: Random, span: float, length: float) -> float:
    """Mostly while events come in, sometimes at any time of the schedule."""
    return luck.uniform(1, span + 30) if luck.random() < 0.7 else luck.uniform(1, length)


def _deeds(luck: Random, span: float, length: float) -> list[Deed]:
    count = luck.choice((0, 1, 3, 8))
    return [Deed(_moment(luck, span, length), luck.choice((*_ACTIONS, *_OFTEN))) for _ in range(count)]


def _misfortunes(luck: Random, span: float, length: float, processes: int, *, healthy: bool) -> list[Misfortune]:
    made = []
    blows: tuple[Blow, ...] = ("crash at a step", "crash at a point", "crash at a point", "stop", "cut", "broker down")
    for _ in range(luck.choice((0, 1, 2, 4))):
        blow = luck.choice(blows if healthy else (*blows, "clock"))
        size = {
            "crash at a step": 10 ** luck.uniform(0, 3.5),
            "crash at a point": 10 ** luck.uniform(0, 2.5),
            "clock": luck.choice((-3600, -60, -10, 10, 60, 3600)),
        }.get(blow, luck.choice((0.1, 3.0, 45.0)))
        back_after = luck.choice((0.1, 5.0, 60.0))
        made.append(Misfortune(_moment(luck, span, length), blow, luck.randrange(processes), size, back_after))
    return made


def _outages(luck: Random, span: float, length: float, processes: int) -> list[Outage]:
    made = []
    for _ in range(luck.choice((0, 0, 1, 2))):
        start = _moment(luck, span, length)
        victims = frozenset() if luck.random() < 0.6 else frozenset({f"p{luck.randrange(processes)}"})
        how: Literal["refused", "full", "timeout"] = luck.choice(("refused", "full", "timeout"))
        made.append(Outage(start, start + luck.choice((0.5, 10.0, 60.0, 400.0)), victims, how))
    return made
