"""What there is to know of an annotation system before any of its projects is connected."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from consumers.sources.connector import Connector
from delivery.domain.sources import SourceId

#: Seconds between two polls; systems have defaults of their own.
Interval = Annotated[float, Field(ge=1, le=86_400, description="Seconds between two polls, when nothing wakes it")]


class Settings(BaseModel):
    """What people may set of a source. Every member has a description, for them; nothing unknown is overlooked.

    ``whereabouts`` are the members that say which project it is: with others it is first contact again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    whereabouts: ClassVar[tuple[str, ...]] = ()

    interval_s: Interval = 30
    backfill: bool = Field(False, description="Publish what is there at first contact, too, not only what changes")


class Credentials(BaseModel):
    """What a system is asked with, and what it proves itself with. Sealed where it is stored, and never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr__(self) -> str:
        """Say nothing of what is in it: it may end in a log."""
        return type(self).__name__

    __str__ = __repr__


S = TypeVar("S", bound=Settings)
C = TypeVar("C", bound=Credentials)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source is: its id, which its events bear, its base URL, and the guarded client to ask it with."""

    source_id: SourceId
    url: str
    session: aiohttp.ClientSession


@dataclass(frozen=True, slots=True)
class System(Generic[S, C]):
    """One kind of annotation system: ``name`` for programs, ``title`` for people, and how its sources are reached."""

    name: str
    title: str
    settings: type[S]
    credentials: type[C]
    connect: Callable[[Place, S, C], Connector]


#: One of any kind.
AnySystem = System[Any, Any]
