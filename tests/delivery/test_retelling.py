"""The laws of retelling: a body that others wrote again is found, and what they changed is told by its name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.envelope import write_json
from delivery.domain.retelling import Change, Difference, difference, retellings
from tests.support.samples import envelope

names = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), min_size=1, max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
envelopes = st.builds(lambda data: {"event": "x.y", "timestamp": "t", "data": data}, st.dictionaries(names, values))

#: What a framework does with a body, and what is to be told of it.
REWRITERS: dict[str, Any] = {
    "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    "with blanks": lambda value: json.dumps(value, ensure_ascii=False),
    "as Python does": json.dumps,
    "escaped": lambda value: json.dumps(value, separators=(",", ":")),
    "turned round": lambda value: json.dumps(dict(reversed(value.items())), separators=(",", ":"), ensure_ascii=False),
    "in a string": lambda value: json.dumps(write_json(value).decode()),
}


@given(envelopes, st.sampled_from(sorted(REWRITERS)))
def test_what_a_framework_wrote_again_leads_back_to_what_was_sent(value: Any, rewriter: str) -> None:
    sent, got = write_json(value), REWRITERS[rewriter](value).encode()
    assert sent == got or sent in retellings(got)


@given(envelopes, st.sampled_from(sorted(REWRITERS)))
def test_what_says_the_same_never_differs_in_content(value: Any, rewriter: str) -> None:
    sent, got = write_json(value), REWRITERS[rewriter](value).encode()
    found = difference(got, sent)
    assert found is None if got == sent else found is not None and Change.CONTENT not in found.changes


@given(envelopes, st.data())
def test_whatever_says_something_else_differs_in_content_and_tells_where(value: Any, data: st.DataObject) -> None:
    other = data.draw(envelopes.filter(lambda other: json.dumps(other) != json.dumps(value) and other != value))
    found = difference(write_json(other), write_json(value))
    assert found is not None
    assert found.changes == (Change.CONTENT,)
    assert (found.where or "").startswith("data")


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_each_retelling_is_another_body_and_comes_once(body: bytes) -> None:
    found = list(retellings(body))
    assert len({body, *found}) == len(found) + 1
    assert difference(body, body) is None
    assert all(difference(body, other) is not None for other in found)


def test_members_that_were_sorted_find_back_to_the_order_in_which_they_are_published() -> None:
    sent = write_json(envelope("annotation.completed"))
    got = json.dumps(json.loads(sent), sort_keys=True).encode()
    assert sent in retellings(got)
    assert Change.KEY_ORDER in (difference(got, sent) or Difference(())).changes


@pytest.mark.parametrize(
    ("got", "changes"),
    [
        ('{"a":"é","b":[1.0,"/"]}\n', {Change.LINE_BREAK_AT_END}),
        ('\ufeff{"a":"é","b":[1.0,"/"]}', {Change.BYTE_ORDER_MARK}),
        ('{"a":"Ã©","b":[1.0,"/"]}', {Change.CHARACTER_SET}),
        ('{"a": "é","b":[1.0,"/"]}', {Change.SPACES}),
        (r'{"a":"\u00e9","b":[1.0,"/"]}', {Change.ESCAPES}),
        (r'{"a":"é","b":[1.0,"\/"]}', {Change.ESCAPES}),
        ('{"a":"é","b":[1,"/"]}', {Change.NUMBERS}),
        ('{"b":[1.0,"/"],"a":"é"}', {Change.KEY_ORDER}),
        (r'"{\"a\":\"é\",\"b\":[1.0,\"/\"]}"', {Change.QUOTED}),
        (
            '{\n  "b": [1, "/"],\n  "a": "\\u00e9"\n}',
            {Change.SPACES, Change.ESCAPES, Change.NUMBERS, Change.KEY_ORDER},
        ),
    ],
)
def test_each_change_has_its_name(got: str, changes: set[Change]) -> None:
    found = difference(got.encode(), '{"a":"é","b":[1.0,"/"]}'.encode())
    assert found is not None
    assert set(found.changes) == changes


@pytest.mark.parametrize(
    ("got", "where"),
    [('{"a":{"b":[1,2,4]}}', "a.b[2]"), ('{"a":{"b":[1,2]}}', "a.b"), ('{"a":{}}', "a.b"), ('{"a":', ""), ("a=1", "")],
)
def test_another_content_is_told_with_the_place(got: str, where: str) -> None:
    assert difference(got.encode(), b'{"a":{"b":[1,2,3]}}') == Difference((Change.CONTENT,), where)


def test_line_ends_are_told_apart_from_what_they_end() -> None:
    assert difference(b'{\r\n"a":1}', b'{\n"a":1}') == Difference((Change.LINE_ENDS,))
    assert b'{\n"a":1}' in retellings(b'{\r\n"a":1}')
    assert b'{\r\n"a":1}' in retellings(b'{\n"a":1}')


def test_what_is_nested_without_end_is_no_json_and_no_trouble() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert difference(deep, b"[]") == Difference((Change.CONTENT,), "")
    assert list(retellings(deep)) == [deep + b"\n"]
