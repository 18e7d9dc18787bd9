"""What a poll of a Potato needs in several places, asked for once."""

from collections.abc import Mapping
from typing import Any

from consumers.sources.connector import Desk
from consumers.sources.potato.answers import States
from consumers.sources.potato.remote import Potato
from consumers.sources.potato.state import Types
from consumers.sources.remote import MalformedError


class Lookups:
    """For one poll."""

    def __init__(self, potato: Potato, desk: Desk) -> None:
        self._potato = potato
        self._desk = desk
        self._states: dict[str, States] = {}
        self._texts: Mapping[str, str] | None = None
        self._types: Types | None = None
        self._said: Mapping[str, Any] | None = None

    async def states(self, user: str) -> States:
        """All that a user has annotated."""
        if user not in self._states:
            self._states[user] = await self._potato.states(user)
        return self._states[user]

    async def texts(self) -> Mapping[str, str]:
        """All items' texts.

        Raises:
            MalformedError: there are none. Nobody asks before somebody has annotated something.
        """
        if self._texts is None:
            self._texts = await self._potato.texts()
            if not self._texts:
                raise MalformedError("GET /admin/all_instances lists no items, though there are annotations")
        return self._texts

    async def types(self) -> Types:
        """The type of each schema."""
        if self._types is None:
            self._types = await self._potato.types()
        return self._types

    async def said(self) -> Mapping[str, Any]:
        """What was said before this poll: in a poll, no item of a user comes up twice."""
        if self._said is None:
            self._said = await self._desk.marks("state")
        return self._said
