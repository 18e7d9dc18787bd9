"""The bus: how what feeds this service is, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from consumers.families import DEAD_LETTERS_STORE, FAMILIES, UNROUTED
from consumers.health import Health
from delivery.domain.catalogue import PUBLISHED
from delivery.statistics import Question
from delivery.store import accounts
from service.api.calls import Call
from service.api.shapes import Moment, Shape
from service.settings import without_password
from service.survey import Problem as Found
from service.survey import look

#: What each consumer takes from. The last two are about what the others cannot use.
_QUEUES = {family.family: f"hookline.{family.family}" for family in FAMILIES} | {
    "unrouted": UNROUTED,
    "dead-letters": DEAD_LETTERS_STORE,
}
_EVENTS: Mapping[str, Sequence[str]] = {
    family.family: [kind.name for kind in PUBLISHED.values() if kind.family == family.family] for family in FAMILIES
}


class Consumer(Shape):
    """Who takes in events of these types. ``up`` is null where this process does not consume, others may.

    ``accepted`` are the events of these types in the last hour, whichever way they came.
    """

    name: str
    queue: str
    events: Sequence[str]
    up: bool | None
    why: str | None
    accepted: int


class Http(Shape):
    """The API keys that may publish, and when one of them was last used, for whatever it may do."""

    keys: int
    last_used_at: Moment | None


class Broker(Shape):
    """Where events come from; ``reachable``: it answered when it was asked for this."""

    kind: Literal["in-process", "rabbitmq"]
    address: str
    reachable: bool


class Queue(Shape):
    """A queue of the bus: how many messages wait in it, and how many consumers of all processes are attached."""

    queue: str
    messages: int
    consumers: int


class Problem(Shape):
    """Something that wants mending: what it is about, what is wrong, and what to do."""

    subject: str
    says: str
    mend: str


class Glance(Shape):
    """What this process knows at any moment. ``consuming``: it has the role worker."""

    at: Moment
    consuming: bool
    consumers: Sequence[Consumer]
    http: Http


class Bus(Glance):
    """Everything that feeds this service. The queues are empty where the bus did not answer."""

    bus: Broker
    queues: Sequence[Queue]
    problems: Sequence[Problem]


async def browse(call: Call[None]) -> Bus:
    """Show what feeds this service, and what is wrong with it. The broker is asked, for some seconds at most."""
    found = await look(call.runtime.bus)
    glance = await at_a_glance(call)
    # a bus that is away says it for all of its consumers
    down = [_down(one) for one in glance.consumers if one.up is False] if found.survey else []
    queues = found.survey.depths if found.survey else ()
    return Bus(
        **{name: getattr(glance, name) for name in Glance.model_fields},
        bus=_bus(call, reachable=found.survey is not None),
        queues=[Queue(queue=one.queue, messages=one.messages, consumers=one.consumers) for one in queues],
        problems=[Problem(subject=one.subject, says=one.says, mend=one.mend) for one in (*found.problems, *down)],
    )


async def at_a_glance(call: Call[Any]) -> Glance:
    """Show what is known without asking the broker."""
    runtime = call.runtime
    accepted = await runtime.statistics.accepted(call.reach, Question("minute"))
    async with runtime.store.reading() as tx:
        publishers = await accounts.publishers(tx)
    health = {one.name: one for one in runtime.bus.health()}
    names = [name for name in _QUEUES if name in health or name in _EVENTS]
    return Glance(
        at=runtime.around.clock.now(),
        consuming="worker" in runtime.roles,
        consumers=[_consumer(name, health.get(name), accepted) for name in names],
        http=Http(keys=publishers.keys, last_used_at=publishers.last_used_at),
    )


def _consumer(name: str, health: Health | None, accepted: Mapping[str, int]) -> Consumer:
    events = _EVENTS.get(name, [])
    return Consumer(
        name=name,
        queue=_QUEUES[name],
        events=events,
        up=health.up if health else None,
        why=health.why or None if health else None,
        accepted=sum(accepted.get(event, 0) for event in events),
    )


def _bus(call: Call[None], *, reachable: bool) -> Broker:
    url = call.runtime.settings.bus_url
    in_process = url.startswith("memory:")
    return Broker(kind="in-process" if in_process else "rabbitmq", address=without_password(url), reachable=reachable)


def _down(consumer: Consumer) -> Found:
    return Found(f"consumer {consumer.name}", consumer.why or "not at work", "It goes on by itself once that is mended")
