"""What some seeds are about: situations that chance alone makes too seldom, laid over a scenario.

Two thirds of all seeds have a theme, so that each kind of mistake has its opportunities in every few dozen of them.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from delivery.domain.catalogue import PUBLISHED
from tests.simulation.receivers import Mood
from tests.simulation.scenario import ACCOUNTS, SHORT, Action, Deed, Misfortune, Publication, Route, Scenario
from tests.simulation.scenario import Subscription as Wanted
from tests.simulation.scenario import draw as draw_any
from tests.simulation.troubles import Way

Theme = Callable[[Random, Scenario], Scenario]


def draw(seed: int) -> Scenario:
    """Make the scenario of a seed."""
    scenario = draw_any(seed)
    luck = Random(f"theme {seed}")
    return scenario if luck.random() < 0.35 else luck.choice(THEMES)(luck, scenario)


def leases_are_lost(luck: Random, scenario: Scenario) -> Scenario:
    """Parcels wait long in their lanes, and meanwhile another process takes them, whose clock is ahead, or a person."""
    return replace(
        scenario,
        calm=False,
        healthy=False,
        processes=2,
        skews=(0.0, luck.choice((40.0, 3600.0))),
        schedule=SHORT,
        per_endpoint=1,
        parallel=luck.choice((4, 256)),
        subscriptions=_subscriptions(luck, ("slow", "hanging", "failing")),
        publications=_publications(luck, luck.randint(3, 6), 3.0),
        deeds=_deeds(luck, ("cancel", "cancel", "retry", "disable", "erase", "erase"), 60.0),
        misfortunes=(),
        outages=(),
        trouble_share=0.0,
    )


def secrets_rotate(luck: Random, scenario: Scenario) -> Scenario:
    """Secrets change while requests are on their way, to servers that know one secret."""
    return replace(
        scenario,
        schedule=SHORT,
        subscriptions=_subscriptions(luck, ("well", "slow", "failing")),
        publications=_publications(luck, luck.randint(4, 8), 30.0),
        deeds=_deeds(luck, ("rotate", "rotate", "rotate", "test"), 30.0),
        misfortunes=(),
    )


def gates_are_shared(luck: Random, scenario: Scenario) -> Scenario:
    """Several processes want to send at once to what has a rate limit, or a circuit that opens."""
    moods: tuple[Mood, ...] = luck.choice((("well",), ("broken", "failing"), ("hanging", "slow", "broken")))
    return replace(
        scenario,
        calm=luck.random() < 0.5,
        healthy=True,
        processes=3,
        skews=(0.0, 0.0, luck.choice((0.0, 0.3))),
        schedule=SHORT,
        per_endpoint=16,
        parallel=256,
        subscriptions=_subscriptions(luck, moods, rate_limit=luck.choice((None, 1, 2))),
        publications=_publications(luck, luck.randint(8, 12), luck.choice((2.0, 10.0))),
        deeds=(),
        misfortunes=(),
        outages=(),
        trouble_share=0.0,
    )


def handing_over_breaks(luck: Random, scenario: Scenario) -> Scenario:
    """Processes die and transactions fail while messages come in by the bus."""
    ways: tuple[tuple[Way, ...], ...] = (("refused",), ("unheard", "cut"), ("late", "slow"))
    return replace(
        scenario,
        calm=False,
        memory_bus=False,
        schedule=SHORT,
        publications=_publications(luck, luck.randint(4, 8), 5.0, routes=("bus", "bus", "api")),
        misfortunes=tuple(
            Misfortune(
                luck.uniform(1, 6),
                luck.choice(("crash at a point", "crash at a point", "crash at a step", "cut")),
                luck.randrange(scenario.processes),
                float(luck.randint(1, 40)),
                luck.choice((0.1, 5.0)),
            )
            for _ in range(luck.randint(1, 3))
        ),
        trouble_share=0.2,
        trouble_until=8.0,
        trouble_ways=luck.choice(ways),
    )


def memory_is_short(luck: Random, scenario: Scenario) -> Scenario:
    """More comes than a process has places for, and goes out slowly."""
    return replace(
        scenario,
        processes=1,
        skews=(0.0,),
        schedule=SHORT,
        parallel=2,
        per_endpoint=luck.choice((1, 2, 16)),
        subscriptions=_subscriptions(luck, ("slow", "hanging", "overloaded", "well"), most=4),
        publications=_publications(luck, luck.randint(8, 12), 2.0),
        misfortunes=tuple(one for one in scenario.misfortunes if one.slot == 0),
    )


def the_log_waits(luck: Random, scenario: Scenario) -> Scenario:
    """The store comes and goes while requests are on their way, and no process ends before its time."""
    return replace(
        scenario,
        calm=False,
        schedule=SHORT,
        grace_s=25.0,
        subscriptions=_subscriptions(luck, ("well", "slow", "failing", "flapping")),
        publications=_publications(luck, luck.randint(3, 6), 20.0),
        misfortunes=(),
        trouble_share=0.2,
        trouble_until=60.0,
        trouble_ways=luck.choice((("refused",), ("unheard",), ("full", "cut"))),
    )


def nothing_is_in_the_way(luck: Random, scenario: Scenario) -> Scenario:
    """Nothing breaks and there is room for everything, so whatever is due has to go out in time."""
    return replace(
        scenario,
        calm=True,
        healthy=True,
        skews=tuple(0.0 for _ in scenario.skews),
        schedule=SHORT,
        parallel=256,
        per_endpoint=16,
        subscriptions=_subscriptions(luck, ("failing", "slow"), most=1),
        publications=_publications(luck, luck.randint(1, 3), 20.0),
        deeds=(),
        misfortunes=(),
        outages=(),
        trouble_share=0.0,
    )


THEMES: tuple[Theme, ...] = (
    nothing_is_in_the_way,
    leases_are_lost,
    secrets_rotate,
    gates_are_shared,
    handing_over_breaks,
    memory_is_short,
    the_log_waits,
)


def _subscriptions(
    luck: Random, moods: tuple[Mood, ...], *, most: int = 2, rate_limit: int | None = None
) -> tuple[Wanted, ...]:
    """Endpoints of the first account that want everything, and are tried for as long as the schedule says."""
    count = luck.randint(1, most)
    return tuple(Wanted(ACCOUNTS[0], luck.choice(moods), ("*",), None, rate_limit) for _ in range(count))


def _publications(
    luck: Random, count: int, span: float, *, routes: tuple[Route, ...] = ("api", "bus")
) -> tuple[Publication, ...]:
    """Events of the first account."""
    types = tuple(PUBLISHED)
    return tuple(
        Publication(luck.uniform(1, span), ACCOUNTS[0], luck.choice(types), f"job_{n}", f"msg-{n}", luck.choice(routes))
        for n in range(count)
    )


def _deeds(luck: Random, actions: tuple[Action, ...], span: float) -> tuple[Deed, ...]:
    return tuple(Deed(luck.uniform(1, span), luck.choice(actions)) for _ in range(luck.randint(3, 6)))
