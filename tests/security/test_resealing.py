"""Secrets are sealed anew with the newest master key, all of them, and nothing else about them changes."""

import asyncio
import os
from dataclasses import replace
from random import Random

import pytest
from sqlalchemy import text

from delivery.domain.model import Endpoint, EndpointId, SealedSecret
from delivery.domain.sealing import KeyRing
from delivery.domain.sources import Source, SourceId
from delivery.ports import Surroundings
from delivery.resealing import Resealing
from delivery.store import endpoints, sources
from delivery.store.engine import Store, open_store
from delivery.store.reach import EVERYONE
from tests.support.clock import NOON, ManualClock
from tests.support.polling import until
from tests.support.samples import an_endpoint
from tests.support.stores import ACCOUNT

OLD = KeyRing({"k1": b"1" * 32})
BOTH = KeyRing({"k2": b"2" * 32, "k1": b"1" * 32})
NEW = KeyRing({"k2": b"2" * 32})
STRANGE = KeyRing({"k0": b"0" * 32})


def resealing(store: Store, ring: KeyRing = BOTH) -> Resealing:
    return Resealing(store, ring, Surroundings(ManualClock(), Random(1), os.urandom))


def sealed(endpoint: Endpoint, plain: str, ring: KeyRing = OLD) -> SealedSecret:
    return SealedSecret(ring.seal(plain, owner=endpoint.id, entropy=os.urandom), plain[-4:], NOON)


async def stored(store: Store, *plains: str, ring: KeyRing = OLD, **changes: object) -> Endpoint:
    """An endpoint with these secrets."""
    blank = an_endpoint(**changes)
    endpoint = replace(blank, secrets=tuple(sealed(blank, plain, ring) for plain in plains))
    async with store.writing() as tx:
        await endpoints.add(tx, endpoint)
    return endpoint


async def now(store: Store, endpoint_id: EndpointId) -> Endpoint:
    async with store.reading() as tx:
        [found] = await endpoints.by_ids(tx, [endpoint_id])
    return found


def opened(endpoint: Endpoint, ring: KeyRing = NEW) -> list[str]:
    return [ring.open(secret.sealed, owner=endpoint.id) for secret in endpoint.secrets]


async def test_every_secret_is_sealed_anew_and_is_the_same_as_before(store: Store) -> None:
    kept = await stored(store, "secret-two", "secret-one")
    deleted = await stored(store, "secret-three", deleted_at=NOON)
    done = await stored(store, "secret-four", ring=BOTH)
    told: list[int] = []

    resealed = await resealing(store).run(told.append)

    assert (resealed.secrets, resealed.unreadable, sum(told)) == (3, (), 3)
    assert opened(await now(store, kept.id)) == ["secret-two", "secret-one"]
    assert opened(await now(store, deleted.id)) == ["secret-three"], "what is deleted is stored, too"
    assert await now(store, done.id) == done
    after = await now(store, kept.id)
    assert replace(after, secrets=kept.secrets) == kept
    assert [replace(new, sealed="") for new in after.secrets] == [replace(old, sealed="") for old in kept.secrets]
    assert (await resealing(store, NEW).survey()).sealed == {"k2": 4}


async def test_broken_off_it_goes_on_where_it_was(store: Store) -> None:
    for number in range(5):
        await stored(store, f"secret-{number}")

    def break_off(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await resealing(store).run(break_off)
    survey = await resealing(store).survey()
    assert (survey.sealed, survey.older) == ({"k2": 1, "k1": 4}, 4)
    assert (await resealing(store).run()).secrets == 4


async def test_a_secret_whose_key_is_missing_is_left_as_it_is_and_named_and_the_others_are_done(store: Store) -> None:
    lost = await stored(store, "secret-lost", ring=STRANGE)
    fine = await stored(store, "secret-fine")
    resealed = await resealing(store).run()
    assert (resealed.secrets, resealed.unreadable) == (1, (lost.id,))
    assert await now(store, lost.id) == lost
    assert opened(await now(store, fine.id)) == ["secret-fine"]
    survey = await resealing(store).survey()
    assert survey.missing == {"k0"}
    assert (survey.lost, survey.older) == (1, 0)


async def test_a_change_at_the_same_moment_is_not_overwritten(store: Store, database_url: str) -> None:
    endpoint = await stored(store, "secret-one")
    other = open_store(database_url)  # as another process has it
    async with other.writing() as tx:
        found = await endpoints.find(tx, EVERYONE, endpoint.id, for_update=True)
        assert found is not None
        at_work = asyncio.create_task(resealing(store).run())
        if store.dialect == "postgresql":
            await until(lambda: waits_for_a_row(store))
        rotated = replace(found, secrets=(sealed(found, "secret-two"), *found.secrets), version=found.version + 1)
        await endpoints.save(tx, rotated)
    assert (await at_work).secrets == 2
    after = await now(store, endpoint.id)
    assert (opened(after), after.version) == (["secret-two", "secret-one"], rotated.version)
    await other.close()


async def waits_for_a_row(store: Store) -> bool:
    async with store.reading() as tx:
        waiting = await tx.execute(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        return bool(waiting.scalar_one())


# --- sources ----------------------------------------------------------------------------------------------------------


async def connected(store: Store, credentials: str) -> Source:
    source_id = SourceId("src_1")
    sealed = OLD.seal(credentials, owner=source_id, entropy=os.urandom)
    source = Source(source_id, ACCOUNT, "potato", "Ours", "https://potato.example", {}, sealed, NOON, NOON, due_at=NOON)
    async with store.writing() as tx:
        await sources.add(tx, source)
    return source


async def test_credentials_of_sources_are_sealed_anew_and_a_poll_under_way_goes_on(store: Store) -> None:
    source = await connected(store, '{"key": "open sesame"}')
    async with store.writing() as tx:
        [claimed] = await sources.claim(tx, now=NOON, until=NOON, lease="mine", limit=1)
    assert claimed.id == source.id
    assert (await resealing(store).survey()).sealed == {"k1": 1}
    assert (await resealing(store).run()).secrets == 1
    assert (await resealing(store).survey()).sealed == {"k2": 1}
    async with store.writing() as tx:
        found = await sources.lock(tx, source.id)
        assert await sources.note(tx, found, "mine", {"failures": 0})
    assert NEW.open(found.credentials, owner=source.id) == '{"key": "open sesame"}'
    assert (await resealing(store).run()).secrets == 0


async def test_a_source_whose_key_is_missing_is_named(store: Store) -> None:
    source = await connected(store, "{}")
    resealed = await resealing(store, NEW).run()
    assert (resealed.secrets, resealed.unreadable) == (0, (source.id,))
