"""What must hold after every run: all invariants on one page, each by the name under which its violation is told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation import counted, gated, kept, sent, states, timing

if TYPE_CHECKING:
    from tests.simulation.world import World

#: An invariant looks at a run that is over and says what is wrong with it.
Invariant = Callable[["World"], Iterator[str]]

INVARIANTS: dict[str, Invariant] = {
    "what was accepted is there once": kept.accepted_once,
    "identities do not cross accounts": kept.identities_apart,
    "duplicates deliver nothing": kept.no_second_delivery,
    "every endpoint that wants an event gets a delivery": kept.fanned_out,
    "what nobody can use is kept": kept.letters_kept,
    "acknowledged means committed": kept.acknowledged_after_commit,
    "nothing is stuck": kept.nothing_stuck,
    "every end is explained": kept.ends_explained,
    "what was erased is gone": kept.erased_for_good,
    "a valid secret is not refused to the end": kept.rotation_loses_nothing,
    "states change as in the picture": states.as_in_the_picture,
    "a lease is respected": states.leases_respected,
    "the row counts what was made": states.counts_agree,
    "statistics count what happened": counted.statistics_agree,
    "the wire shows what the log says": sent.wire_is_log,
    "what is sent was committed": sent.was_committed,
    "a crash repeats one attempt at the most": sent.repeated_by_a_crash,
    "who sends has the lease": sent.by_the_holder,
    "sent to where the endpoint is, signed with its secret": sent.to_its_own,
    "the newest secret comes first": sent.newest_secret_first,
    "never twice at a time": sent.no_overlap,
    "a rate limit holds over all processes": gated.rates_hold,
    "an open circuit lets one out at a time": gated.one_probe_at_a_time,
    "limits hold": sent.within_limits,
    "memory is bounded": sent.within_places,
    "places are given back": sent.places_given_back,
    "never before its time": timing.never_early,
    "planned as promised": timing.planned_as_promised,
    "not late when nothing is broken": timing.not_late,
    "processes end when they are told to": kept.ended_well,
}


@dataclass(frozen=True)
class Violation:
    """An invariant that did not hold, and where."""

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


def judge(world: "World") -> Iterator[Violation]:
    """Hold a run against all invariants."""
    for name, invariant in INVARIANTS.items():
        for what in invariant(world):
            yield Violation(name, what)
