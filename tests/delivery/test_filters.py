"""The laws of who gets what."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.catalogue import OPERATIONAL, PUBLISHED, known_patterns
from delivery.domain.errors import InvalidInput
from delivery.domain.filters import accept_filter, passes, subscribes, unwanted
from tests.support.samples import an_endpoint, envelope

types = st.sampled_from(sorted(PUBLISHED))
scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([0.5, 1.0]), st.text(max_size=3))
names = st.sampled_from(["a", "b", "project_id"])


@given(types, types)
def test_an_exact_type_means_this_type_and_no_other(wanted: str, event_type: str) -> None:
    assert subscribes([wanted], event_type) == (wanted == event_type)


@given(types, types)
def test_a_family_means_all_types_before_the_same_full_stop(one: str, event_type: str) -> None:
    family = one.partition(".")[0]
    assert subscribes([family + ".*"], event_type) == event_type.startswith(family + ".")


@given(st.lists(st.sampled_from(sorted(known_patterns())), max_size=4), types)
def test_several_patterns_mean_any_of_them(patterns: list[str], event_type: str) -> None:
    assert subscribes(patterns, event_type) == any(subscribes([pattern], event_type) for pattern in patterns)


@given(types)
def test_everything_means_everything_the_platform_publishes(event_type: str) -> None:
    assert subscribes(["*"], event_type)


@pytest.mark.parametrize("event_type", sorted(OPERATIONAL))
def test_what_hookline_tells_about_itself_is_subscribed_to_by_name(event_type: str) -> None:
    assert event_type in known_patterns()
    assert subscribes([event_type], event_type)


@given(st.dictionaries(names, scalars), names, scalars)
def test_a_condition_holds_where_the_member_has_the_value_in_the_sense_of_json(
    data: dict[str, Any], name: str, wanted: Any
) -> None:
    holds = name in data and json.loads(json.dumps(data[name])) == wanted
    alike = isinstance(data.get(name), bool) == isinstance(wanted, bool)
    assert passes({f"data.{name}": wanted}, {"data": data}) == (holds and alike)


@given(st.dictionaries(names, scalars), names, st.lists(scalars, min_size=1, max_size=4))
def test_a_list_of_values_means_any_of_them(data: dict[str, Any], name: str, wanted: list[Any]) -> None:
    path = f"data.{name}"
    assert passes({path: wanted}, {"data": data}) == any(passes({path: one}, {"data": data}) for one in wanted)


@given(st.dictionaries(names, scalars), st.dictionaries(names.map("data.{}".format), scalars))
def test_several_conditions_mean_all_of_them(data: dict[str, Any], conditions: dict[str, Any]) -> None:
    together = passes(conditions, {"data": data})
    assert together == all(passes({path: wanted}, {"data": data}) for path, wanted in conditions.items())


@pytest.mark.parametrize(
    ("value", "wanted", "equal"),
    [(1, 1.0, True), (1, True, False), (0, False, False), (None, None, True), ("1", 1, False), ([1], 1, False)],
)
def test_values_are_equal_as_in_json(value: Any, wanted: Any, *, equal: bool) -> None:
    assert passes({"data.x": wanted}, {"data": {"x": value}}) is equal


def test_a_missing_member_is_not_null() -> None:
    assert not passes({"data.x": None}, {"data": {}})
    assert not passes({"data.x.y": None}, {"data": {"x": None}})


def test_a_path_leads_into_depth() -> None:
    event = envelope("project.drift_alert")
    assert passes({"data.metric.name": "jensen_shannon", "data.project_id": ["proj_reviews", "other"]}, event)
    assert not passes({"data.metric.name": "kl"}, event)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {f"data.x{n}": 1 for n in range(21)},
        {"project_id": "a"},
        {"data": "a"},
        {"data.": "a"},
        {"data.x\n": "a"},
        {"data.x y": "a"},
        {"data" + ".x" * 9: "a"},
        {"data.x": []},
        {"data.x": {"y": 1}},
        {"data.x": [["a"]]},
    ],
)
def test_a_filter_that_says_nothing_clear_is_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        accept_filter(conditions)
    assert (refusal.value.code, refusal.value.field) == ("invalid_filter", "filter")


def test_a_filter_is_taken_as_it_is() -> None:
    conditions = {"data.project_id": "proj_a", "data.decision": ["corrected", None, 1, 0.5, True]}
    assert accept_filter(conditions) == conditions


def test_whoever_gets_nothing_is_told_why() -> None:
    event = envelope()
    endpoint = an_endpoint(events=("annotation.*",), filter={"data.project_id": "proj_reviews"})
    assert unwanted(endpoint, "annotation.completed", event) is None
    assert unwanted(endpoint, "batch.failed", event) == "not subscribed to batch.failed"
    assert unwanted(replace(endpoint, filter={"data.project_id": "x"}), "annotation.completed", event) == "filtered out"
    off = replace(endpoint, active=False, disabled_reason="The receiver answered 410 Gone")
    assert unwanted(off, "annotation.completed", event) == "disabled: The receiver answered 410 Gone"
