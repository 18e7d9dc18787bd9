"""The laws of the one door through which events come in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import LONGEST_TEXT, MOST_BYTES, MOST_LEVELS, Submission, read_json, submit, write_json
from delivery.domain.errors import InvalidEvent
from tests.support.samples import envelope
from tests.support.stores import ACCOUNT

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(characters, max_size=20),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters, max_size=8), inner, max_size=4),
    max_leaves=12,
)
members = st.dictionaries(st.text(characters, min_size=1, max_size=8).map("x_{}".format), values, max_size=4)
types = st.sampled_from(sorted(PUBLISHED))


def hand_in(raw: bytes) -> Submission:
    """What every carrier does with the bytes that it brings."""
    return submit(read_json(raw), ACCOUNT)


def raw(text: str) -> bytes:
    """An event with some JSON text in the one place of it that may hold anything."""
    return write_json(envelope(metadata={"x": "HERE"})).replace(b'"HERE"', text.encode("utf-8", "surrogatepass"))


def refusal(event: Any, **more: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        submit(event, ACCOUNT, **more)
    return caught.value


def refused(text: str) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        hand_in(raw(text))
    return caught.value


# --- what goes in comes out -------------------------------------------------------------------------------------------


@given(types)
def test_every_sample_of_the_catalogue_is_an_event(event_type: str) -> None:
    taken = submit(PUBLISHED[event_type].example, ACCOUNT)
    assert (taken.type, taken.job_id) == (event_type, PUBLISHED[event_type].example["data"]["job_id"])
    assert json.loads(taken.body) == PUBLISHED[event_type].example


@given(types, members, members)
def test_members_that_no_schema_knows_pass_through_unchanged(
    event_type: str, beside: dict[str, Any], inside: dict[str, Any]
) -> None:
    event = envelope(event_type, **inside) | beside
    assert json.loads(hand_in(write_json(event)).body) == event


@given(st.permutations(["event", "timestamp", "data", "x_more"]), types)
def test_the_order_of_members_is_event_timestamp_data_and_then_the_rest(order: list[str], event_type: str) -> None:
    event = envelope(event_type) | {"x_more": 1}
    taken = submit({name: event[name] for name in order}, ACCOUNT)
    assert list(json.loads(taken.body)) == ["event", "timestamp", "data", "x_more"]


@given(values)
def test_what_was_written_reads_the_same_and_is_written_the_same_again(value: Any) -> None:
    once = write_json(value)
    assert read_json(once) == value
    assert write_json(read_json(once)) == once


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**64), 10**400])
def test_whole_numbers_of_any_size_are_kept_digit_by_digit(number: int) -> None:
    assert str(number).encode() in hand_in(raw(str(number))).body


@pytest.mark.parametrize("text", [r"\\u0000", r"C:\\u0000", "\U0001f600", r"\ud83d\ude00", "\u2028", r"\u0001", r"\""])
def test_odd_but_legal_strings_are_kept(text: str) -> None:
    taken = hand_in(raw(f'"{text}"'))
    assert json.loads(taken.body)["data"]["metadata"]["x"] == json.loads(f'"{text}"')


# --- what is no JSON for us -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "\\u0061": 2}',
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        '"\\u0000"',
        '"a\\\\\\u0000"',
        '{"\\u0000": 1}',
        '"\x00"',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '{"\\ud800": 1}',
        '"\ud800"',
        '{"\\ud800": 1, "\\ud800": 2}',
        "01",
        "'a'",
        "[1,]",
        "{} {}",
        "9" * 5000,
        "",
    ],
)
def test_it_is_refused_as_invalid_json(text: str) -> None:
    assert refused(text).code == "invalid_json"


@pytest.mark.parametrize("body", [b"", b"\xff", b"\xef\xbb\xbf{}", b"<xml/>", b'{"event":'])
def test_a_body_that_is_not_utf_8_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_json(body)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_the_depth_of_an_event_is_bounded_at_one_level_and_not_where_a_stack_happens_to_end(
    opening: str, closing: str
) -> None:
    around = 3  # the envelope, data, metadata
    deepest = MOST_LEVELS - around
    hand_in(raw(opening * deepest + "0" + closing * deepest))
    for depth in (deepest + 1, 500, 900, 950, 1000, 10_000, 40_000):
        assert refused(opening * depth + "0" + closing * depth).code == "invalid_json"


def test_brackets_in_strings_are_no_depth() -> None:
    hand_in(raw(json.dumps('["{' * 1000)))


@given(st.binary(max_size=200))
def test_whatever_comes_in_is_an_event_or_a_refusal(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        hand_in(body)


@given(st.text(max_size=30), st.text(max_size=30))
def test_the_words_of_a_refusal_can_be_sent_and_stored_whatever_the_event_says(name: str, value: str) -> None:
    events = [
        envelope() | {"event": name},
        envelope() | {"timestamp": value},
        envelope(annotations={name: {"no": value}}),
        envelope(confidence={name: value}),
    ]
    for event in events:
        said = refusal(event)
        assert "\0" not in (said.message + (said.field or "")).encode().decode()


def test_the_name_of_a_member_that_occurs_twice_can_be_sent_and_stored_too() -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_json(rb'{"\u0000\ud800": 1, "\u0000\ud800": 2}')
    assert r'"\x00\ud800" occurs twice' in caught.value.message


# --- limits -----------------------------------------------------------------------------------------------------------


def padded(size: int) -> dict[str, Any]:
    """An event that is written in exactly this many bytes."""
    bare = len(write_json(envelope(metadata={"x": ""})))
    return envelope(metadata={"x": "x" * (size - bare)})


def test_an_event_of_256_kib_is_taken_and_one_byte_more_is_too_large() -> None:
    largest = write_json(padded(MOST_BYTES))
    assert len(largest) == 256 * 1024
    assert hand_in(largest).body == largest
    too_large = write_json(padded(MOST_BYTES + 1))
    for attempt in (lambda: read_json(too_large), lambda: submit(padded(MOST_BYTES + 1), ACCOUNT)):
        with pytest.raises(InvalidEvent) as caught:
            attempt()
        assert (caught.value.code, caught.value.kind) == ("payload_too_large", "too_large")


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600"])
def test_a_text_is_measured_in_characters_and_not_in_bytes(character: str) -> None:
    submit(envelope(text=character * LONGEST_TEXT), ACCOUNT)
    said = refusal(envelope(text=character * (LONGEST_TEXT + 1)))
    assert (said.code, said.field) == ("text_too_long", "data.text")


# --- schemas ----------------------------------------------------------------------------------------------------------


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


@pytest.mark.parametrize(
    ("event", "code", "field"),
    [
        (envelope() | {"event": "annotation.started"}, "invalid_event_type", "event"),
        (envelope() | {"event": "webhook.test"}, "invalid_event_type", "event"),
        (envelope() | {"event": "webhook.disabled"}, "invalid_event_type", "event"),
        (envelope() | {"event": ["annotation.completed"]}, "invalid_payload", "event"),
        (without(envelope(), "event"), "invalid_payload", "event"),
        (without(envelope(), "timestamp"), "invalid_payload", "timestamp"),
        (without(envelope(), "data"), "invalid_payload", "data"),
        (envelope() | {"data": []}, "invalid_payload", "data"),
        (envelope() | {"timestamp": "yesterday"}, "invalid_payload", "timestamp"),
        (envelope() | {"timestamp": "2024-03-14T10:23:45Z"}, "invalid_payload", "timestamp"),
        (envelope() | {"timestamp": "2024-02-30T10:23:45.000Z"}, "invalid_payload", "timestamp"),
        (envelope() | {"timestamp": "0000-01-01T00:00:00.000Z"}, "invalid_payload", "timestamp"),
        (envelope() | {"timestamp": 1710411825}, "invalid_payload", "timestamp"),
        (envelope() | {"data": without(envelope()["data"], "job_id")}, "invalid_payload", "data.job_id"),
        (envelope(job_id=""), "invalid_payload", "data.job_id"),
        (envelope(job_id="ann 1"), "invalid_payload", "data.job_id"),
        (envelope(job_id="ann_1\n"), "invalid_payload", "data.job_id"),
        (envelope(job_id="x" * 129), "invalid_payload", "data.job_id"),
        (envelope(processing_ms=-1), "invalid_payload", "data.processing_ms"),
        (envelope(confidence={"sentiment": 1.5}), "invalid_payload", "data.confidence.sentiment"),
        (envelope("batch.completed", failed=1), "invalid_payload", "data.failed"),
        (envelope("review.submitted", corrections=[{"label": "x"}]), "invalid_payload", "data.corrections.0.op"),
        ([], "invalid_payload", None),
        ("text", "invalid_payload", None),
        (None, "invalid_payload", None),
    ],
)
def test_a_violation_names_the_member_at_fault(event: Any, code: str, field: str | None) -> None:
    said = refusal(event)
    assert (said.code, said.field) == (code, field)


def test_the_events_own_time_is_kept_in_utc_to_the_millisecond() -> None:
    taken = submit(envelope() | {"timestamp": "2024-03-14T10:23:45.678Z"}, ACCOUNT)
    assert taken.timestamp.isoformat() == "2024-03-14T10:23:45.678000+00:00"


# --- identity ---------------------------------------------------------------------------------------------------------


def identity(event: dict[str, Any], external_id: str | None = None) -> str:
    return submit(event, ACCOUNT, external_id=external_id).identity


def test_a_publishers_id_is_the_identity_whatever_else_the_event_says() -> None:
    assert identity(envelope(job_id="ann_1"), "msg-1") == identity(envelope("batch.failed", job_id="ann_2"), "msg-1")
    assert identity(envelope(job_id="ann_1"), "msg-1") != identity(envelope(job_id="ann_1"), "msg-2")
    assert identity(envelope(job_id="ann_1"), "msg-1") != identity(envelope(job_id="ann_1"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (envelope(job_id="ann_1"), envelope(job_id="ann_2")),
        (envelope(), envelope(batch_id="batch_1")),
        (envelope("review.submitted", review_id="rev_1"), envelope("review.submitted", review_id="rev_2")),
        (
            envelope(source={"system": "potato", "revision": 1}),
            envelope(source={"system": "potato", "revision": 2}),
        ),
    ],
)
def test_without_an_id_type_job_review_batch_and_revision_tell_events_apart(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert identity(one) != identity(other)


@given(types, members)
def test_nothing_else_tells_them_apart(event_type: str, more: dict[str, Any]) -> None:
    assert identity(envelope(event_type)) == identity(envelope(event_type, **more))


@given(st.text(characters, max_size=3000), st.integers(1, 10**300))
def test_an_identity_fits_into_its_column_whatever_it_is_made_of(review_id: str, revision: int) -> None:
    event = envelope("file.completed", review_id=review_id, source={"system": "custom", "revision": revision})
    assert len(identity(event)) <= 600
    assert identity(event) != identity(event | {"data": event["data"] | {"review_id": review_id + "x"}})


@pytest.mark.parametrize("external_id", ["", " ", "a b", "ä", "a\n", "a\0", "x" * 256])
def test_an_id_that_is_not_plain_visible_ascii_is_refused(external_id: str) -> None:
    said = refusal(envelope(), external_id=external_id)
    assert (said.code, said.field) == ("invalid_payload", "id")
