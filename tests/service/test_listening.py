"""Listening without a public address: events as signed deliveries, in a stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientResponse

from tests.service.house import SECRET, Account, House, open_house
from tests.support.receiver import Call, verifies


class Ear:
    """A stream that is being listened to."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def hear(self) -> Any:
        """The next message; None: the stream is over."""
        async with asyncio.timeout(15):
            async for line in self.response.content:
                if line.startswith(b"data: "):
                    return json.loads(line.removeprefix(b"data: "))
        return None


@asynccontextmanager
async def listening(house: House, account: Account, secret: str | None = SECRET, **query: str) -> AsyncIterator[Ear]:
    """Listen while the block is open; the first message has been heard when it begins."""
    headers = {**account.key.headers} | ({"X-Listen-Secret": secret} if secret else {})
    async with house.client.get("/api/listen", headers=headers, params=query) as response:
        assert response.status == 200, await response.text()
        yield Ear(response)


async def test_who_listens_hears_their_events_as_signed_deliveries(house: House, ada: Account) -> None:
    async with listening(house, ada) as ear:
        assert ear.response.content_type == "text/event-stream"
        assert ear.response.headers["X-RateLimit-Limit"]
        assert await ear.hear() == {"secret": None, "events": ["*"]}
        event_id = (await ada.key.publish(job_id="heard", text="größer")).body["id"]

        message = await ear.hear()

    call = Call(message["headers"], message["body"].encode())
    assert verifies(call, SECRET)
    assert json.loads(message["body"])["data"]["job_id"] == "heard"
    assert message["headers"]["webhook-id"] == event_id
    assert message["headers"]["X-Tagmatic-Event"] == "annotation.completed"
    assert message["headers"]["X-Tagmatic-Attempt"] == "1"
    assert message["headers"]["X-Tagmatic-Delivery"].startswith("dlv_")
    assert message["headers"]["Content-Type"] == "application/json"
    assert message["headers"]["User-Agent"].startswith("Tagmatic-Webhooks/")


async def test_a_secret_is_made_where_none_is_given(house: House, ada: Account) -> None:
    async with listening(house, ada, secret=None) as ear:
        secret = (await ear.hear())["secret"]
        await ada.key.publish()
        message = await ear.hear()
    assert verifies(Call(message["headers"], message["body"].encode()), secret)


async def test_only_what_was_asked_for_and_only_ones_own_is_heard_and_only_once(house: House, ada: Account) -> None:
    bob = await house.account("bob@example.com")
    async with listening(house, ada, events="batch.*,file.completed") as ear:
        await ear.hear()
        for account in (bob, ada):
            await account.key.publish("annotation.completed")
            await account.key.publish("batch.failed", job_id=f"batch-{account.email[:3]}")
        first = await ear.hear()
        house.clock.forward(1)
        await ada.key.publish("file.completed", job_id="file-1")
        second = await ear.hear()
    jobs = [json.loads(message["body"])["data"]["job_id"] for message in (first, second)]
    assert jobs == ["batch-ada", "file-1"]


async def test_events_of_every_process_are_heard(address: str) -> None:
    async with open_house(address) as one, open_house(address, clock=one.clock) as other:
        ada = await one.account()
        async with listening(other, ada) as ear:
            await ear.hear()
            event_id = (await ada.key.publish()).body["id"]
            assert (await ear.hear())["headers"]["webhook-id"] == event_id


async def test_a_revoked_key_hears_no_more(house: House, ada: Account) -> None:
    async with listening(house, ada) as ear:
        await ear.hear()
        (key,) = (await ada.user.get("/api/keys")).body["items"]
        await ada.user.delete(f"/api/keys/{key['id']}")
        assert await ear.hear() is None


async def test_a_service_that_shuts_down_ends_the_stream(house: House, ada: Account) -> None:
    async with listening(house, ada) as ear:
        await ear.hear()
        await house.client.app.shutdown()
        assert await ear.hear() is None


async def test_what_nobody_publishes_cannot_be_listened_to(house: House, ada: Account) -> None:
    answer = await ada.key.get("/api/listen", events="annotation.imagined")
    assert (answer.status, answer.code, answer.body["field"]) == (400, "invalid_event_type", "events")
    answer = await ada.key.call("GET", "/api/listen", headers={"X-Listen-Secret": "short"})
    assert (answer.status, answer.code) == (422, "invalid_secret")
