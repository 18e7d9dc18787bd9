"""What a message says, read without a bus."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.wire import UNREADABLE, Message, publication, submission
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import write_json
from delivery.domain.errors import InvalidEvent
from delivery.domain.model import AccountId
from tests.support.samples import envelope

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CE_JSON = "application/cloudevents+json; charset=utf-8"


def said(
    body: Any, content_type: str | None = "application/json", message_id: str | None = None, **headers: str
) -> Message:
    raw = body if isinstance(body, bytes) else write_json(body)
    named = {name.replace("__", ":").replace("account_id", "account-id"): value for name, value in headers.items()}
    return Message(raw, "annotation.completed", named, content_type, message_id)


def refused(message: Message) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        submission(message)
    return caught.value


def cloud_event(**attributes: Any) -> dict[str, Any]:
    sample = envelope()
    return {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "/annotator",
        "type": sample["event"],
        "time": "2024-03-14T10:23:45Z",
        "datacontenttype": "application/json",
        "data": sample["data"],
    } | attributes


# --- the plain envelope -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", PUBLISHED)
def test_every_type_arrives_as_it_was_sent(event_type: str) -> None:
    read = submission(said(envelope(event_type), account_id="acc_1"))
    assert (read.account_id, read.type, json.loads(read.body)) == ("acc_1", event_type, envelope(event_type))


def test_the_account_may_stand_in_the_body_and_is_taken_out() -> None:
    read = submission(said(envelope() | {"account_id": "acc_1"}))
    assert read.account_id == "acc_1"
    assert "account_id" not in json.loads(read.body)


def test_the_same_account_twice_is_one_account() -> None:
    assert submission(said(envelope() | {"account_id": "acc_1"}, account_id="acc_1")).account_id == "acc_1"


def test_two_different_accounts_are_refused() -> None:
    error = refused(said(envelope() | {"account_id": "acc_2"}, account_id="acc_1"))
    assert (error.code, error.field) == ("invalid_payload", "account_id")


@pytest.mark.parametrize("account", ["", "acc 1", "acc\x00", "a" * 41, "\ud800", "akté"])
def test_what_cannot_be_an_account_is_no_known_one(account: str) -> None:
    body = json.dumps(envelope() | {"account_id": account}).encode()
    assert refused(said(body)).code == "unknown_account"


def test_an_account_that_is_no_string_is_refused() -> None:
    assert refused(said(envelope() | {"account_id": 7})).code == "invalid_payload"


def test_a_message_without_account_is_refused() -> None:
    assert refused(said(envelope())).code == "unknown_account"


def test_the_id_in_the_body_identifies_the_event_and_is_taken_out() -> None:
    read = submission(said(envelope() | {"id": "job-7/done"}, account_id="acc_1"))
    assert read.external_id == "job-7/done"
    assert read.identity == "id=job-7/done"
    assert "id" not in json.loads(read.body)


def test_the_message_id_goes_before_the_id_in_the_body() -> None:
    read = submission(said(envelope() | {"id": "body"}, message_id="message", account_id="acc_1"))
    assert read.external_id == "message"


def test_without_any_id_the_job_identifies_the_event() -> None:
    read = submission(said(envelope(job_id="ann_7"), account_id="acc_1"))
    assert (read.external_id, read.identity) == (None, "annotation.completed ann_7")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"[]", "invalid_payload"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"event": "annotation.completed", "event": "batch.failed"}', "invalid_json"),
        (b'"' + b" " * 256 * 1024 + b'"', "payload_too_large"),
        (write_json(envelope() | {"event": "annotation.unheard"}), "invalid_event_type"),
        (write_json(envelope(processing_ms="fast")), "invalid_payload"),
        (write_json(envelope() | {"id": 7}), "invalid_payload"),
        (json.dumps(envelope(text="half \ud800")).encode(), "invalid_json"),
        (json.dumps(envelope(text="null \x00")).encode(), "invalid_json"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_code(body: bytes, code: str) -> None:
    assert refused(said(body, account_id="acc_1")).code == code


def test_a_message_whose_headers_could_not_be_read_is_refused() -> None:
    assert refused(said(envelope(), account_id="acc_1", **{UNREADABLE: "RecursionError"})).code == "unreadable_message"


# --- CloudEvents ------------------------------------------------------------------------------------------------------


def test_a_structured_cloud_event_is_an_envelope() -> None:
    read = submission(said(cloud_event(), CE_JSON, account_id="acc_1"))
    assert json.loads(read.body) == envelope() | {"timestamp": "2024-03-14T10:23:45.000Z"}
    assert read.external_id == "ce-1"


@pytest.mark.parametrize("member", ["account_id", "accountid"])
def test_a_structured_cloud_event_may_name_its_account(member: str) -> None:
    assert submission(said(cloud_event(**{member: "acc_1"}), CE_JSON)).account_id == "acc_1"


def test_a_structured_cloud_event_may_wrap_its_data_in_base64() -> None:
    event = cloud_event(data_base64=base64.b64encode(write_json(envelope()["data"])).decode())
    del event["data"]
    assert json.loads(submission(said(event, CE_JSON, account_id="acc_1")).body)["data"] == envelope()["data"]


@pytest.mark.parametrize("separator", ["_", "__"])
def test_a_binary_cloud_event_is_an_envelope(separator: str) -> None:
    attributes = {name: value for name, value in cloud_event().items() if name != "data"}
    headers = {f"cloudEvents{separator}{name}": value for name, value in attributes.items()}
    read = submission(said(envelope()["data"], account_id="acc_1", **headers))
    assert json.loads(read.body) == envelope()
    assert read.external_id == "ce-1"


def test_the_message_id_goes_before_the_id_of_a_cloud_event() -> None:
    assert submission(said(cloud_event(), CE_JSON, "message", account_id="acc_1")).external_id == "message"


def test_a_cloud_event_without_id_is_identified_by_its_job() -> None:
    event = cloud_event()
    del event["id"]
    assert submission(said(event, CE_JSON, account_id="acc_1")).external_id is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"time": None}, "time"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2024-02-30T00:00:00Z"}, "time"),
        ({"time": "0001-01-01T00:00:00+23:00"}, "time"),
        ({"type": None}, "event"),
        ({"id": 7}, "id"),
    ],
)
def test_a_broken_cloud_event_is_refused(changes: dict[str, Any], field: str) -> None:
    error = refused(said(cloud_event(**changes), CE_JSON, account_id="acc_1"))
    assert (error.code, error.field) == ("invalid_payload", field)


def test_a_cloud_event_without_data_is_refused() -> None:
    event = cloud_event()
    del event["data"]
    assert refused(said(event, CE_JSON, account_id="acc_1")).field == "data"


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001 - the offset comes apart
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from(["microseconds", "milliseconds", "seconds"]),
)
def test_a_cloud_events_time_is_the_same_moment_in_the_envelopes_form(
    at: datetime, offset: int, precision: str
) -> None:
    moment = at.replace(tzinfo=timezone(timedelta(minutes=offset)))
    event = cloud_event(time=moment.isoformat(timespec=precision))
    stamp = json.loads(submission(said(event, CE_JSON, account_id="acc_1")).body)["timestamp"]
    expected = moment.astimezone(UTC)
    shown = datetime.fromisoformat(stamp)
    assert timedelta(0) <= expected - shown < timedelta(seconds=1 if precision == "seconds" else 0.001)
    assert len(stamp) == len("2024-03-14T10:23:45.000Z")


# --- traces -----------------------------------------------------------------------------------------------------------


def test_the_trace_goes_with_the_event() -> None:
    assert submission(said(envelope(), account_id="acc_1", traceparent=TRACE)).traceparent == TRACE


def test_a_cloud_event_may_carry_its_trace() -> None:
    assert submission(said(cloud_event(traceparent=TRACE), CE_JSON, account_id="acc_1")).traceparent == TRACE


@pytest.mark.parametrize("trace", ["", "nonsense", 7, TRACE.replace("0af765", "zzzzzz")])
def test_a_bad_trace_goes_no_further(trace: Any) -> None:
    assert submission(said(cloud_event(traceparent=trace), CE_JSON, account_id="acc_1")).traceparent is None


# --- publishing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", PUBLISHED)
def test_what_is_published_is_read_again(event_type: str) -> None:
    message = publication(envelope(event_type), "acc_1", external_id="mine", traceparent=TRACE)
    read = submission(message)
    assert message.routing_key == event_type
    assert (read.account_id, read.external_id, read.traceparent) == ("acc_1", "mine", TRACE)
    assert json.loads(read.body) == envelope(event_type)


def test_an_envelope_with_an_id_is_published_under_it() -> None:
    assert publication(envelope() | {"id": "mine"}, "acc_1").message_id == "mine"


@pytest.mark.parametrize("body", [{}, {"event": ""}, {"event": 7}, {"event": "x" * 256}, {"event": "é" * 128}])
def test_what_no_broker_could_route_is_not_published(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        publication(body, "acc_1")


# --- whatever comes ---------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["event", "timestamp", "data", "id", "account_id", "specversion", "type", "time", "data_base64"]
)
HEADERS = st.sampled_from(
    ["account-id", "traceparent", "cloudEvents_specversion", "cloudEvents:id", "cloudEvents_time"]
)


@given(
    body=st.binary(max_size=64) | st.dictionaries(MEMBERS, JSON).map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(HEADERS, st.text(max_size=60) | st.just("1.0")),
    content_type=st.sampled_from([None, "application/json", CE_JSON, "text/plain", ""]),
    message_id=st.none() | st.text(max_size=20),
)
def test_any_message_is_either_read_or_refused(
    body: bytes, headers: dict[str, str], content_type: str | None, message_id: str | None
) -> None:
    try:
        account = submission(Message(body, "annotation.completed", headers, content_type, message_id)).account_id
    except InvalidEvent as error:
        account = AccountId(error.code)
    assert account
