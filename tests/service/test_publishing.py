"""Publishing over HTTP: what is taken, and what it costs. What is refused, and how, is in `tests/hostile`."""

import asyncio
import json

import pytest

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import MOST_BYTES
from tests.service.house import Account, Caller, House
from tests.support.receiver import Receiver
from tests.support.samples import envelope

JSON = {"Content-Type": "application/json"}
NEXT_MONTH = 1_769_904_000  # 2026-02-01T00:00:00Z


@pytest.mark.parametrize("event", PUBLISHED)
async def test_every_type_is_accepted_and_delivered(house: House, ada: Account, receiver: Receiver, event: str) -> None:
    await ada.key.register(receiver.url)

    answer = await ada.key.publish(event)

    assert answer.status == 202
    assert (answer.body["duplicate"], answer.body["deliveries"]) == (False, 1)
    assert answer.body["id"].startswith("evt_")
    await house.quiet()
    assert json.loads(receiver.calls[0].body) == envelope(event)


async def test_what_was_answered_is_committed(house: House, ada: Account) -> None:
    event_id = (await ada.key.publish()).body["id"]
    assert (await ada.key.get(f"/api/events/{event_id}")).status == 200


async def test_the_same_id_again_is_a_duplicate_and_no_two_accounts_ever_meet(house: House, ada: Account) -> None:
    bob = await house.account("bob@example.com")
    event = envelope() | {"id": "mine-1"}

    first = await ada.key.post("/api/events", event)
    again = await ada.key.post("/api/events", event)
    others = await bob.key.post("/api/events", event)

    assert (again.status, again.body["duplicate"], again.body["deliveries"]) == (202, True, 0)
    assert again.body["id"] == first.body["id"]
    assert (others.body["duplicate"], others.body["id"] == first.body["id"]) == (False, False)
    shown = await ada.key.get(f"/api/events/{first.body['id']}")
    assert shown.body["external_id"] == "mine-1"


