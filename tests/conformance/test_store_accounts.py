"""What the store promises about accounts: people, keys, and that nobody publishes more than their plan allows."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from delivery.domain.model import KeyId, UserId
from delivery.intake import Meter, Offer, Refused
from delivery.store import accounts
from delivery.store.accounts import Account, ApiKey, User
from delivery.store.engine import Store
from delivery.store.reach import EVERYONE
from tests.support.clock import NOON
from tests.support.samples import a_submission
from tests.support.stores import ACCOUNT
from tests.support.world import working

KEY = ApiKey(KeyId("key_1"), ACCOUNT, "ci", "digest", "abcd", ("publish", "manage"), NOON)
MONTH = "2026-01"


async def test_a_user_is_found_in_whatever_case_the_address_is_typed(store: Store) -> None:
    user = User(UserId("usr_1"), ACCOUNT, "you@example.com", "$argon2id$…", operator=False, created_at=NOON)
    async with store.writing() as tx:
        await accounts.add_user(tx, user)
        assert await accounts.user_by_email(tx, " You@Example.COM ") == user
        assert await accounts.find_user(tx, "usr_1") == user
        await accounts.set_password(tx, user.id, "another", operator=True)
        assert await accounts.find_user(tx, "usr_1") == replace(user, password_hash="another", operator=True)


async def test_a_plan_can_be_changed(store: Store) -> None:
    async with store.writing() as tx:
        await accounts.set_plan(tx, ACCOUNT, "pro", 100_000)
        assert await accounts.find_account(tx, ACCOUNT) == Account(ACCOUNT, "pro", 100_000, NOON)


async def test_a_key_is_revoked_once_and_for_good(store: Store) -> None:
    async with store.writing() as tx:
        await accounts.add_key(tx, KEY)
        await accounts.touch_keys(tx, {KEY.id: NOON + timedelta(seconds=5)})
        used = replace(KEY, last_used_at=NOON + timedelta(seconds=5))
        assert await accounts.key_by_digest(tx, "digest") == used
        assert await accounts.revoke_key(tx, EVERYONE, KEY.id, NOON)
        assert not await accounts.revoke_key(tx, EVERYONE, KEY.id, NOON + timedelta(days=1))
        assert await accounts.key_by_digest(tx, "digest") == replace(used, revoked_at=NOON)


async def used(store: Store, *keys: str) -> dict[KeyId, int]:
    async with store.reading() as tx:
        return await accounts.used(tx, [KeyId(key) for key in keys], MONTH)


async def test_however_many_publish_at_once_a_key_never_gets_more_than_its_limit(processes: Sequence[Store]) -> None:
    limits = {"key_1": 50, "key_2": 10}
    async with AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(working(store, name=f"process {number}", sending=False))
            for number, store in enumerate(processes)
        ]

        async def publish(turn: int) -> list[tuple[str, int]]:
            """Offer two events with each key, and say what was taken."""
            keys = list(limits)[:: 1 if turn % 2 else -1]  # in changing order, which must not end in a deadlock
            offers = [Offer([a_submission(), a_submission()], Meter(KeyId(key), limits[key])) for key in keys]
            replies = await worlds[turn % len(worlds)].intake.accept(offers)
            return [
                (key, len(reply)) for key, reply in zip(keys, replies, strict=True) if not isinstance(reply, Refused)
            ]

        taken = [share for shares in await asyncio.gather(*(publish(turn) for turn in range(40))) for share in shares]
    assert {key: sum(n for name, n in taken if name == key) for key in limits} == limits
    assert await used(processes[0], *limits) == limits


async def test_an_offer_that_does_not_fit_is_not_taken_in_part_and_costs_nothing(store: Store) -> None:
    async with working(store, sending=False) as world:
        three = Offer([a_submission() for _ in range(3)], Meter(KeyId("key_1"), 5))
        two = Offer([a_submission() for _ in range(2)], Meter(KeyId("key_1"), 5))
        first, refused, last = await world.intake.accept([three, replace(three), two])
        assert isinstance(refused, Refused)
        assert refused.error.code == "rate_limited"
        assert not isinstance(first, Refused)
        assert not isinstance(last, Refused)
        assert await used(store, "key_1") == {"key_1": 5}
        world.clock.forward(31 * 24 * 3600)
        (next_month,) = await world.intake.accept([Offer([a_submission()], Meter(KeyId("key_1"), 5))])
        assert not isinstance(next_month, Refused)
