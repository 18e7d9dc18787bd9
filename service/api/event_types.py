"""The catalogue of event types."""

from typing import Any

from pydantic import Field

from delivery.domain.catalogue import OPERATIONAL, PUBLISHED, Family
from service.api.calls import Call
from service.api.shapes import Listing, Shape


class EventType(Shape):
    """One type: ``schema`` (JSON Schema 2020-12) and ``example`` are of the whole envelope.

    Operational types are told by this service itself and cannot be published; they are subscribed to by name.
    """

    event: str
    family: Family
    description: str
    schema_: dict[str, Any] | None = Field(alias="schema")
    example: dict[str, Any] | None


class EventTypes(Listing[EventType]):
    """All event types."""


async def browse(_: Call[None]) -> EventTypes:
    """List all event types."""
    published = [
        EventType(
            event=kind.name,
            family=kind.family,
            description=kind.description,
            schema_=dict(kind.schema),
            example=dict(kind.example),
        )
        for kind in PUBLISHED.values()
    ]
    operational = [
        EventType(event=name, family="operational", description=description, schema_=None, example=None)
        for name, description in OPERATIONAL.items()
    ]
    return EventTypes(items=published + operational, next=None)