async def test_the_trace_of_the_publisher_goes_on_to_the_receiver(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await ada.key.call("POST", "/api/events", json=envelope(), headers={"traceparent": trace})
    await house.quiet()
    assert receiver.calls[0].headers["traceparent"] == trace


@pytest.mark.parametrize("size", [MOST_BYTES, MOST_BYTES + 1, 4 * MOST_BYTES])
async def test_an_event_has_at_most_256_kib(house: House, ada: Account, size: int) -> None:
    event = envelope(metadata={"padding": ""})
    event["data"]["metadata"]["padding"] = "x" * (size - len(json.dumps(event, separators=(",", ":"))))
    raw = json.dumps(event, separators=(",", ":")).encode()
    assert len(raw) == size

    answer = await ada.key.call("POST", "/api/events", data=raw, headers=JSON)

    if size <= MOST_BYTES:
        assert answer.status == 202
    else:
        assert (answer.status, answer.code) == (413, "payload_too_large")


# -- batches -----------------------------------------------------------------------------------------------------------


async def test_of_a_batch_the_good_ones_are_taken_though_others_fail(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    await ada.key.publish(job_id="known")
    await house.quiet()

    answer = await ada.key.post(
        "/api/events/batch",
        {
            "events": [
                envelope(job_id="new"),
                "no event",
                envelope(job_id="known"),
                envelope() | {"event": "annotation.imagined"},
                envelope("batch.failed"),
                envelope(job_id="others") | {"account_id": "acc_other"},
            ]
        },
    )

    assert answer.status == 200
    assert (answer.body["accepted"], answer.body["duplicates"], answer.body["errors_count"]) == (2, 1, 3)
    assert [(error["index"], error["code"]) for error in answer.body["errors"]] == [
        (1, "invalid_payload"),
        (3, "invalid_event_type"),
        (5, "forbidden"),
    ]
    assert all(error["error"] for error in answer.body["errors"])
    await house.quiet()
    assert len(receiver.calls) == 3


async def test_the_same_event_twice_in_one_batch_is_one_event(house: House, ada: Account) -> None:
    answer = await ada.key.post("/api/events/batch", {"events": [envelope(), envelope()]})
    assert (answer.body["accepted"], answer.body["duplicates"]) == (1, 1)


async def test_a_batch_has_at_most_a_thousand_events(house: House, ada: Account) -> None:
    answer = await ada.key.post("/api/events/batch", {"events": [None] * 1001})
    assert (answer.status, answer.code) == (400, "batch_too_large")
    assert "1,000" in answer.body["error"]

    full = await ada.key.post("/api/events/batch", {"events": [envelope(job_id=f"j{n}") for n in range(1000)]})
    assert (full.status, full.body["accepted"]) == (200, 1000)


async def test_an_empty_batch_is_no_mistake(house: House, ada: Account) -> None:
    answer = await ada.key.post("/api/events/batch", {"events": []})
    assert answer.body == {"accepted": 0, "duplicates": 0, "errors_count": 0, "errors": []}


# -- what it costs -----------------------------------------------------------------------------------------------------


async def test_an_event_costs_one_and_reading_costs_nothing(house: House) -> None:
    customer = await house.account(plan="free")
    assert (await customer.key.get("/api/webhooks")).limits == (500, 500, NEXT_MONTH)
    assert (await customer.key.publish()).limits == (500, 499, NEXT_MONTH)
    assert (await customer.key.get("/api/deliveries")).limits == (500, 499, NEXT_MONTH)
    refused = await customer.key.post("/api/events", {})
    assert (refused.status, refused.limits) == (400, (500, 499, NEXT_MONTH))


async def test_a_batch_costs_what_it_holds_and_one_that_does_not_fit_is_refused_whole(house: House) -> None:
    customer = await house.account(plan="free")
    most = [envelope(job_id=f"j{n}") for n in range(498)]
    assert (await customer.key.post("/api/events/batch", {"events": most})).limits[1] == 2

    rest = [envelope(job_id=f"k{n}") for n in range(3)]
    refused = await customer.key.post("/api/events/batch", {"events": rest})
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert refused.body["error"] == "Monthly request limit reached"
    assert refused.limits == (500, 2, NEXT_MONTH)
    assert int(refused.headers["Retry-After"]) == NEXT_MONTH - int(house.clock.now().timestamp())

    for event in rest[:2]:
        assert (await customer.key.post("/api/events", event)).body["duplicate"] is False
    last = await customer.key.post("/api/events", rest[2])
    assert (last.status, last.code, last.limits[1]) == (429, "rate_limited", 0)


async def test_the_quota_holds_however_many_publish_at_once(house: House) -> None:
    customer = await house.account(plan="free")
    await customer.key.post("/api/events/batch", {"events": [envelope(job_id=f"j{n}") for n in range(490)]})
    answers = await asyncio.gather(*(customer.key.publish(job_id=f"k{n}") for n in range(20)))
    assert sorted(answer.status for answer in answers) == [202] * 10 + [429] * 10


async def test_every_key_has_a_quota_of_its_own_and_a_new_month_a_new_one(house: House) -> None:
    customer = await house.account(plan="free")
    other = Caller(house.client, {"X-API-Key": (await customer.user.post("/api/keys")).body["key"]})
    events = [envelope(job_id=f"j{n}") for n in range(500)]
    assert (await customer.key.post("/api/events/batch", {"events": events})).limits[1] == 0

    assert (await other.publish(job_id="mine")).limits[1] == 499
    assert (await customer.key.publish(job_id="over")).status == 429
    house.clock.forward(31 * 86_400)
    answer = await customer.key.publish(job_id="next")
    assert answer.limits[1] == 499


async def test_a_session_costs_no_key_anything(house: House) -> None:
    customer = await house.account(plan="starter")
    assert (await customer.user.publish()).limits == (10_000, 10_000, NEXT_MONTH)
    assert (await customer.key.get("/api/webhooks")).limits[1] == 10_000


async def test_keys_that_are_not_metered_see_numbers_all_the_same(
    house: House, ada: Account, operator: Account
) -> None:
    for key in (ada.key, operator.key):
        assert (await key.publish(job_id=key.headers["X-API-Key"])).limits == (10**9, 10**9, NEXT_MONTH)
