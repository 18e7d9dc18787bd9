"""Every promise of a port is tried on every backend."""

from collections.abc import AsyncIterator, Sequence

import pytest

from delivery.store.engine import Store, open_store
from tests.support.stores import database_url, prepared_postgres, store

__all__ = ["database_url", "prepared_postgres", "processes", "store"]


@pytest.fixture
async def processes(store: Store, database_url: str) -> AsyncIterator[Sequence[Store]]:
    """The store as three processes have it open."""
    others = [open_store(database_url) for _ in range(2)]
    yield [store, *others]
    for other in others:
        await other.close()
