"""Dead letters keep what came, whatever it was, and give it back."""

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from consumers import letters
from consumers.consumer import Rejection
from consumers.wire import Message
from delivery.ports import Surroundings
from tests.support.clock import NOON, ManualClock

AROUND = Surroundings(ManualClock(), Random(1), bytes)

ANY_TEXT = st.text(st.characters(), max_size=400)  # halves of surrogate pairs and NULs included
MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=20),
    routing_key=ANY_TEXT,
    headers=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=4),
    content_type=st.none() | ANY_TEXT,
    message_id=st.none() | ANY_TEXT,
)
REJECTIONS = st.builds(Rejection, ANY_TEXT, ANY_TEXT)


@given(MESSAGES, ANY_TEXT, REJECTIONS)
def test_a_letter_that_went_over_the_broker_is_the_same_letter(
    message: Message, queue: str, rejection: Rejection
) -> None:
    letter = letters.written(message, queue, rejection, AROUND)
    assert letters.received(letters.posted(letter), AROUND) == letter


@given(MESSAGES, ANY_TEXT, REJECTIONS)
def test_every_letter_fits_every_database_and_every_broker(message: Message, queue: str, rejection: Rejection) -> None:
    letter = letters.written(message, queue, rejection, AROUND)
    for text, most in ((letter.queue, 128), (letter.routing_key, 255), (letter.reason, 64), (letter.content_type, 128)):
        assert len((text or "").encode()) <= most
        assert "\x00" not in (text or "")
    json.dumps(dict(letter.headers), ensure_ascii=False).encode()


def test_a_revived_message_is_the_one_that_came() -> None:
    message = Message(b"{}", "batch.failed", {"account-id": "acc_1"}, "application/json", "mine")
    assert letters.revived(letters.written(message, "hookline.batch", Rejection("x", "y"), AROUND)) == message


def test_a_message_that_dies_twice_bears_only_its_last_obituary() -> None:
    message = Message(b"{}", "batch.failed", {"hookline-reason": "forged", "x-death": "[]", "account-id": "acc_1"})
    assert letters.written(message, "hookline.batch", Rejection("x", "y"), AROUND).headers == {"account-id": "acc_1"}


def test_headers_beyond_all_measure_are_cut() -> None:
    message = Message(b"", "batch.failed", {f"header-{number}": "x" * 20_000 for number in range(9)})
    kept = letters.written(message, "hookline.batch", Rejection("x", "y"), AROUND).headers
    assert 0 < sum(map(len, kept.values())) <= 64 * 1024


def test_what_the_broker_buried_is_the_same_letter_each_time() -> None:
    deaths = [
        {"reason": "expired", "queue": "elsewhere", "time": "2026-01-01T12:00:01+00:00", "count": 1},
        {"reason": "delivery_limit", "queue": "hookline.batch", "time": NOON.isoformat(), "count": 1},
    ]
    message = Message(b"{}", "batch.failed", {"x-death": json.dumps(deaths)}, None, "mine")
    letter = letters.received(message, AROUND)
    assert (letter.reason, letter.queue, letter.received_at) == ("delivery_limit", "hookline.batch", NOON)
    assert letters.received(message, AROUND) == letter
    assert letters.revived(letter) == Message(b"{}", "batch.failed", {}, None, "mine")


@given(st.text(max_size=60) | st.sampled_from(["[]", "[7]", '[{"time": 7}]', '[{"reason": []}]', "{}"]))
def test_a_forged_obituary_harms_nobody(deaths: str) -> None:
    letter = letters.received(Message(b"{}", "batch.failed", {"x-death": deaths, "hookline-id": "1"}), AROUND)
    assert letter.reason == "dead_lettered"
    assert len(letter.id) <= 40
