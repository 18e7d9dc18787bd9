"""What a real Potato answered, read, compared and told as events."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumers.sources.potato.answers import Action, Decision, History
from consumers.sources.potato.connector import PotatoCredentials, PotatoSettings
from consumers.sources.potato.events import Scribe, Work
from consumers.sources.potato.history import Acquaintance, Touch, learned, noted, recalled, settled, without
from consumers.sources.potato.reviews import review
from consumers.sources.potato.state import Entry, annotations, entries
from delivery.domain.envelope import compose, submit
from delivery.domain.model import AccountId
from delivery.domain.sources import SourceId

FOLDER = Path(__file__).parents[2] / "fixtures/potato"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TYPES = {"sentiment": "radio", "entities": "span"}
SCRIBE = Scribe(SourceId("src_1"), ZoneInfo("Europe/Berlin"))


def conversation(name: str) -> Any:
    turns = map(json.loads, (FOLDER / "conversation.jsonl").read_text().splitlines())
    return next(turn["answer"] for turn in turns if turn["name"] == name)


STATES = conversation("321_user_state")["annotations"]["by_instance"]
TEXTS = {item["id"]: item["text"] for item in conversation("319_all_instances")["items"]}
HISTORY = History.model_validate(conversation("301_history_user"))
DECISION = Decision.model_validate(
    json.loads((FOLDER / "95_disk_adjudication_decisions.json").read_text())["decisions"][0]
)


# --- states -----------------------------------------------------------------------------------------------------------


def test_states_of_a_real_one_are_read() -> None:
    read = {item: annotations(entries(state, TYPES), TYPES, TEXTS[item]) for item, state in STATES.items()}
    assert read == {
        "item_001": {"sentiment": "negative"},
        "item_002": {
            "sentiment": "neutral",
            "entities": [
                {"text": "w York t", "start": 21, "end": 29, "label": "LOCATION"},
                {"text": "ice Johnson o", "start": 43, "end": 56, "label": "PERSON"},
            ],
        },
        "item_003": {"sentiment": "negative"},
    }


@pytest.mark.parametrize(
    ("kind", "state", "value"),
    [
        ("radio", {"positive": "1"}, "positive"),
        ("radio", {"positive": "positive"}, "positive"),
        ("multiselect", {"b": "b", "a": "a", "c": False}, ["b", "a"]),
        ("likert", {"4": "4"}, 4),
        ("likert", {"agree": "agree"}, "agree"),
        ("slider", {"slider": "73"}, 73),
        ("number", {"number_input": "1.5"}, 1.5),
        ("text", {"text_box": "12"}, "12"),
        ("pairwise", {"A": True}, True),
        ("pairwise", {"A": {"x": 1}}, "{'x': 1}"),
        ("multirate", {"A": "1", "B": "2"}, ["1", "2"]),
    ],
)
def test_a_value_is_as_its_schema_has_it(kind: str, state: dict[str, Any], value: Any) -> None:
    whole = {f"Label(schema:s, name:{name})": entry for name, entry in state.items()}
    assert annotations(entries(whole, {"s": kind}), {"s": kind}, "") == {"s": value}


@pytest.mark.parametrize("nothing", [False, None, ""])
def test_what_is_only_there_to_say_that_it_is_not_leaves_its_schema_out(nothing: Any) -> None:
    assert annotations(entries({"Label(schema:s, name:a)": nothing}, {"s": "multiselect"}), {}, "") == {}


@given(schema=st.text(min_size=1), name=st.text())
def test_whatever_a_known_schema_and_a_label_are_called_they_are_told_apart(schema: str, name: str) -> None:
    state = {f"Label(schema:{schema}, name:{name})": "1"}
    assert entries(state, {schema: "radio"}) == [Entry(schema, name, "1")]


# --- histories --------------------------------------------------------------------------------------------------------


def actions(*numbers: int) -> list[Action]:
    return [Action(action_id=f"a{number}", instance_id=f"i{number % 3}", timestamp="") for number in numbers]


def history(total: int, shown: list[Action] | None = None) -> History:
    return History(total_actions=total, actions=shown or actions(*range(max(0, total - 100), total)))


def test_a_history_is_news_once() -> None:
    news = learned(Acquaintance(), HISTORY, NOON)
    assert {item: touch.action for item, touch in news.known.touched.items()} == {
        action.instance_id: action.action_id for action in HISTORY.actions
    }
    again = learned(without(news.known, news.known.touched), HISTORY, NOON)
    assert (again.known.touched, again.short) == ({}, False)


@given(steps=st.lists(st.integers(0, 100), max_size=8))
def test_no_action_is_overlooked_while_not_more_than_a_hundred_come_at_a_time(steps: list[int]) -> None:
    known, total = Acquaintance(), 0
    for step in steps:
        total += step
        news = learned(without(known, known.touched), history(total), NOON)
        assert not news.short
        assert set(news.known.touched) == {f"i{number % 3}" for number in range(total - step, total)}
        known = news.known
    assert known.epoch == 0


def test_more_than_it_shows_is_said_to_be_short() -> None:
    assert learned(learned(Acquaintance(), history(10), NOON).known, history(111), NOON).short


@pytest.mark.parametrize("after", [[7, 8], [7, 8, 9], [7, 8, 9, 10]])
def test_a_history_that_was_lost_begins_an_epoch_however_far_it_has_come_since(after: list[int]) -> None:
    known = learned(Acquaintance(), history(3), NOON).known
    news = learned(without(known, known.touched), history(len(after), actions(*after)), NOON)
    assert news.known.epoch == 1
    assert {touch.action for touch in news.known.touched.values()} <= {f"a{number}" for number in after}
    assert len(news.known.touched) == min(3, len(after))


def test_what_was_touched_settles_after_the_last_touch() -> None:
    known = learned(Acquaintance(), history(1), NOON).known
    assert settled(known, NOON + timedelta(seconds=29), 30) == []
    assert settled(known, NOON + timedelta(seconds=30), 30) == ["i0"]
    later = learned(known, history(4), NOON + timedelta(seconds=20)).known
    assert settled(later, NOON + timedelta(seconds=30), 30) == []


def test_what_is_known_can_be_written_down() -> None:
    known = learned(Acquaintance(), HISTORY, NOON).known
    assert recalled(json.loads(json.dumps(noted(known)))) == known


# --- events -----------------------------------------------------------------------------------------------------------


def test_an_annotation_is_told_by_its_item_its_user_its_last_action_and_its_state() -> None:
    touch = Touch(NOON, "81fa7ce2", "2026-11-23T20:43:58.304037", 3)
    draft = SCRIBE.annotation(Work("ann@example.org", "item_002", STATES["item_002"], 2), touch, "text", TYPES)
    user = draft.data["job_id"].split(":")[3]
    assert draft.data["job_id"] == f"potato:src_1:item_002:{user}:2"
    assert draft.key.startswith("potato/src_1/ann/item_002/ann@example.org/81fa7ce2/")
    assert draft.at == datetime(2026, 11, 23, 19, 43, 58, 304037, tzinfo=UTC), "an hour before Berlin's"
    submit(compose(draft.type, draft.at, draft.data), AccountId("acc_1"), external_id=draft.key)


def test_a_decision_of_a_real_one_is_a_review() -> None:
    votes = {"annotator1": {"sentiment": "negative"}, "annotator2": {"sentiment": "positive"}}
    draft = SCRIBE.review(DECISION, votes, TYPES, TEXTS["item_001"], NOON)
    assert draft.key.startswith("potato/src_1/rev/item_001/")
    assert (draft.data["decision"], draft.data["corrections"]) == ("accepted", [])
    assert draft.data["comment"] == "clear praise"
    assert draft.data["time_spent_ms"] == 5400
    submit(compose(draft.type, draft.at, draft.data), AccountId("acc_1"), external_id=draft.key)


def test_both_ways_to_a_decision_find_the_same() -> None:
    asked = Decision.model_validate(conversation("77_adj_item_after")["decision"])
    assert asked == DECISION


def test_the_majority_was_before_and_spans_are_compared_one_by_one() -> None:
    span = {"text": "cd", "start": 2, "end": 4, "label": "X"}
    votes: dict[str, dict[str, Any]] = {
        "ann": {"s": "a", "e": [span]},
        "bob": {"s": "b", "e": [span]},
        "cy": {"s": "b"},
    }
    decided = Decision(
        instance_id="i",
        adjudicator_id="dan",
        timestamp="",
        label_decisions={"s": "a"},
        span_decisions=[{"schema": "e", "name": "X", "start": 2, "end": 5}],
    )
    found = review(decided, votes, {"s": "radio", "e": "span"}, "abcdef")
    assert found["before"] == {"s": "b", "e": [span]}
    assert found["corrections"] == [
        {"label": "e", "op": "changed", "before": span, "after": span | {"text": "cde", "end": 5}},
        {"label": "s", "op": "changed", "before": "b", "after": "a"},
    ]


def test_a_tie_that_nobody_was_followed_in_leaves_the_schema_out() -> None:
    votes = {"annotator1": {"sentiment": "negative"}, "annotator2": {"sentiment": "positive"}}
    merged = DECISION.model_copy(update={"source": {"sentiment": "adjudicator"}})
    found = review(merged, votes, TYPES, "")
    assert (found["before"], found["decision"]) == ({}, "corrected")


# --- what people set --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "", "/etc/passwd", "Europe"])
def test_a_time_zone_that_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="Europe/Berlin"):
        PotatoSettings(timezone=name)


def test_whatever_people_set_says_what_it_is() -> None:
    for model in (PotatoSettings, PotatoCredentials):
        assert all(field.description for field in model.model_fields.values())
