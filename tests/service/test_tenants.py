"""Accounts are strangers to each other: whatever one owns does not exist for another."""

import pytest

from service.api.calls import Route
from service.app import API
from tests.service.house import Account, House
from tests.support.receiver import Receiver

_OF_OBJECTS = [route for route in API if "{id}" in route.path and route.need != "operate"]
_LISTS = ["events", "deliveries", "webhooks", "keys", "replays", "audit", "sources"]


@pytest.fixture
async def owned(house: House, ada: Account, receiver: Receiver) -> dict[str, str]:
    """One object of each noun that belongs to Ada."""
    webhook = await ada.key.register(receiver.url)
    event = (await ada.key.publish()).body
    await house.quiet()
    (delivery,) = await ada.key.deliveries()
    (key,) = (await ada.user.get("/api/keys")).body["items"]
    replay = (await ada.key.post("/api/replays", {"filter": {"status": "delivered"}})).body
    (registered,) = (await ada.key.get("/api/audit", object=webhook["id"])).body["items"]
    wanted = {"system": "potato", "url": receiver.url, "credentials": {"api_key": "secret"}}
    source = (await ada.key.post("/api/sources", wanted)).body
    return {
        "webhooks": webhook["id"],
        "events": event["id"],
        "deliveries": delivery["id"],
        "keys": key["id"],
        "replays": replay["id"],
        "audit": registered["id"],
        "sources": source["id"],
    }


@pytest.mark.parametrize("route", _OF_OBJECTS, ids=lambda route: f"{route.method} {route.path}")
async def test_another_accounts_object_is_not_found_and_stays_as_it_is(
    house: House, ada: Account, owned: dict[str, str], route: Route
) -> None:
    bob = await house.account("bob@example.com")
    noun = route.path.split("/")[2]
    path = route.path.replace("{id}", owned[noun])
    before = (await ada.user.get(f"/api/{noun}")).body

    answer = await bob.user.call(route.method, path, json=None if route.method == "GET" else {})

    assert (answer.status, answer.code) == (404, "not_found")
    assert (await ada.user.get(f"/api/{noun}")).body == before


@pytest.mark.parametrize("noun", _LISTS)
async def test_lists_show_what_is_ones_own(house: House, ada: Account, owned: dict[str, str], noun: str) -> None:
    bob = await house.account("bob@example.com")
    seen = {row["id"] for row in (await bob.user.get(f"/api/{noun}")).body["items"]}
    assert owned[noun] not in seen


async def test_the_log_of_anothers_webhook_cannot_be_reached_by_a_filter(
    house: House, ada: Account, owned: dict[str, str]
) -> None:
    bob = await house.account("bob@example.com")
    for which in ({"webhook_id": owned["webhooks"]}, {"event_id": owned["events"]}, {"q": owned["deliveries"]}):
        assert await bob.key.deliveries(**which) == []


@pytest.mark.parametrize("noun", _LISTS)
async def test_an_operator_sees_every_account(
    house: House, ada: Account, operator: Account, owned: dict[str, str], noun: str
) -> None:
    rows = (await operator.user.get(f"/api/{noun}")).body["items"]
    assert ada.id in {row["account_id"] for row in rows if row["id"] == owned[noun]}
