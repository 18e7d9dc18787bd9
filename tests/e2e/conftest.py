"""A world that works on each store in turn, and a receiver to deliver to."""

from collections.abc import AsyncIterator

import pytest

from delivery.store.engine import Store
from tests.support.receiver import Receiver, receiving
from tests.support.stores import database_url, prepared_postgres, store
from tests.support.world import World, working

__all__ = ["database_url", "prepared_postgres", "receiver", "store", "world"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A customer's receiver."""
    async with receiving() as opened:
        yield opened


@pytest.fixture
async def world(store: Store) -> AsyncIterator[World]:
    """One process at work on the store, at noon."""
    async with working(store) as opened:
        yield opened
