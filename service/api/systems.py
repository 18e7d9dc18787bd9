"""The annotation systems that can be connected, and what each wants to know."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from consumers.sources.systems import SYSTEMS
from service.api.calls import Call
from service.api.shapes import Listing, Shape


class System(Shape):
    """One kind of annotation system. Settings and credentials are described by JSON Schema."""

    system: str
    title: str
    settings: dict[str, Any] = Field(description="JSON Schema")
    credentials: dict[str, Any] = Field(description="JSON Schema")


class Systems(Listing[System]):
    """All of them."""


async def browse(_: Call[None]) -> Systems:
    """List them."""
    return Systems(items=known(), next=None)


def known() -> Sequence[System]:
    """All of them, by their names."""
    return [
        System(
            system=system.name,
            title=system.title,
            settings=system.settings.model_json_schema(),
            credentials=system.credentials.model_json_schema(),
        )
        for _, system in sorted(SYSTEMS.items())
    ]
